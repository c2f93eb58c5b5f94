"""Runs a sweep: on processes, or on a Dask cluster; what is finished is never done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ..runtime.errors import LightloomError, complaint
from .evaluate import Result, compile_key, evaluate
from .journal import Journal
from .points import Point, grid_points, random_points
from .spec import SweepSpec

GROUP = 8
"""Points that compile alike are handed out so many at a time."""

Progress = Callable[[int, int], None]
"""Called with the points done and the points in all."""


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
        InputError: the folder holds another sweep.
        LightloomError: a package of the ``sweep`` extra is missing, or the cluster cannot be reached.
    """
    settings = json.loads(spec.model_dump_json(exclude={"points", "folder"}))
    journal = Journal(Path(folder) / "journal.jsonl", settings)
    try:
        with _workers(jobs, dask) as submit:
            if spec.method == "bayes":
                from .bayes import explore

                points = explore(spec, journal, submit, max(1, jobs), progress)
            else:
                points = grid_points(spec) if spec.method == "grid" else random_points(spec)
                _all(spec, points, journal, submit, progress)
    finally:
        journal.close()
    return [finished(point, journal.entries[point.key]) for point in points]


def finished(point: Point, entry: dict[str, Any]) -> Finished:
    """A point with its entry of the journal."""
    return Finished(point, entry["metrics"], entry["error"])


Submit = Callable[[SweepSpec, list[Point]], "Future[list[Result]]"]
"""Hand some points to a worker."""


def evaluate_group(spec: SweepSpec, points: list[Point]) -> list[Result]:
    """Evaluate some points one after another; runs in a worker."""
    return [evaluate(spec, point) for point in points]


def record(journal: Journal, point: Point, result: Result) -> None:
    """Write a result to the journal."""
    journal.add(
        point.key,
        {
            "fields": dict(point.fields),
            "options": dict(point.options),
            "metrics": dict(result.metrics),
            "error": result.error,
        },
    )


def _all(spec: SweepSpec, points: list[Point], journal: Journal, submit: Submit, progress: Progress | None) -> None:
    left = [point for point in points if point.key not in journal.entries]
    done = len(points) - len(left)
    if progress is not None:
        progress(done, len(points))
    waiting = {submit(spec, group): group for group in _groups(left)}
    while waiting:
        ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in ready:
            for point, result in zip(waiting.pop(future), future.result(), strict=True):
                record(journal, point, result)
                done += 1
                if progress is not None:
                    progress(done, len(points))


def _groups(points: Iterable[Point]) -> list[list[Point]]:
    """Points that one compile serves together, in groups of at most :data:`GROUP`."""
    alike: dict[str, list[Point]] = {}
    for point in points:
        alike.setdefault(compile_key(point), []).append(point)
    return [group[start : start + GROUP] for group in alike.values() for start in range(0, len(group), GROUP)]


@contextmanager
def _workers(jobs: int, dask: str | None) -> Iterator[Submit]:
    if dask is not None:
        with _cluster(dask) as submit:
            yield submit
    elif jobs <= 1:
        yield _here
    else:
        # spawned, not forked: a fork of a process with running threads may hang
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            yield lambda spec, points: pool.submit(evaluate_group, spec, points)


def _here(spec: SweepSpec, points: list[Point]) -> Future[list[Result]]:
    future: Future[list[Result]] = Future()
    future.set_result(evaluate_group(spec, points))
    return future


@contextmanager
def _cluster(address: str) -> Iterator[Submit]:
    try:
        from distributed import Client
    except ImportError as error:
        raise LightloomError(
            complaint(
                "a Dask cluster needs distributed, which is not installed", next_step="pip install 'lightloom[sweep]'"
            )
        ) from error
    try:
        client = Client(address, timeout="10s")
    except (OSError, TimeoutError) as error:
        raise LightloomError(complaint("the Dask cluster does not answer", where=address, got=str(error))) from error
    with client:
        # a worker that is lost loses nothing: Dask hands its points to another
        executor = client.get_executor(retries=3, pure=False)
        yield lambda spec, points: executor.submit(evaluate_group, spec, points)
