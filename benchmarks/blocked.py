"""Blocks of cells as matrix products against the cell kernels: fields through a mesh, and their gradients.

    python benchmarks/blocked.py [--ports 64,256,1024] [--batches 128,512,4096] [--sides 8,16,32] [--device cpu]
                                 [--repeats 3] [--json results.json]

One Clements mesh in float32, a batch of vectors; ``there`` is propagate alone, ``both`` with the gradients of fields
and phases. The kernels are the engine "cpu", or "triton" on a GPU. All are called in turns, so that a slow phase of
the machine hits all alike; times are medians after one warm-up. Ratios above 1: blocks are faster; "core" ratios are
of the processor's time, which other processes disturb less, and say nothing of a GPU.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from harness import finish, seconds
from options import Options

from lightloom.runtime.meshes import Mesh, mesh
from lightloom.runtime.slicing import Imperfections, blocked, propagate
from lightloom.runtime.threads import kernels_first


def works(layout: Mesh, batch: int, sides: list[int], device: torch.device, gradients: bool) -> dict[str, Any]:
    """What is timed, by name: the kernels, and blocks of every side."""
    torch.manual_seed(0)
    fields = torch.randn(batch, layout.ports, dtype=torch.complex64, device=device, requires_grad=gradients)
    phases = (6.28 * torch.rand(layout.phases, device=device)).requires_grad_(gradients)
    kernels = "triton" if device.type == "cuda" else "cpu"

    def timed(forward: Callable[[], torch.Tensor]) -> Callable[[], None]:
        def run() -> None:
            out = forward()
            if gradients:
                torch.autograd.grad(out, [fields, phases], torch.ones_like(out))
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return run

    def blocks(side: int) -> Callable[[], torch.Tensor]:
        return lambda: blocked.propagate(fields, phases, layout, Imperfections(), side)

    found = {"kernels": timed(lambda: propagate(fields, phases, layout, engine=kernels))}
    return found | {str(side): timed(blocks(side)) for side in sides}


def turns(calls: dict[str, Callable[[], None]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median wall time and processor time of each call, in seconds, taken in turns."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start, busy = time.perf_counter(), time.process_time()
            call()
            if turn:
                times[name].append((time.perf_counter() - start, time.process_time() - busy))
    return {
        name: tuple(statistics.median(column) for column in zip(*rows, strict=True)) for name, rows in times.items()
    }


def measure(ports: int, batch: int, sides: list[int], device: torch.device, repeats: int) -> list[dict[str, Any]]:
    """A row for every side."""
    layout = mesh("clements", ports)
    found = {name: turns(works(layout, batch, sides, device, name == "both"), repeats) for name in ("there", "both")}
    rows = []
    for side in sides:
        row: dict[str, Any] = {"ports": ports, "batch": batch, "side": side}
        for name, times in found.items():
            (wall, busy), (ours, our_busy) = times["kernels"], times[str(side)]
            row[f"kernels {name} ms"], row[f"blocks {name} ms"] = 1e3 * wall, 1e3 * ours
            row[f"ratio {name}"], row[f"core ratio {name}"] = wall / ours, busy / our_busy
        rows.append(row)
    return rows


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = Options(__doc__)
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("--ports", type=numbers, default=[64, 256, 1024])
    parser.add_argument("--batches", type=numbers, default=[128, 512, 4096])
    parser.add_argument("--sides", type=numbers, default=[4, 8, 16, 32])
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    square = torch.randn(2048, 2048, device=options.device)

    def product() -> None:
        torch.mm(square, square)
        if options.device.type == "cuda":
            torch.cuda.synchronize(options.device)

    product()
    peak = 2 * 2048**3 / seconds(product) / 1e9
    rows = []
    # as in training: the threads of torch would stand in the way of the kernels'
    with kernels_first():
        for ports in options.ports:
            for batch in options.batches:
                rows += measure(ports, batch, options.sides, options.device, options.repeats)
    finish("blocked", rows, [f"a product of 2048 x 2048 float32: {peak:.0f} GFLOP/s"])


if __name__ == "__main__":
    main()
