"""The accuracy table of the slicing paper: Iris and Digits on four meshes, mean and spread of five seeds.

    python benchmarks/luxia/accuracy.py [--data iris,digits] [--seeds 5] [--results docs/luxia/accuracy.json]

Two meshes in series, a diagonal between them, photodetectors and a bias; 70 / 10 / 20 split; RMSProp.

The protocol, the same for every mesh. A seed has its own split, phases and order of samples, and makes its own choice
of hyper-parameters: every candidate is trained on what is not the seed's test part, and the one with the best
validation accuracy (of equals, with the lowest validation loss) is kept. Digits validates on the seed's validation
part. Iris has 15 samples there, too few to tell candidates apart, so training and validation part together are cut
into eight folds, each trained on 70 % and validated on 10 % of the data, and the means count. Then the network is
trained by ``pnn.train`` on the seed's training part with what was chosen, and only that run looks at the test part.

Everything found is written to the results file as it comes; started again, the script goes on from there. Candidates
are trained many at a time (``together.py``). MNIST and Olivetti (``--data mnist,olivetti``) are fetched by scikit-learn
and skipped where that fails. ``--epochs`` shortens all runs, for a check of the script. ``page.py`` makes the tables
and figures of the documentation from the results.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import parts
import together
from shared import Options
from together import Setting

from lightloom.models import pnn

MESHES = {
    "clements": {"haar": True},
    "clements_bell": {"haar": True},
    "fldzhyan": {},
    "fldzhyan_bell": {},
}
"""Families and their options; a fldzhyan mesh has the family's own default depth."""

PORTS = {"iris": 4, "digits": 64, "mnist": 784, "olivetti": 1024}
EPOCHS = {"iris": 400, "digits": 200, "mnist": 150, "olivetti": 400}
FOLDS = {"iris": 8, "digits": 1, "mnist": 1, "olivetti": 1}
TILES = {"iris": 120, "digits": 15, "mnist": 1, "olivetti": 5}
"""How many networks are trained at a time."""

CANDIDATES = {
    "iris": [Setting(*one[:1], 16, *one[1:]) for one in product((0.03, 0.1), (1.0, 2.0, 4.0), parts.ENCODINGS)],
    "digits": [Setting(rate, 64, gain) for rate in (3e-3, 1e-2) for gain in (0.5, 1.0, 2.0)],
    "mnist": [Setting(1e-3, 512, 1.0)],
    "olivetti": [Setting(rate, 64, 1.0) for rate in (1e-3, 3e-3, 1e-2)],
}


def pieces(things: list[Any], size: int) -> list[list[Any]]:
    """The list in pieces of a size, the last of what is left."""
    return [things[start : start + size] for start in range(0, len(things), size)]


def network(data: str, family: str, setting: Setting, seed: int) -> pnn.MeshNetwork:
    """The paper's network with the first phases of a seed."""
    classes = 1 + int(parts.raw(data)[1].max())
    return pnn.MeshNetwork(
        PORTS[data],
        classes,
        family,
        bias=True,
        diagonal=True,
        input_gain=setting.input_gain,
        seed=seed,
        **MESHES[family],
    )


def try_out(data: str, family: str, pairs: list[tuple[int, Setting]], epochs: int) -> list[dict[str, float]]:
    """Validation of (seed, setting) pairs, means over folds. No test part is made, let alone looked at."""
    count = FOLDS[data]
    runs = [
        together.Run(network(data, family, setting, 1000 * seed + 10 * place), fold, setting, seed)
        for seed, setting in pairs
        for place, fold in enumerate(parts.folds(data, seed, count, setting.encoding))
    ]
    start = time.perf_counter()
    outcomes = together.train(runs, epochs)
    seconds = (time.perf_counter() - start) / len(pairs)
    return [
        {
            "validation": 100 * statistics.fmean(one.validation_accuracy for one in group),
            "validation_loss": statistics.fmean(one.validation_loss for one in group),
            "loss": statistics.fmean(one.loss for one in group),
            "seconds": seconds,
        }
        for group in pieces(outcomes, count)
    ]


def train(data: str, family: str, setting: Setting, seed: int, epochs: int) -> dict[str, Any]:
    """The training whose test accuracy counts."""
    split = parts.split(data, seed, setting.encoding)
    model = network(data, family, setting, 1000 * seed)
    options = pnn.Training(
        epochs=epochs,
        batch=setting.batch,
        learning_rate=setting.learning_rate,
        final_rate=together.FINAL_RATE,
        seed=seed,
    )
    start = time.perf_counter()
    history = pnn.train(model, split, options)
    return {
        "loss": history.loss[-1],
        "validation_loss": history.validation_loss[-1],
        "validation": 100 * history.validation_accuracy[-1],
        "test": 100 * pnn.evaluate(model, split.test_x, split.test_y)[1],
        "seconds": time.perf_counter() - start,
        "setting": asdict(setting),
        "history": history.to_dict(),
    }


class Results:
    """Records by name in a JSON file that is whole at any time; numbers to six digits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def add(self, found: dict[str, Any]) -> None:
        """Keep records, and say so."""
        self.records |= json.loads(json.dumps(found), parse_float=lambda text: float(f"{float(text):.6g}"))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".part")
        lines = (f"{json.dumps(name)}: {json.dumps(self.records[name])}" for name in sorted(self.records))
        partial.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        os.replace(partial, self.path)
        for name in found:
            shown = {key: value for key, value in self.records[name].items() if isinstance(value, float)}
            print(name, shown, flush=True)


def choose(results: Results, data: str, family: str, seeds: range, epochs: int) -> dict[int, Setting]:
    """The setting of every seed."""

    def name(seed: int, setting: Setting) -> str:
        return f"choose/{data}/{family}/{epochs}/seed={seed}/{setting}"

    candidates = CANDIDATES[data]
    if len(candidates) == 1:
        return dict.fromkeys(seeds, candidates[0])
    pairs = [(seed, setting) for setting in candidates for seed in seeds]
    missing = [pair for pair in pairs if name(*pair) not in results.records]
    for some in pieces(missing, max(1, TILES[data] // FOLDS[data])):
        found = try_out(data, family, some, epochs)
        results.add({name(*pair): record for pair, record in zip(some, found, strict=True)})

    def worth(seed: int, setting: Setting) -> tuple[float, float]:
        record = results.records[name(seed, setting)]
        return record["validation"], -record["validation_loss"]

    return {seed: max(candidates, key=lambda setting: worth(seed, setting)) for seed in seeds}


def fill(results: Results, data: str, family: str, seeds: range, epochs: int) -> None:
    """One cell of the table: what is missing of it."""
    for seed, setting in choose(results, data, family, seeds, epochs).items():
        name = f"final/{data}/{family}/{epochs}/seed={seed}"
        if results.records.get(name, {}).get("setting") != asdict(setting):
            results.add({name: train(data, family, setting, seed, epochs)})


def available(names: list[str]) -> Iterator[str]:
    """Data sets that are here or can be fetched; a line about each that cannot."""
    for data in names:
        try:
            parts.raw(data)
        except OSError as error:
            print(f"{data} skipped: scikit-learn could not fetch it ({error})")
        else:
            yield data


def main() -> None:
    """Train what is missing and print the table."""
    parser = Options(__doc__, "sklearn")
    parser.add_argument("--data", default="iris,digits")
    parser.add_argument("--meshes", default=",".join(MESHES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="instead of the paper's")
    parser.add_argument("--results", type=Path, default=Path("accuracy.json"))
    options = parser.parse_args()
    results = Results(options.results)
    for data in available(options.data.split(",")):
        for family in options.meshes.split(","):
            fill(results, data, family, range(options.seeds), options.epochs or EPOCHS[data])
    from tables import accuracy_table

    if results.records:
        print(accuracy_table(results.records))


if __name__ == "__main__":
    sys.exit(main())
