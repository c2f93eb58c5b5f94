"""A sweep of resnet18 that is killed again and again: is every point there once, and what it would have been?

python benchmarks/sweep.py [--kills 8] [--jobs 2] [--size 64] [--seed 0] [--out FOLDER] [--json out.json]

``lightloom sweep`` runs as a process. Some time after it began, or after some more points, it gets SIGKILL: in turn the
process alone, and its whole process group. It is started again, on the same folder, until it is done. Then every line
that a kill left whole must still be there as it was, every point must be there once, and every value must be that of
the same sweep in another folder that nobody disturbed.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from harness import finish
from options import Options
from torch import nn

from lightloom.models.vision import torchvision_network
from lightloom.sweep import pareto, read_spec, run_sweep
from lightloom.sweep.points import grid_points
from lightloom.sweep.results import write_results

SPEC = """
model = "sweep:resnet18"
target = "mzi64"
input_shape = ["4,3,{size},{size}"]
objectives = ["latency_s", "amortised_energy_j"]

[fields]
"mesh.ports" = [32, 48, 64]
"mesh.cores" = [4, 32]
"mesh.buffers" = [1, 2]
"timing.window_s" = [1e-10, 1e-9]
"timing.reconfigure_s" = [1e-8, 1e-7]
"encoding.dac_bits" = [4, 8]
"encoding.lanes" = [1, 4]

[options]
dataflow = ["weight", "auto"]
"""


def resnet18() -> nn.Module:
    """The network, the same in every process."""
    torch.manual_seed(0)
    return torchvision_network("resnet18")


@dataclass
class Lives:
    """What became of a sweep that was started again and again."""

    kills: int = 0
    seconds: float = 0.0
    left: list[int] = field(default_factory=list[int])
    """Points in the journal after each kill."""
    torn: int = 0
    """Kills that cut a line of the journal short."""


def main() -> None:
    parser = Options(__doc__, "torchvision")
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--size", type=int, default=64, help="Height and width of the images.")
    parser.add_argument("--seed", type=int, default=0, help="Of the times of the kills.")
    parser.add_argument("--out", type=Path, help="Folder to keep; a temporary one by default.")
    parser.add_argument("--json", help="Write the table as JSON too.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = (options.out or Path(temporary)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        (out / "spec.toml").write_text(SPEC.format(size=options.size))
        row = prove(out, options.kills, options.jobs, random.Random(options.seed))
    finish("resnet18, swept under fire", [row])


def prove(out: Path, kills: int, jobs: int, draw: random.Random) -> dict[str, object]:
    """Run the disturbed and the undisturbed sweep, and compare them.

    Raises:
        SystemExit: a point was lost, repeated or changed.
    """
    spec = read_spec(out / "spec.toml")
    total = len(grid_points(spec))
    lives = disturbed(out, kills, jobs, total, draw)
    start = time.perf_counter()
    if run(out, "calm", jobs).wait():
        raise SystemExit("the undisturbed sweep failed")
    calm_s = time.perf_counter() - start
    texts = [(out / name / "journal.jsonl").read_text().splitlines() for name in ("killed", "calm")]
    killed, calm = ([json.loads(line) for line in lines[1:]] for lines in texts)
    names = [entry["point"] for entry in killed]
    expected = {point.key for point in grid_points(spec)}
    faults = {
        "points are lost": expected - set(names),
        "points are repeated": {name for name in names if names.count(name) > 1},
        "points are of no sweep": set(names) - expected,
        "values differ": differing(killed, calm),
        "points failed": {entry["point"] for entry in killed if entry["error"]},
    }
    for fault, points in faults.items():
        if points:
            raise SystemExit(f"{len(points)} {fault}: {', '.join(sorted(points)[:5])}")
    found = run_sweep(spec, out / "killed")
    files = write_results(spec, found, out / "killed")
    print("written:", ", ".join(str(path) for path in files))
    return {
        "points": len(names),
        "kills": lives.kills,
        "after kills": " ".join(map(str, lives.left)),
        "torn lines": lives.torn,
        "lost": 0,
        "repeated": 0,
        "killed, s": lives.seconds,
        "undisturbed, s": calm_s,
        "points/s": total / calm_s,
        "front": len(pareto(spec, found)),
    }


def disturbed(out: Path, kills: int, jobs: int, total: int, draw: random.Random) -> Lives:
    """Sweep into ``killed``, with kills on the way.

    Raises:
        SystemExit: a kill cost a finished point, or the sweep failed by itself.
    """
    journal = out / "killed" / "journal.jsonl"
    lives = Lives()
    start = time.perf_counter()
    while True:
        before = whole(journal)
        process = run(out, "killed", jobs)
        if lives.kills < kills:
            # the first kill comes while it still compiles; later ones at a random point and moment
            step = draw.uniform(0, 1.6 * total / kills) if lives.kills else -1.0
            wait_for(process, journal, len(before) + step)
            time.sleep(draw.uniform(0, 0.5 if lives.kills else 4.0))
        else:
            process.wait()
        if process.poll() is not None:
            if process.returncode:
                raise SystemExit(f"the sweep failed with exit code {process.returncode}")
            break
        (os.killpg if lives.kills % 2 else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        lives.kills += 1
        lines = whole(journal)
        if lines[: len(before)] != before:
            raise SystemExit("a kill changed what was finished")
        lives.left.append(max(0, len(lines) - 1))
        lives.torn += journal.exists() and not journal.read_text().endswith("\n")
        print(f"kill {lives.kills}: {lives.left[-1]} of {total} points finished", flush=True)
    lives.seconds = time.perf_counter() - start
    if whole(journal)[: len(before)] != before:
        raise SystemExit("a kill changed what was finished")
    return lives


def run(out: Path, folder: str, jobs: int) -> subprocess.Popen[bytes]:
    """Start ``lightloom sweep`` in a process group of its own."""
    command = [sys.executable, "-P", "-m", "lightloom.cli", "sweep", str(out / "spec.toml")]
    command += ["--out", str(out / folder), "--jobs", str(jobs)]
    with (out / f"{folder}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=Path(__file__).parent, stdout=log, stderr=log, start_new_session=True)


def wait_for(process: subprocess.Popen[bytes], journal: Path, lines: float) -> None:
    """Wait until the journal has so many whole lines, or the process ends."""
    while process.poll() is None and len(whole(journal)) < lines:
        time.sleep(0.02)


def whole(journal: Path) -> list[str]:
    """The journal's finished lines."""
    return journal.read_text().rpartition("\n")[0].splitlines() if journal.exists() else []


def differing(one: list[dict], two: list[dict]) -> set[str]:
    """Points of which two journals do not say the same, to the last bit."""
    first, second = ({entry["point"]: entry for entry in entries} for entries in (one, two))
    both = set(first) | set(second)
    numbers = {value for entry in one for value in entry["metrics"].values()}
    if not all(math.isfinite(value) for value in numbers):
        return both
    return {name for name in both if first.get(name) != second.get(name)}


if __name__ == "__main__":
    main()
