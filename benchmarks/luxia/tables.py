"""Markdown tables of what the benchmarks in this folder have found, the paper's values beside ours."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

ACCURACY = {
    "iris": {"clements": 95.33, "clements_bell": 94.00, "fldzhyan": 96.66, "fldzhyan_bell": 96.00},
    "digits": {"clements": 94.06, "clements_bell": 91.77, "fldzhyan": 92.16, "fldzhyan_bell": 92.66},
    "mnist": {"clements": 97.17, "clements_bell": 97.16, "fldzhyan": 97.44, "fldzhyan_bell": 97.60},
    "olivetti": {"clements": 66.00, "clements_bell": 64.25, "fldzhyan": 70.00, "fldzhyan_bell": 70.50},
}
"""Test accuracy in percent, arXiv 2512.22264."""

RESOURCES = {"100x128": (1.10, 0.75), "800x64": (41.05, 4.47), "800x512": (30.95, 15.99), "900x128": (42.09, 11.46)}
"""Seconds an epoch and GB, the paper's own code on a CPU of 16 cores (Ryzen 9 7950X), arXiv 2512.22264."""

Records = Mapping[str, Any]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; numbers stand right."""
    aligned = ["---:" if all(row[place][:1].isdigit() or not row[place] for row in rows) else "---"
               for place in range(len(columns))]  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in [columns, aligned, *rows])


def accuracy_cells(records: Records) -> list[dict[str, Any]]:
    """A line for every data set, mesh and count of epochs, from the records of ``accuracy.py``."""
    groups: dict[tuple[str, str, int], list[Any]] = {}
    for name, record in records.items():
        kind, data, family, epochs, *_ = name.split("/")
        if kind == "final":
            groups.setdefault((data, family, int(epochs)), []).append(record)
    order = [*ACCURACY]
    cells = []
    for data, family, epochs in sorted(groups, key=lambda key: (order.index(key[0]), key[1:])):
        runs = groups[data, family, epochs]
        tests = [run["test"] for run in runs]
        cells.append(
            {
                "data": data,
                "mesh": family,
                "epochs": epochs,
                "seeds": len(runs),
                "loss": statistics.fmean(run["loss"] for run in runs),
                "validation": statistics.fmean(run["validation"] for run in runs),
                "test": statistics.fmean(tests),
                "spread": statistics.stdev(tests) if len(tests) > 1 else 0.0,
                "paper": ACCURACY[data][family],
                "chosen": Counter(_words(run["setting"]) for run in runs),
                "histories": [run["history"] for run in runs],
            }
        )
    return cells


def _words(setting: Mapping[str, Any]) -> str:
    return f"{setting['encoding']}, {setting['learning_rate']:g}, {setting['input_gain']:g}"


def accuracy_table(records: Records) -> str:
    """Losses and accuracies; the spread is the standard deviation over seeds."""
    columns = ["data", "mesh", "epochs", "seeds", "training loss", "validation %", "test %", "spread", "paper's test %"]
    rows = [
        [
            cell["data"],
            cell["mesh"],
            str(cell["epochs"]),
            str(cell["seeds"]),
            f"{cell['loss']:.4f}",
            f"{cell['validation']:.2f}",
            f"{cell['test']:.2f}" + ("" if cell["test"] >= cell["paper"] else " (below)"),
            f"{cell['spread']:.2f}",
            f"{cell['paper']:.2f}",
        ]
        for cell in accuracy_cells(records)
    ]
    return markdown(columns, rows)


def choices_table(records: Records) -> str:
    """What validation chose: encoding, learning rate, input gain, and for how many seeds."""
    rows = []
    for cell in accuracy_cells(records):
        chosen = "; ".join(f"{words} ({count})" for words, count in cell["chosen"].most_common())
        rows.append([cell["data"], cell["mesh"], chosen])
    return markdown(["data", "mesh", "encoding, learning rate, gain (seeds)"], rows)


def resource_table(found: Records) -> str:
    """An epoch of every case of ``resources.py``."""
    columns = ["N", "batch", "epoch s", "memory MB", "column reference s", "ratio", "reference MB",
               "forward GFLOP/s", "backward GFLOP/s", "sgemm GFLOP/s", "paper s", "paper GB"]  # fmt: skip
    rows = []
    for name in sorted(found["epoch"], key=lambda name: tuple(map(int, name.split("x")))):
        line = found["epoch"][name]
        seconds, gigabytes = RESOURCES.get(name, (None, None))
        remarks = []
        if line.get("reference_share", 1) != 1:
            remarks.append(f"from {100 * line['reference_share']:.0f} % of it")
        if line.get("reference_system_s", 0) > 0.1 * line.get("reference_s", 0):
            remarks.append(f"{_number(line['reference_system_s'])} of it the system's")
        remark = f" ({', '.join(remarks)})" if remarks else ""
        rows.append(
            [
                str(line["N"]),
                str(line["batch"]),
                _number(line["epoch_s"]),
                _number(line["memory_mb"]),
                _number(line.get("reference_s")) + remark,
                _number(line.get("ratio")),
                _number(line.get("reference_mb")),
                _number(line["forward_gflops"]),
                _number(line["backward_gflops"]),
                _number(line["sgemm_gflops"]),
                _number(seconds),
                _number(gigabytes),
            ]
        )
    return markdown(columns, rows)


def memory_table(found: Records) -> str:
    """Peak memory of ``resources.py --memory``, and what it is made of."""
    columns = ["N", "batch", "depth of a mesh", "peak MB", "phases, gradients, squares MB", "rest MB",
               "fields at one window MB", "fields at all windows MB"]  # fmt: skip
    rows = [
        [
            str(line["ports"]),
            str(line["batch"]),
            str(line.get("layers", line["ports"])),
            _number(line["peak_mb"]),
            _number(line["state_mb"]),
            _number(line["peak_mb"] - line["state_mb"]),
            _number(line["fields_mb"]),
            _number(line["kept_windows_mb"]),
        ]
        for line in sorted(found["memory"].values(), key=memory_order)
    ]
    return markdown(columns, rows)


def memory_order(line: Mapping[str, Any]) -> tuple[bool, int, int, int]:
    """Clements meshes by width and batch, then others by depth."""
    return "layers" in line, line.get("layers", 0), line["ports"], line["batch"]


def insitu_table(records: Records) -> str:
    """In situ and exact training, seed by seed, and their means."""
    ways: dict[str, dict[str, float]] = {}
    for name, record in records.items():
        way, epochs, seed = name.rsplit("/", 2)
        ways.setdefault(f"{way}, {epochs} epochs", {})[seed.replace("=", " ")] = record["test"]
    seeds = sorted({seed for tests in ways.values() for seed in tests}, key=lambda seed: int(seed.split()[1]))
    rows = []
    for way, tests in ways.items():
        values = [*tests.values()]
        spread = f"{statistics.stdev(values):.2f}" if len(values) > 1 else ""
        shown = [f"{tests[seed]:.2f}" if seed in tests else "" for seed in seeds]
        rows.append([way, *shown, f"{statistics.fmean(values):.2f}", spread])
    return markdown(["test %", *seeds, "mean", "spread"], rows)


def notes(found: Records) -> str:
    """The machine, and what was said about it when lines were measured."""
    machine = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
    counts = Counter(line["note"] for part in ("epoch", "memory") for line in found[part].values() if line["note"])
    remarks = [f"- {note} ({count} {'line' if count == 1 else 'lines'})" for note, count in counts.items()]
    return "\n".join([f"- Machine: {machine}.", *remarks])


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
