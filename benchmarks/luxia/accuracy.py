"""The accuracy table of the slicing paper: Iris and Digits on four meshes, mean and spread of five seeds.

    python benchmarks/luxia/accuracy.py [--data iris,digits] [--seeds 5] [--results accuracy.json] [--figures DIR]

Two meshes in series, a diagonal between them, photodetectors and a bias; 70 / 10 / 20 split; RMSProp. The protocol:
for every data set and mesh, each candidate setting is trained on seed 0's split and the one with the best validation
accuracy (then the lowest validation loss) is kept; only then are the five seeds trained with it, each with its own
split and phases, and only those runs look at the test part. Everything found is written to the results file as it
comes; started again, the script goes on from there. ``--epochs`` shortens the runs for a check of the script.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightloom.models import pnn

MESHES = {
    "clements": {"haar": True},
    "clements_bell": {"haar": True},
    "fldzhyan": {},
    "fldzhyan_bell": {},
}
"""Families and their options; a fldzhyan mesh has the family's own default depth."""

PORTS = {"iris": 4, "digits": 64}
EPOCHS = {"iris": 400, "digits": 200}
PAPER = {
    "iris": {"clements": 95.33, "clements_bell": 94.00, "fldzhyan": 96.66, "fldzhyan_bell": 96.00},
    "digits": {"clements": 94.06, "clements_bell": 91.77, "fldzhyan": 92.16, "fldzhyan_bell": 92.66},
}
"""Test accuracy in percent, arXiv 2512.22264."""


@dataclass(frozen=True)
class Setting:
    """Hyper-parameters that validation chooses between."""

    learning_rate: float
    batch: int
    input_gain: float


CANDIDATES = {
    "iris": [Setting(rate, 16, gain) for rate in (3e-3, 1e-2, 3e-2) for gain in (1.0, 2.0, 4.0)],
    "digits": [Setting(rate, 64, gain) for rate in (3e-3, 1e-2) for gain in (0.5, 1.0, 2.0)],
}


def run(data: str, family: str, setting: Setting, seed: int, epochs: int, test: bool) -> dict[str, Any]:
    """One training; the test part is looked at only if asked."""
    split = pnn.load(data, seed)
    model = pnn.MeshNetwork(
        PORTS[data],
        split.classes,
        family,
        bias=True,
        diagonal=True,
        input_gain=setting.input_gain,
        seed=1000 * seed,
        **MESHES[family],
    )
    options = pnn.Training(
        epochs=epochs, batch=setting.batch, learning_rate=setting.learning_rate, final_rate=0.02, seed=seed
    )
    start = time.perf_counter()
    history = pnn.train(model, split, options)
    record: dict[str, Any] = {
        "loss": history.loss[-1],
        "validation_loss": history.validation_loss[-1],
        "validation": 100 * history.validation_accuracy[-1],
        "seconds": time.perf_counter() - start,
    }
    if test:
        record["test"] = 100 * pnn.evaluate(model, split.test_x, split.test_y)[1]
        record["history"] = history.to_dict()
    return record


class Results:
    """Records by name in a JSON file, written after each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def of(self, name: str, work, *args: Any) -> dict[str, Any]:
        """The record of a name, made now if it is not there."""
        if name not in self.records:
            self.records[name] = work(*args)
            partial = self.path.with_name(self.path.name + ".part")
            partial.write_text(json.dumps(self.records))
            os.replace(partial, self.path)
            shown = {key: round(value, 4) for key, value in self.records[name].items() if key != "history"}
            print(name, shown, flush=True)
        return self.records[name]


def cell(results: Results, data: str, family: str, seeds: int, epochs: int) -> dict[str, Any]:
    """One cell of the table: choose on validation, then train every seed."""
    found = []
    for setting in CANDIDATES[data]:
        words = "/".join(f"{key}={value:g}" for key, value in asdict(setting).items())
        name = f"choose/{data}/{family}/{epochs}/{words}"
        record = results.of(name, run, data, family, setting, 0, epochs, False)
        found.append((record["validation"], -record["validation_loss"], setting))
    setting = max(found, key=lambda entry: entry[:2])[2]
    runs = [
        results.of(
            f"final/{data}/{family}/{epochs}/seed={seed}/rate={setting.learning_rate:g}/batch={setting.batch}"
            f"/gain={setting.input_gain:g}", run, data, family, setting, seed, epochs, True,
        )
        for seed in range(seeds)
    ]  # fmt: skip
    tests = [one["test"] for one in runs]
    return {
        "data": data,
        "mesh": family,
        "setting": asdict(setting),
        "loss": statistics.mean(one["loss"] for one in runs),
        "validation": statistics.mean(one["validation"] for one in runs),
        "test": statistics.mean(tests),
        "spread": statistics.stdev(tests) if len(tests) > 1 else 0.0,
        "paper": PAPER[data][family],
        "histories": {f"seed {seed}": one["history"] for seed, one in enumerate(runs)},
    }


def table(cells: list[dict[str, Any]]) -> str:
    """The cells as Markdown."""
    lines = [
        "| data | mesh | training loss | validation % | test % (mean ± spread) | paper % | setting |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in cells:
        words = ", ".join(f"{key} {value:g}" for key, value in one["setting"].items())
        lines.append(
            f"| {one['data']} | {one['mesh']} | {one['loss']:.4f} | {one['validation']:.2f} "
            f"| {one['test']:.2f} ± {one['spread']:.2f} | {one['paper']:.2f} | {words} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, print the table, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="iris,digits")
    parser.add_argument("--meshes", default=",".join(MESHES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="instead of the paper's")
    parser.add_argument("--results", type=Path, default=Path("accuracy.json"))
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    results = Results(options.results)
    cells = []
    for data in options.data.split(","):
        for family in options.meshes.split(","):
            cells.append(cell(results, data, family, options.seeds, options.epochs or EPOCHS[data]))
            if options.figures:
                options.figures.mkdir(parents=True, exist_ok=True)
                histories = {name: pnn.History.from_dict(one) for name, one in cells[-1]["histories"].items()}
                pnn.plot(histories, f"{data}, {family}").savefig(options.figures / f"{data}-{family}.svg")
    print(table(cells))


if __name__ == "__main__":
    sys.exit(main())
