"""How long a compile takes against the SVDs of its tiles alone, its peak memory, and the artefact's size and speed.

    python benchmarks/compile.py [resnet18 resnet50 ...] [--json PATH]

The floor is ``torch.linalg.svd`` of the same tiles (float64, batched a bank at a time) in the same process. Wanted:
whole compile at most 3 times the floor, peak memory at most 6 times the weights' bytes above the process before,
resnet50's seconds per weight within 30 % of resnet18's, and a .loom of at most 1.25 times the weights' bytes that
is saved and loaded in less time than the SVDs take.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from harness import PeakMemory, finish, seconds
from options import Options

import lightloom as ll
from lightloom.compiler.passes import cut, grid
from lightloom.models.vision import torchvision_network
from lightloom.runtime.program import TileBank


def svd_floor(model: torch.nn.Module, target: ll.Target) -> tuple[float, int]:
    """Seconds and count of the SVDs of all tiles of a model, nothing else."""
    graph = ll.lower(model, torch.zeros(1, 3, 64, 64), target, stop_after="tile")
    weights = {matrix.name: graph.store[matrix.weight] for matrix in graph.matrices}
    total, tiles = 0.0, 0
    for name, bank in graph.tables.items():
        blocks = torch.from_numpy(cut(grid(weights[name], bank.spec), TileBank(bank.spec, bank.columns), slice(None)))
        start = time.perf_counter()
        torch.linalg.svd(blocks)
        total += time.perf_counter() - start
        tiles += bank.spec.tiles
    return total, tiles


def measure(name: str, target: ll.Target) -> tuple[dict[str, object], dict[str, float]]:
    """One row of the table, and the seconds of each pass."""
    model = torchvision_network(name)
    weights = sum(parameter.numel() for parameter in model.parameters())
    example = torch.zeros(1, 3, 64, 64)
    floor, tiles = svd_floor(model, target)
    start = time.perf_counter()
    with PeakMemory() as memory:
        program = ll.compile(model, example, target)
    compile_s = time.perf_counter() - start
    again, _ = svd_floor(model, target)
    floor = (floor + again) / 2  # before and after, so that a slow phase of the machine hits both
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.loom"
        save_s = seconds(lambda: program.save(path))
        load_s = seconds(lambda: ll.load(path))
        size = path.stat().st_size
    return {
        "network": name,
        "weights": weights,
        "tiles": tiles,
        "svd_s": floor,
        "compile_s": compile_s,
        "compile/svd": compile_s / floor,
        "us_per_weight": 1e6 * compile_s / weights,
        "peak/weights": memory.bytes / (4 * weights),
        "loom/weights": size / (4 * weights),
        "save/svd": save_s / floor,
        "load/svd": load_s / floor,
    }, dict(program.pass_s)


def main() -> None:
    parser = Options(__doc__, "torchvision")
    parser.add_argument("names", nargs="*", default=["resnet18", "resnet50"], metavar="NAME", help="torchvision's")
    parser.add_argument("--json", help="write the table as JSON")
    names = parser.parse_args().names
    target = ll.targets.get("mzi64").with_({"mesh.phase_bits": 16})
    ll.compile(torch.nn.Linear(8, 8), torch.zeros(1, 8), target)  # kernels from their cache, imports done
    rows: list[dict[str, object]] = []
    notes: list[str] = []
    for name in names:
        row, passes = measure(name, target)
        rows.append(row)
        shares = ", ".join(f"{key} {value:.2f} s" for key, value in passes.items() if value > 0.05)
        notes.append(f"{name}: {shares}")
    finish("compile", rows, notes)


if __name__ == "__main__":
    main()
