"""A fresh process that trains one network and is asked for its times and its memory.

Peak memory is resident memory above the idle process, which has its libraries, its kernels and the data loaded. It is
counted from before the network is made.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from shared import Options, harness

from lightloom.models import pnn
from lightloom.models.pnn.training import run_epoch

SAMPLES = 1257, 179
FLOPS = 28
"""Of a 2x2 complex cell and sample."""

KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""glibc gives nothing back to the system, and asks it for 2 MB pages. A process that allocates gigabytes anew for every
mini-batch otherwise spends its time in page faults."""


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

    def __init__(self, ports: int, batch: int, engine: str, split: pnn.Split, layers: int | None = None) -> None:
        options = {"topology": "clements"} if layers is None else {"topology": "rectangular", "layers": layers}
        self.model = pnn.MeshNetwork(ports, 10, seed=0, engine=engine, **options)
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=1e-3)
        self.order = torch.Generator().manual_seed(0)
        self.batch, self.split = batch, split

    def epoch(self, batches: int | None = None) -> dict[str, float]:
        """An epoch of training and validation, or the share of it that is ``batches`` whole mini-batches.

        ``share`` is that of the samples, of both parts; ``system_seconds`` the system's part of the processor time,
        which is nearly all page faults.
        """
        train, rest = SAMPLES
        if batches is not None:
            train = min(train, batches * self.batch)
            rest = round(rest * train / SAMPLES[0])
        start, system = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_stime
        run_epoch(
            self.model, self.optimizer, self.split.train_x[:train], self.split.train_y[:train], self.batch, self.order
        )
        pnn.evaluate(self.model, self.split.validation_x[:rest], self.split.validation_y[:rest], self.batch)
        system = resource.getrusage(resource.RUSAGE_SELF).ru_stime - system
        return {"seconds": time.perf_counter() - start, "share": train / SAMPLES[0], "system_seconds": system}

    def state_mb(self) -> float:
        """Phases, their gradients and the optimizer's squares."""
        return 3 * sum(value.numel() * value.element_size() for value in self.model.parameters()) / 1e6

    def speed(self) -> dict[str, float]:
        """GFLOP/s of the first mesh alone, best of five, and of a large matrix product around them.

        Backward counts three times the forward work: fields again, gradients of fields, cells.
        """
        mesh = self.model.first
        fields = torch.randn(self.batch, self.model.ports, dtype=torch.complex64)
        gradient = torch.randn_like(fields)
        peak = sgemm_gflops()
        forward = min(_seconds(lambda: mesh(fields)) for _ in range(5))
        out = mesh(fields)
        backward = min(
            _seconds(lambda: torch.autograd.grad(out, mesh.phases, gradient, retain_graph=True)) for _ in range(5)
        )
        peak = max(peak, sgemm_gflops())
        work = FLOPS * mesh.layout.cells * self.batch / 1e9
        return {
            "forward_gflops": work / forward,
            "backward_gflops": 3 * work / backward,
            "sgemm_gflops": peak,
        }


def sgemm_gflops(size: int = 2048, repeats: int = 5) -> float:
    """Best of a few large float32 matrix products."""
    a = torch.randn(size, size)
    best = min(_seconds(lambda: a @ a) for _ in range(repeats))
    return 2 * size**3 / best / 1e9


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Worker:
    """The process, from outside; a context that ends it."""

    def __init__(
        self, ports: int, batch: int, engine: str = "cpu", layers: int | None = None, keep_memory: bool = False
    ) -> None:
        settings = json.dumps({"ports": ports, "batch": batch, "engine": engine, "layers": layers})
        self.process = subprocess.Popen(
            [sys.executable, __file__, settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(KEEP_MEMORY if keep_memory else {})},
        )
        self.questions: Any = self.process.stdin
        self.answers: Any = self.process.stdout

    def ask(self, what: str, **arguments: Any) -> dict[str, float]:
        """The answer to "epoch", "memory" or "speed".

        Raises:
            RuntimeError: the process has ended.
        """
        try:
            print(json.dumps([what, arguments]), file=self.questions, flush=True)
            line = self.answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the measured process ended with {self.process.wait()}; was there memory for it?")
        return json.loads(line)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()


def main() -> None:
    """The process, from inside: a question a line."""
    parser = Options(__doc__, "sklearn")
    parser.add_argument("settings", help="of the job, as JSON; resources.py starts this script")
    settings = json.loads(parser.parse_args().settings)
    split = digits()
    if settings["engine"] == "torch":
        # it may keep what this takes, which then counts as idle: little
        Job(64, 16, "torch", split).epoch(batches=1)
    else:
        Job(64, settings["batch"], settings["engine"], split).epoch()
    with harness.PeakMemory() as peak:
        job = Job(split=split, **settings)
        for line in sys.stdin:
            what, arguments = json.loads(line)
            if what == "epoch":
                answer = job.epoch(**arguments)
            elif what == "memory":
                peak.__exit__()
                answer = {"peak_mb": peak.bytes / 1e6, "state_mb": job.state_mb()}
            else:
                answer = job.speed()
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
