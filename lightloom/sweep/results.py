"""Results of a sweep: tables as CSV or Parquet, and the Pareto front."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.errors import InputError, complaint
from ..runtime.installed import missing
from ..runtime.report.tables import csv_text
from .figure import FIGURES, figure
from .run import Finished
from .spec import MAXIMISED, SweepSpec


def rows(spec: SweepSpec, finished: Sequence[Finished]) -> tuple[list[str], list[list[Any]]]:
    """Header and one row a point: what it changes, its metrics, whether it is on the Pareto front, its error.

    With limits, a column says whether the point keeps to them.
    """
    explored = [*spec.fields, *spec.options]
    metrics = list(dict.fromkeys(name for item in finished for name in item.metrics))
    front = set(pareto(spec, finished))
    table = [
        [
            *(_plain(item.point.values[name]) for name in explored),
            *(item.metrics.get(name) for name in metrics),
            *([spec.within(item.metrics)] if spec.limits else []),
            place in front,
            item.error,
        ]
        for place, item in enumerate(finished)
    ]
    return [*explored, *metrics, *(["feasible"] if spec.limits else []), "pareto", "error"], table


def pareto(spec: SweepSpec, finished: Sequence[Finished]) -> list[int]:
    """Places of the points within the limits that no other such point beats in every objective.

    In the order of the first objective. Of points that are equal in all objectives, the first.
    """
    places = [place for place, item in enumerate(finished) if spec.counts(item.metrics)]
    signs = [-1.0 if name in MAXIMISED else 1.0 for name in spec.objectives]
    values = np.array(
        [[sign * finished[p].metrics[name] for sign, name in zip(signs, spec.objectives, strict=True)] for p in places]
    ).reshape(len(places), len(signs))
    front: list[int] = []
    # in this order a point is only ever beaten by one before it, and then by one of the front
    for place in np.lexsort(values.T[::-1]):
        if not (values[front] <= values[place]).all(axis=1).any():
            front.append(int(place))
    return [places[place] for place in front]


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
        for name in FIGURES:
            (place / name).unlink(missing_ok=True)  # of another front
        front = [finished[point] for point in pareto(spec, finished)]
        if len(spec.objectives) == 2 and front:
            inside = [item for item in finished if spec.counts(item.metrics)]
            beyond = [
                item for item in finished if set(spec.objectives) <= set(item.metrics) and not spec.counts(item.metrics)
            ]
            written += figure(spec, inside, beyond, front, place)
    except OSError as error:
        raise InputError(complaint("the results cannot be written", where=str(place), got=str(error))) from error
    return written


def _parquet(path: Path, header: list[str], table: list[list[Any]]) -> Path:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise missing("Parquet", "pyarrow", "sweep", "take CSV") from error
    columns = {name: [row[place] for row in table] for place, name in enumerate(header)}
    parquet.write_table(pyarrow.table(columns), path)
    return path


def _plain(value: Any) -> Any:
    """Lists and dicts of options as JSON text, everything else as it is."""
    return json.dumps(value) if isinstance(value, (list, dict, tuple)) else value
