"""Rules of recurrent steps and of products of two computed values: whole windows, in their order."""

from __future__ import annotations

import numpy as np

from ..errors import complaint
from ..program import ProductStep, ProgramBody, RecurrentStep
from ..recurrent import windows
from .bounds import gates_s, loop_tiles
from .check_cores import TOLERANCE, lengths
from .latency import factor_s, stream_s
from .schedule import EventKind, Schedule


def loop(schedule: Schedule, body: ProgramBody, step: RecurrentStep, events: np.ndarray) -> list[str]:
    """The windows of a recurrent step: every tile once a time step, gates between, each after what it needs."""
    times, vectors = windows(body, step, schedule.batch)
    kinds = schedule.kind[events]
    streams, gates = events[kinds == EventKind.STREAM], events[kinds == EventKind.HOST]
    tiles = loop_tiles(body, step)
    faults: list[str] = []
    if not np.array_equal(np.sort(schedule.tile[streams]), np.repeat(np.arange(sum(tiles)), times)):
        faults.append(
            complaint(
                "tiles are not streamed once a time step",
                where=step.name,
                got=f"{len(streams)} streams",
                allowed=f"{times} streams of each of {sum(tiles)} tiles",
            )
        )
    if len(gates) != times:
        faults.append(
            complaint("a time step has its gates once", where=step.name, got=f"{len(gates)}", allowed=f"{times}")
        )
    faults += _whole(schedule, step.name, streams, vectors)
    if faults:
        return faults
    faults += _time_steps(schedule, step, streams, gates, tiles, times)
    faults += lengths(schedule, gates, gates_s(body, step, schedule.batch))
    seconds = np.repeat([stream_s(body.target_for(name), vectors) for name in step.banks], tiles)
    return faults + lengths(schedule, streams, seconds[schedule.tile[streams]])


def product(schedule: Schedule, body: ProgramBody, step: ProductStep, events: np.ndarray) -> list[str]:
    """Factorised once, then every tile of every sample configured and streamed once, in this order."""
    vectors = body.costs[step.name].vectors
    tiles = schedule.batch * body.banks[step.bank].spec.tiles if vectors else 0
    kinds = schedule.kind[events]
    faults: list[str] = []
    for kind, done in ((EventKind.CONFIGURE, "configured"), (EventKind.STREAM, "streamed")):
        if not np.array_equal(np.sort(schedule.tile[events[kinds == kind]]), np.arange(tiles)):
            what = f"tiles of a product that are not {done} once each"
            faults.append(complaint(what, where=step.name, allowed=f"tiles 0 to {tiles - 1}" if tiles else "none"))
    factors = events[kinds == EventKind.HOST]
    streams = events[kinds == EventKind.STREAM]
    if len(factors) != 1:
        faults.append(complaint("a product is factorised once", where=step.name, got=len(factors)))
    elif (schedule.start_s[events[kinds != EventKind.HOST]] < schedule.end_s[factors[0]] * (1 - TOLERANCE)).any():
        faults.append(complaint("a tile is configured before its weights are there", where=step.name))
    faults += _whole(schedule, step.name, streams, vectors)
    faults += lengths(schedule, factors, factor_s(body, step, schedule.batch))
    return faults + lengths(schedule, streams, stream_s(body.target_for(step.bank), vectors))


def _whole(schedule: Schedule, name: str, streams: np.ndarray, vectors: int) -> list[str]:
    """Streams of whole windows, from their first vector on."""
    wrong = streams[(schedule.vectors[streams] != vectors) | (schedule.first[streams] != 0)]
    if not len(wrong):
        return []
    return [
        complaint(
            "a stream of the wrong vectors",
            where=f"event {wrong[0]}, step {name}",
            got=f"{schedule.vectors[wrong[0]]} from {schedule.first[wrong[0]]}",
            allowed=f"{vectors} from 0",
        )
    ]


def _time_steps(
    schedule: Schedule,
    step: RecurrentStep,
    streams: np.ndarray,
    gates: np.ndarray,
    tiles: tuple[int, ...],
    times: int,
) -> list[str]:
    """The order within a loop, from its events (in start order): hidden products, gates, projection, next step."""
    turns = [(schedule.start_s[gates], schedule.end_s[gates])]
    before = 0
    for phase, count in enumerate(tiles):
        own = streams[(schedule.tile[streams] >= before) & (schedule.tile[streams] < before + count)]
        before += count
        if count:
            # the k-th window of each tile belongs to time step k
            rows = own[np.argsort(schedule.tile[own], kind="stable")].reshape(count, times)
            turns.insert(phase * 2, (schedule.start_s[rows].min(0), schedule.end_s[rows].max(0)))
    starts = np.stack([start for start, _ in turns], 1).ravel()
    ends = np.stack([end for _, end in turns], 1).ravel()
    early = np.flatnonzero(starts[1:] < ends[:-1])
    if not len(early):
        return []
    return [
        complaint(
            "a time step goes on before what it needs is there",
            where=f"{step.name}, time step {(early[0] + 1) // len(turns)}",
            got=f"{starts[early[0] + 1]} s",
            allowed=f"from {ends[early[0]]} s",
        )
    ]
