"""Time and memory of training two meshes in series on Digits, against the plain torch reference with autograd.

    python benchmarks/luxia/resources.py [--cases 100x128,300x128,800x512 | all] [--reference 300] [--repeats 5]
                                         [--memory] [--results docs/luxia/resources.json]

One epoch of training (1,257 samples) and validation (179), two N x N Clements meshes, photodetectors, RMSProp. Each
network trains in a process of its own, and epochs are taken in turns after one that is not counted. ``--cases all``
are the paper's: N = 100, 300, 500, 700, 800, 900 with batches of 64, 128, 256, 512. A case already in the results file
is not measured again.

The reference, for meshes up to ``--reference`` wide, is the same network and loop with ``engine="torch"``. It keeps
every window's fields: 12.6 GB at N = 800, batch 512, made anew for every mini-batch. Where memory is slow to come by (a
virtual machine may take 20 us a page) page faults, not arithmetic, are then nearly all of its time; so its process
keeps what it has once got, in large pages, which flatters it. ``--reference-batches 1`` measures that many
mini-batches, and as much of the validation, in place of an epoch; the table says so.

``--memory`` shows how peak memory grows: with N, with the batch, and with the depth.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from itertools import product
from pathlib import Path
from typing import Any

from shared import Options, harness
from worker import Worker

PAPER_CASES = [f"{ports}x{batch}" for ports, batch in product((100, 300, 500, 700, 800, 900), (64, 128, 256, 512))]
MEMORY_CASES = [
    *({"ports": ports, "batch": 128} for ports in (100, 200, 400, 800, 1600)),
    *({"ports": 800, "batch": batch} for batch in (64, 256, 512, 1024)),
    *({"ports": 800, "batch": batch, "layers": layers} for layers in (100, 400, 1600) for batch in (64, 512)),
]


def measure(ports: int, batch: int, reference: bool, repeats: int, batches: int | None = None) -> dict[str, Any]:
    """One line of the table."""
    line: dict[str, Any] = {"N": ports, "batch": batch}
    with Worker(ports, batch) as ours:
        ours.ask("epoch")
        if reference:
            with Worker(ports, batch, "torch", keep_memory=True) as theirs:
                theirs.ask("epoch", batches=1)
                turns = [(ours.ask("epoch"), theirs.ask("epoch", batches=batches)) for _ in range(repeats)]
                line["epoch_s"] = statistics.median(mine["seconds"] for mine, _ in turns)
                line["reference_s"] = statistics.median(its["seconds"] / its["share"] for _, its in turns)
                line["reference_system_s"] = statistics.median(its["system_seconds"] / its["share"] for _, its in turns)
                line["ratio"] = line["reference_s"] / line["epoch_s"]
                line["reference_share"] = turns[0][1]["share"]
                line["reference_mb"] = theirs.ask("memory")["peak_mb"]
        else:
            line["epoch_s"] = statistics.median(ours.ask("epoch")["seconds"] for _ in range(repeats))
        line["memory_mb"] = ours.ask("memory")["peak_mb"]
        line |= ours.ask("speed")
        line["of_sgemm"] = line["forward_gflops"] / line["sgemm_gflops"]
    return line


def memory(ports: int, batch: int, layers: int | None = None) -> dict[str, float]:
    """Peak memory of two epochs above the idle process, and what of it is known, MB."""
    with Worker(ports, batch, layers=layers) as worker:
        for _ in range(2):
            worker.ask("epoch")
        found = worker.ask("memory")
    # complex64, before every window of both meshes
    windows = 2 * (ports if layers is None else layers)
    return {**found, "fields_mb": 8e-6 * batch * ports, "kept_windows_mb": 8e-6 * batch * ports * windows}


class Lines:
    """Measured cases by name in a JSON file, written after each."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.found: dict[str, Any] = {"machine": harness.machine(), "epoch": {}, "memory": {}}
        if path and path.exists():
            self.found = json.loads(path.read_text())

    def add(self, part: str, name: str, line: dict[str, Any], machine: str) -> None:
        """Keep a line, with the time it was measured at and what else to say about the machine."""
        line = line | {"measured": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "note": machine}
        self.found[part][name] = line
        print(name, json.dumps(line), flush=True)
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_name(self.path.name + ".part")
            partial.write_text(json.dumps(self.found, indent=1) + "\n")
            os.replace(partial, self.path)


def main() -> None:
    """Measure what is missing and print."""
    parser = Options(__doc__, "sklearn")
    parser.add_argument("--cases", default="100x128,300x128,800x512", help="NxBATCH, several, or all, or none")
    parser.add_argument("--reference", type=int, default=300, help="widest mesh for the reference")
    parser.add_argument("--reference-batches", type=int, help="mini-batches in place of a whole epoch of it")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="growth of memory with N, batch and depth")
    parser.add_argument("--results", type=Path, help="to go on from and to write")
    parser.add_argument("--note", default="", help="about the machine, kept with the lines measured now")
    options = parser.parse_args()
    lines = Lines(options.results)
    cases = {"all": PAPER_CASES, "none": []}.get(options.cases, options.cases.split(","))
    for case in cases:
        ports, batch = map(int, case.split("x"))
        reference = ports <= options.reference
        if case not in lines.found["epoch"] or (reference and "ratio" not in lines.found["epoch"][case]):
            line = measure(ports, batch, reference, options.repeats, options.reference_batches)
            lines.add("epoch", case, line, options.note)
    for case in MEMORY_CASES if options.memory else []:
        name = "x".join(str(number) for number in case.values())
        if name not in lines.found["memory"]:
            lines.add("memory", name, {**case, **memory(**case)}, options.note)
    rows = [lines.found["epoch"][case] for case in cases]
    if rows:
        harness.finish("One epoch on Digits, two Clements meshes", rows)
    if options.memory:
        harness.finish("Peak memory above the idle process, MB", list(lines.found["memory"].values()))


if __name__ == "__main__":
    main()
