"""Who evaluates the points of a sweep: this process, several, or a Dask cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process

from ..runtime.errors import LightloomError, complaint
from ..runtime.installed import missing
from .evaluate import Result, evaluate
from .points import Point
from .spec import SweepSpec

GROUP = 8
"""Points that compile alike are handed out so many at a time."""

ANSWER = "10s"
"""How long a Dask scheduler may take to answer."""


@dataclass(frozen=True)
class Workers:
    """Where points go.

    ``submit`` hands out some points; ``group`` is how many at a time, ``ahead`` how many groups may be under way at
    once (None: all). ``lost`` are the errors of ``Future.result`` that say that a worker, and no point, is at fault.
    """

    submit: Callable[[SweepSpec, list[Point]], Future[list[Result]]]
    group: int
    ahead: int | None
    lost: tuple[type[BaseException], ...] = ()

    def results(self, future: Future[list[Result]]) -> list[Result]:
        """What came of a group.

        Raises:
            LightloomError: its worker was lost. What is in the journal is safe.
        """
        try:
            return future.result()
        except self.lost as error:
            raise LightloomError(
                complaint(
                    "a worker of the sweep was lost; finished points are in the journal",
                    got=f"{type(error).__name__}: {error}",
                    next_step="start the same sweep again; with fewer --jobs, if memory ran out",
                )
            ) from error


def evaluate_group(spec: SweepSpec, points: list[Point]) -> list[Result]:
    """Evaluate some points one after another; runs in a worker."""
    return [evaluate(spec, point) for point in points]


@contextmanager
def workers(jobs: int, dask: str | None) -> Iterator[Workers]:
    """Workers for a sweep: ``jobs`` processes (1: this one), or the cluster at an address.

    Raises:
        LightloomError: ``distributed`` is not installed, or the cluster does not answer.
    """
    if dask is not None:
        with _cluster(dask) as found:
            yield found
    elif jobs <= 1:
        # one point at a time, so that each is on disk before the next begins
        yield Workers(_here, 1, 1)
    else:
        # spawned, not forked: a fork of a process with running threads may hang
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
            try:
                yield Workers(
                    lambda spec, points: pool.submit(evaluate_group, spec, points),
                    GROUP,
                    2 * jobs,
                    (BrokenProcessPool,),
                )
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # an interrupt does not wait for what is handed out
                raise


def _here(spec: SweepSpec, points: list[Point]) -> Future[list[Result]]:
    future: Future[list[Result]] = Future()
    future.set_result(evaluate_group(spec, points))
    return future


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever: it ends with it."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _cluster(address: str) -> Iterator[Workers]:
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise missing("a Dask cluster", "distributed", "sweep") from error
    try:
        client = Client(address, timeout=ANSWER)
    except (OSError, TimeoutError, ValueError) as error:
        raise LightloomError(complaint("the Dask cluster does not answer", where=address, got=str(error))) from error
    with client:
        # a worker that is lost loses nothing: Dask hands its points to another
        executor = client.get_executor(retries=3, pure=False)
        yield Workers(
            partial(executor.submit, evaluate_group),
            GROUP,
            None,
            (KilledWorker, CancelledError, OSError, TimeoutError),
        )
