"""Results of a sweep: tables as CSV or Parquet, the Pareto front, and its figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.errors import InputError, LightloomError, complaint
from ..runtime.report.tables import csv_text, si
from .run import Finished
from .spec import MAXIMISED, SweepSpec

UNITS = {"_s": "s", "_j": "J", "_w": "W"}


def rows(spec: SweepSpec, finished: Sequence[Finished]) -> tuple[list[str], list[list[Any]]]:
    """Header and one row a point: what it changes, its metrics, whether it is on the Pareto front, its error."""
    explored = [*spec.fields, *spec.options]
    metrics = list(dict.fromkeys(name for item in finished for name in item.metrics))
    front = set(pareto(spec, finished))
    table = [
        [
            *(_plain(item.point.values[name]) for name in explored),
            *(item.metrics.get(name) for name in metrics),
            place in front,
            item.error,
        ]
        for place, item in enumerate(finished)
    ]
    return [*explored, *metrics, "pareto", "error"], table


def pareto(spec: SweepSpec, finished: Sequence[Finished]) -> list[int]:
    """Places of the points that no other beats in every objective, in the order of the first objective."""
    usable = [place for place, item in enumerate(finished) if all(name in item.metrics for name in spec.objectives)]
    if not usable:
        return []
    signs = [-1.0 if name in MAXIMISED else 1.0 for name in spec.objectives]
    values = np.array(
        [[sign * finished[p].metrics[name] for sign, name in zip(signs, spec.objectives, strict=True)] for p in usable]
    )
    order = np.lexsort(values.T[::-1])
    front: list[int] = []
    best = np.inf
    for place in order:
        last = values[place, -1]
        if last < best:
            best = last
            front.append(usable[int(place)])
        if values.shape[1] == 1:
            break
    return front


def write_results(
    spec: SweepSpec, finished: Sequence[Finished], folder: str | Path, *, parquet: bool = False
) -> list[Path]:
    """Write ``results.csv`` (or ``.parquet``) and, with two objectives, ``pareto.svg`` and ``.png``.

    Raises:
        LightloomError: a package that a format needs is not installed.
        InputError: a file cannot be written.
    """
    place = Path(folder)
    header, table = rows(spec, finished)
    written: list[Path] = []
    try:
        if parquet:
            written.append(_parquet(place / "results.parquet", header, table))
        else:
            path = place / "results.csv"
            path.write_text(csv_text(header, table), encoding="utf-8")
            written.append(path)
        if len(spec.objectives) == 2 and pareto(spec, finished):
            written += figure(spec, finished, place)
    except OSError as error:
        raise InputError(complaint("the results cannot be written", where=str(place), got=str(error))) from error
    return written


def _parquet(path: Path, header: list[str], table: list[list[Any]]) -> Path:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise LightloomError(
            complaint(
                "Parquet needs pyarrow, which is not installed", next_step="pip install 'lightloom[sweep]', or take CSV"
            )
        ) from error
    columns = {name: [row[place] for row in table] for place, name in enumerate(header)}
    parquet.write_table(pyarrow.table(columns), path)
    return path


def figure(spec: SweepSpec, finished: Sequence[Finished], folder: Path) -> list[Path]:
    """Every point in the plane of the two objectives, the Pareto front joined.

    Raises:
        LightloomError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter
    except ImportError as error:
        raise LightloomError(
            complaint("figures need matplotlib, which is not installed", next_step="pip install 'lightloom[demo]'")
        ) from error
    across, up = spec.objectives
    usable = [item for item in finished if across in item.metrics and up in item.metrics]
    front = [finished[place] for place in pareto(spec, finished)]
    chart = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = chart.add_subplot()
    axes.scatter(
        [i.metrics[across] for i in usable], [i.metrics[up] for i in usable], s=22, color="#9aa6b5", label="points"
    )
    line = {"where": "post"} if up not in MAXIMISED else {"where": "pre"}
    points = [[item.metrics[name] for item in front] for name in (across, up)]
    axes.step(*points, color="#1f6fd1", lw=1.4, **line)  # type: ignore[arg-type]
    axes.scatter(*points, s=38, color="#1f6fd1", zorder=3, label=f"Pareto front ({len(front)})")
    for axis, name in ((axes.xaxis, across), (axes.yaxis, up)):
        unit = next((text for suffix, text in UNITS.items() if name.endswith(suffix)), "")
        values = [item.metrics[name] for item in usable]
        if unit and min(values) > 0 and max(values) > 8 * min(values):
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
        if unit:
            axis.set_major_formatter(FuncFormatter(lambda value, _, unit=unit: si(value, unit, 3)))
            axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        axis.set_label_text(name.rsplit("_", 1)[0].replace("_", " ") if unit else name)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    axes.set_title(f"{spec.model} from {spec.target}: {len(usable)} points", fontsize=11)
    paths = [folder / "pareto.svg", folder / "pareto.png"]
    for path in paths:
        chart.savefig(path, dpi=150)
    return paths


def _plain(value: Any) -> Any:
    """Lists and dicts of options as JSON text, everything else as it is."""
    return json.dumps(value) if isinstance(value, (list, dict, tuple)) else value
