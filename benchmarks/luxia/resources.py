"""Time and memory of training two meshes in series on Digits, against the plain torch reference with autograd.

    python benchmarks/luxia/resources.py [--cases 100x128,300x128,800x512] [--reference 300] [--memory] [--json PATH]

One epoch of training (1,257 samples) and validation (179), two N x N Clements meshes, photodetectors, RMSProp. The
reference is the same network and loop with ``engine="torch"``; both run in this process, the second epoch counts, in
turns. ``--reference`` is the widest mesh for which the reference runs too: at N = 800 and batch 512 it needs 12.6 GB
and half a minute an epoch. The sgemm peak is measured in the same run. Memory is the peak resident memory of a fresh
process from before the network is made, kernels loaded, to the end of the second epoch. ``--memory`` shows its growth
from N = 100 to 1,600 at batch 128.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import harness

from lightloom.models import pnn
from lightloom.models.pnn.training import run_epoch

SAMPLES = 1257, 179
FLOPS = 28
"""Of a 2x2 complex cell and sample."""


def digits() -> pnn.Split:
    """Digits with 1,257 samples to train and 179 to validate on, as the paper counts them."""
    split = pnn.load("digits")
    x = torch.cat([split.train_x, split.validation_x, split.test_x])
    y = torch.cat([split.train_y, split.validation_y, split.test_y])
    train, rest = SAMPLES
    return pnn.Split(
        x[:train], y[:train], x[train : train + rest], y[train : train + rest], x[train + rest :], y[train + rest :]
    )


class Job:
    """A network in training, an epoch a call."""

    def __init__(self, ports: int, batch: int, engine: str, split: pnn.Split) -> None:
        self.model = pnn.MeshNetwork(ports, 10, seed=0, engine=engine)
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=1e-3)
        self.order = torch.Generator().manual_seed(0)
        self.batch, self.split = batch, split

    def epoch(self) -> float:
        """One epoch of training and validation; its seconds."""
        start = time.perf_counter()
        self.loss = run_epoch(
            self.model, self.optimizer, self.split.train_x, self.split.train_y, self.batch, self.order
        )
        pnn.evaluate(self.model, self.split.validation_x, self.split.validation_y, self.batch)
        return time.perf_counter() - start


def sgemm_gflops(size: int = 2048, repeats: int = 5) -> float:
    """Best of a few large float32 matrix products."""
    a = torch.randn(size, size)
    best = min(_seconds(lambda: a @ a) for _ in range(repeats))
    return 2 * size**3 / best / 1e9


def kernel_seconds(job: Job) -> tuple[float, float]:
    """Best times of the first mesh alone: forward, and backward, at the job's batch."""
    mesh = job.model.first
    fields = torch.randn(job.batch, job.model.ports, dtype=torch.complex64)
    gradient = torch.randn_like(fields)
    forward = min(_seconds(lambda: mesh(fields)) for _ in range(5))
    out = mesh(fields)
    backward = min(
        _seconds(lambda: torch.autograd.grad(out, mesh.phases, gradient, retain_graph=True)) for _ in range(5)
    )
    return forward, backward


def _seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory_mb(ports: int, batch: int, engine: str) -> float:
    """Peak memory of two epochs above the idle process, MB, in a fresh process."""
    command = [sys.executable, __file__, "--alone", f"{ports}x{batch}", "--engine", engine]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def alone(ports: int, batch: int, engine: str) -> None:
    """What the fresh process does: print its peak in MB."""
    split = digits()
    # the idle process has its kernels and libraries loaded
    Job(64, batch, engine, split).epoch()
    with harness.PeakMemory() as peak:
        job = Job(ports, batch, engine, split)
        for _ in range(2):
            job.epoch()
    print(peak.bytes / 1e6)


def row(ports: int, batch: int, reference: bool, repeats: int) -> dict[str, object]:
    """One line of the table."""
    split = digits()
    ours = Job(ports, batch, "cpu", split)
    theirs = Job(ports, batch, "torch", split) if reference else None
    peak = sgemm_gflops()
    ours.epoch()
    if theirs:
        theirs.epoch()
    times: dict[str, list[float]] = {"cpu": [], "torch": []}
    for turn in range(repeats):
        times["cpu"].append(ours.epoch())
        if theirs and (turn == 0 or ports < 500):
            times["torch"].append(theirs.epoch())
    peak = max(peak, sgemm_gflops())
    forward, backward = kernel_seconds(ours)
    work = FLOPS * ours.model.first.layout.cells * batch / 1e9
    middle = {name: sorted(values)[len(values) // 2] for name, values in times.items() if values}
    line: dict[str, object] = {
        "N": ports,
        "batch": batch,
        "epoch_s": middle["cpu"],
        "reference_s": middle.get("torch", ""),
        "ratio": middle["torch"] / middle["cpu"] if theirs else "",
        "forward_gflops": work / forward,
        "of_sgemm": work / forward / peak,
        "backward_gflops": 3 * work / backward,
        "sgemm_gflops": peak,
        "memory_mb": memory_mb(ports, batch, "cpu"),
    }
    if theirs:
        del theirs
        line["reference_mb"] = memory_mb(ports, batch, "torch")
    return line


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", default="100x128,300x128,800x512")
    parser.add_argument("--reference", type=int, default=300, help="widest mesh for the reference")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="memory from N = 100 to 1,600")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--engine", default="cpu", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        ports, batch = map(int, options.alone.split("x"))
        alone(ports, batch, options.engine)
        return
    rows = []
    for case in options.cases.split(","):
        ports, batch = map(int, case.split("x"))
        rows.append(row(ports, batch, ports <= options.reference, options.repeats))
        print(json.dumps(rows[-1]), flush=True)
    notes = ["backward_gflops counts three times the forward work: fields again, gradients, cells"]
    if options.memory:
        for ports in (100, 200, 400, 800, 1600):
            used = memory_mb(ports, 128, "cpu")
            notes.append(f"memory at N = {ports}, batch 128: {used:.0f} MB")
    harness.finish("One epoch on Digits, two Clements meshes", rows, notes)


if __name__ == "__main__":
    main()
