"""Runs a sweep: on processes, or on a Dask cluster; what is finished is never done again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from .bayes import explore
from .evaluate import chip, compile_key
from .journal import Journal
from .points import Point, grid_points, random_points
from .recording import Progress, record
from .spec import SweepSpec
from .workers import Workers, workers


@dataclass(frozen=True)
class Finished:
    """A finished point: its values by name, its metrics, or the reason why it has none."""

    point: Point
    metrics: dict[str, float]
    error: str


def run_sweep(
    spec: SweepSpec,
    folder: str | Path,
    *,
    jobs: int = 1,
    dask: str | None = None,
    progress: Progress | None = None,
) -> list[Finished]:
    """Evaluate every point of a sweep that the folder's journal does not hold yet.

    Args:
        spec: The sweep.
        folder: Where ``journal.jsonl`` grows.
        jobs: Processes; 1 evaluates in this one.
        dask: Address of a Dask scheduler (``tcp://...``) to evaluate on instead.
        progress: Called after every finished point.

    Returns:
        All points, those of earlier runs included, in the sweep's order.

    Raises:
        InputError: the folder holds another sweep, or another process sweeps in it.
        LightloomError: a package of the ``sweep`` extra is missing, the cluster cannot be reached, a worker was lost.
    """
    journal = Journal(Path(folder) / "journal.jsonl", settings_of(spec))
    try:
        with workers(jobs, dask) as at:
            if spec.method == "bayes":
                points = explore(spec, journal, at, max(1, jobs), progress)
            else:
                points = grid_points(spec) if spec.method == "grid" else random_points(spec)
                _all(spec, points, journal, at, progress)
    finally:
        journal.close()
    return [finished(point, journal.entries[point.key]) for point in points]


def settings_of(spec: SweepSpec) -> dict[str, Any]:
    """What a journal's points depend on, besides what is explored: another journal is another sweep.

    Limits only say which points count, and so do objectives where no search follows them.
    """
    outside = {"points", "folder", "limits"} if spec.method == "bayes" else {"points", "folder", "limits", "objectives"}
    settings = json.loads(spec.model_dump_json(exclude=outside))
    settings["chip"] = chip(spec).model_dump(mode="json") if spec.compiles else None
    data = (spec.accuracy.inputs, spec.accuracy.labels) if spec.accuracy is not None else ()
    files = [spec.at(name) for name in (spec.model, *data)]
    settings["files"] = [sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()]
    return settings


def finished(point: Point, entry: dict[str, Any]) -> Finished:
    """A point with its entry of the journal."""
    return Finished(point, entry["metrics"], entry["error"])


def _all(spec: SweepSpec, points: list[Point], journal: Journal, at: Workers, progress: Progress | None) -> None:
    left = [point for point in points if point.key not in journal.entries]
    done = len(points) - len(left)
    if progress is not None:
        progress(done, len(points))
    groups = iter(_groups(spec, left, at.group))
    running = {at.submit(spec, group): group for group in islice(groups, at.ahead)}
    while running:
        ready, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ready:
            for point, result in zip(running.pop(future), at.results(future), strict=True):
                record(journal, point, result)
                done += 1
                if progress is not None:
                    progress(done, len(points))
            running.update({at.submit(spec, group): group for group in islice(groups, 1)})


def _groups(spec: SweepSpec, points: Iterable[Point], size: int) -> list[list[Point]]:
    """Points that one compile serves together, in groups of at most ``size``."""
    alike: dict[str, list[Point]] = {}
    for point in points:
        alike.setdefault(compile_key(spec, point), []).append(point)
    return [group[start : start + size] for group in alike.values() for start in range(0, len(group), size)]
