"""The rules that a schedule must keep, checked on whole columns."""

from __future__ import annotations

import numpy as np

from .bounds import gates_s, loop_tiles
from .errors import VerifyError, complaint
from .latency import host_s, stream_s
from .products import factor_s
from .program import HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep
from .recurrent import windows
from .schedule import COLUMNS, EventKind, Schedule
from .walk import reads

# Times are sums of float64: equal durations may differ by rounding, relative to the time on the clock.
TOLERANCE = 1e-9
SHOWN = 10


def verify(schedule: Schedule, body: ProgramBody) -> None:
    """Check every rule, see :meth:`Schedule.verify`. Raises VerifyError with the faults found."""
    faults = _shape(schedule, body)
    if not faults:
        faults = _order(schedule) + _resources(schedule, body)
        for index in range(len(body.steps)):
            faults += _step(schedule, body, index)
        faults += _dependencies(schedule, body)
    if faults:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        lines = "\n".join(f"  - {fault}" for fault in faults[:SHOWN] + more)
        raise VerifyError(f"the schedule of {body.name!r} breaks {len(faults)} rules:\n{lines}")


def _shape(schedule: Schedule, body: ProgramBody) -> list[str]:
    """Names, lengths, types and ranges: what the other rules index with."""
    names = tuple(step.name for step in body.steps)
    if schedule.steps != names:
        return [complaint("the schedule is of another program", got=schedule.steps, allowed=str(names))]
    lengths = {name: getattr(schedule, name).shape for name in COLUMNS}
    if len(set(lengths.values())) != 1 or len(lengths["kind"]) != 1:
        return [complaint("columns of unequal length", got=lengths)]
    faults: list[str] = []
    ranges = {"kind": (0, 3), "step": (0, len(names) - 1), "core": (-2, body.target.mesh.cores - 1)}
    for name, (low, high) in ranges.items():
        column = getattr(schedule, name)
        wrong = np.flatnonzero((column < low) | (column > high))
        if len(wrong):
            faults.append(
                complaint(
                    f"no such {name}",
                    where=f"event {wrong[0]}",
                    got=int(column[wrong[0]]),
                    allowed=f"{low} to {high}",
                )
            )
    for name in ("start_s", "end_s"):
        if not np.isfinite(getattr(schedule, name)).all():
            faults.append(complaint("a time that is not a number", where=name))
    return faults


def _order(schedule: Schedule) -> list[str]:
    faults: list[str] = []
    start, end = schedule.start_s, schedule.end_s
    backwards = np.flatnonzero(np.diff(start) < 0)
    if len(backwards):
        faults.append(complaint("events out of start order", where=f"event {backwards[0] + 1}"))
    if len(start) and start[0] < 0:
        faults.append(complaint("an event before the run starts", where="event 0", got=float(start[0])))
    negative = np.flatnonzero(end < start)
    if len(negative):
        faults.append(complaint("an event that ends before it starts", where=f"event {negative[0]}"))
    makespan = float(end.max(initial=0.0))
    if schedule.makespan_s != makespan:
        faults.append(complaint("a makespan that is not the last end", got=schedule.makespan_s, allowed=str(makespan)))
    if not 0 <= schedule.lower_bound_s <= makespan:
        faults.append(
            complaint("a lower bound above the makespan", got=schedule.lower_bound_s, allowed=f"0 to {makespan}")
        )
    return faults


def _resources(schedule: Schedule, body: ProgramBody) -> list[str]:
    """One event at a time on a core and on the host, or one of each kind where a core has two buffers; a core streams
    only a tile that it holds, from after its configuration until its buffer is configured for another."""
    faults: list[str] = []
    if schedule.buffers != body.target.mesh.buffers:
        return [complaint("a schedule for other cores", where="buffers", got=schedule.buffers,
                          allowed=str(body.target.mesh.buffers))]  # fmt: skip
    # with two buffers a core's configurations are a lane of their own
    lane = 2 * schedule.core.astype(np.int64)
    if schedule.buffers > 1:
        lane += schedule.kind == EventKind.CONFIGURE
    order = np.lexsort((np.arange(len(schedule)), lane))
    core, start, end = schedule.core[order], schedule.start_s[order], schedule.end_s[order]
    overlap = np.flatnonzero((lane[order][1:] == lane[order][:-1]) & (start[1:] < end[:-1]))
    if len(overlap):
        first, second = order[overlap[0]], order[overlap[0] + 1]
        where = f"core {core[overlap[0]]}" if core[overlap[0]] >= 0 else "host"
        faults.append(complaint("two events at once", where=f"{where}, events {first} and {second}"))

    order = np.lexsort((np.arange(len(schedule)), schedule.core))
    core = schedule.core[order]
    chip = order[core >= 0]
    host = order[core < 0]
    if (schedule.kind[chip] == EventKind.HOST).any() or (schedule.kind[host] != EventKind.HOST).any():
        return [*faults, complaint("a host op on a core, or a tile on the host")]
    # each core's configurations in turn; the k-th goes into buffer k mod buffers
    configures = chip[schedule.kind[chip] == EventKind.CONFIGURE]
    tile, where = _tiles_of_program(schedule, body), schedule.core.astype(np.int64)
    names = where[chip] * (int(tile.max(initial=0)) + 1) + tile[chip]
    kinds = np.unique(names, return_inverse=True)[1]
    place = np.zeros(len(schedule), np.int64)
    place[chip] = kinds * len(schedule) + chip  # same core and tile, in start order
    streams = chip[schedule.kind[chip] == EventKind.STREAM]
    known = configures[np.argsort(place[configures])]
    found = np.searchsorted(place[known], place[streams]) - 1
    source = known[found] if len(known) else np.full(len(streams), -1)
    held = (found >= 0) & (where[source] == where[streams]) & (tile[source] == tile[streams])
    held &= schedule.end_s[source] <= schedule.start_s[streams]
    turn = np.zeros(len(schedule), np.int64)
    turn[configures] = np.arange(len(configures))
    after = turn[source] + schedule.buffers  # the configuration that takes the same buffer next
    again = configures[np.minimum(after, len(configures) - 1)] if len(configures) else source
    same = (after < len(configures)) & (where[again] == where[streams])
    held &= ~same | (schedule.start_s[again] >= schedule.end_s[streams])
    wrong = streams[~held]
    if len(wrong):
        event = wrong.min()
        faults.append(
            complaint(
                "a stream through a tile that its core does not hold",
                where=f"event {event}, step {body.steps[schedule.step[event]].name}",
                got=f"tile {schedule.tile[event]} on core {schedule.core[event]}",
            )
        )
    return faults


def _tiles_of_program(schedule: Schedule, body: ProgramBody) -> np.ndarray:
    """Of each event, its tile counted through all banks of the program; -1 where it has none."""
    sizes = {name: bank.spec.tiles for name, bank in body.banks.items()}
    first = dict(zip(sizes, np.cumsum([0, *sizes.values()])[:-1].tolist(), strict=True))
    fresh = sum(sizes.values())
    found = np.full(len(schedule), -1, np.int64)
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        if isinstance(step, HostStep):
            continue
        tile = schedule.tile[events].astype(np.int64)
        if isinstance(step, ProductStep):  # every sample's tiles are others
            found[events] = np.where(tile >= 0, fresh + tile, -1)
            fresh += int(tile.max(initial=-1)) + 1
            continue
        before = 0
        for name in step.banks:
            own = (tile >= before) & (tile < before + sizes[name])
            found[events[own]] = tile[own] - before + first[name]
            before += sizes[name]
    return found


def _loop(schedule: Schedule, body: ProgramBody, step: RecurrentStep, events: np.ndarray) -> list[str]:
    """The windows of a recurrent step: every tile once a time step, gates between, each after what it needs."""
    times, vectors = windows(body, step, schedule.batch)
    kinds, tile = schedule.kind[events], schedule.tile[events]
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
    if (schedule.vectors[streams] != vectors).any():
        faults.append(complaint("a stream of the wrong vectors", where=step.name, allowed=str(vectors)))
    if not faults:
        faults += _time_steps(schedule, step, streams, gates, tiles, times)
    seconds = np.array([body.target.timing.reconfigure_s, 0.0, gates_s(body, step, schedule.batch)])
    expected = seconds[kinds]
    before = 0
    for name, count in zip(step.banks, tiles, strict=True):
        own = (kinds == EventKind.STREAM) & (tile >= before) & (tile < before + count)
        expected[own] = stream_s(body.target_for(name), vectors)
        before += count
    return faults + _lengths(schedule, step.name, events, expected)


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


def _step(schedule: Schedule, body: ProgramBody, index: int) -> list[str]:
    """The right events for one step, of the right length."""
    step, events = body.steps[index], schedule.by_step[index]
    cost = body.costs[step.name]
    kinds = schedule.kind[events]
    faults: list[str] = []
    if isinstance(step, RecurrentStep):
        return _loop(schedule, body, step, events)
    if isinstance(step, ProductStep):
        return _product(schedule, body, step, events)
    if isinstance(step, MatrixStep):
        vectors = schedule.batch * cost.vectors
        tiles = body.banks[step.bank].spec.tiles if vectors else 0
        streams = events[kinds == EventKind.STREAM]
        if (kinds == EventKind.HOST).any():
            faults.append(complaint("a matrix step on the host", where=step.name))
        if not np.array_equal(np.sort(schedule.tile[streams]), np.arange(tiles)):
            faults.append(
                complaint(
                    "tiles are not streamed once each", where=step.name, got=f"{len(streams)} streams",
                    allowed=f"tiles 0 to {tiles - 1}, once each" if tiles else "none",
                )
            )  # fmt: skip
        if (schedule.vectors[streams] != vectors).any():
            faults.append(complaint("a stream of the wrong vectors", where=step.name, allowed=str(vectors)))
        expected = np.where(
            kinds == EventKind.STREAM,
            stream_s(body.target_for(step.bank), vectors),
            body.target.timing.reconfigure_s,
        )
    else:
        if kinds.tolist() != [EventKind.HOST]:
            faults.append(complaint("a host step is one host event", where=step.name, got=f"{len(events)} events"))
        expected = np.full(len(events), host_s(body.target, schedule.batch * cost.macs, schedule.batch * cost.elements))
    return faults + _lengths(schedule, step.name, events, expected)


def _product(schedule: Schedule, body: ProgramBody, step: ProductStep, events: np.ndarray) -> list[str]:
    """Factorised once, then every tile of every sample configured and streamed once, in this order."""
    vectors = body.costs[step.name].vectors
    tiles = schedule.batch * body.banks[step.bank].spec.tiles if vectors else 0
    kinds = schedule.kind[events]
    faults: list[str] = []
    for kind in (EventKind.CONFIGURE, EventKind.STREAM):
        if not np.array_equal(np.sort(schedule.tile[events[kinds == kind]]), np.arange(tiles)):
            what = f"tiles of a product that are not {kind.name.lower()}d once each"
            faults.append(complaint(what, where=step.name, allowed=f"tiles 0 to {tiles - 1}" if tiles else "none"))
    factors = events[kinds == EventKind.HOST]
    if len(factors) != 1:
        faults.append(complaint("a product is factorised once", where=step.name, got=len(factors)))
    elif (schedule.start_s[events[kinds != EventKind.HOST]] < schedule.end_s[factors[0]] * (1 - TOLERANCE)).any():
        faults.append(complaint("a tile is configured before its weights are there", where=step.name))
    if (schedule.vectors[events[kinds == EventKind.STREAM]] != vectors).any():
        faults.append(complaint("a stream of the wrong vectors", where=step.name, allowed=str(vectors)))
    seconds = (
        body.target.timing.reconfigure_s,
        stream_s(body.target_for(step.bank), vectors),
        factor_s(body, step, schedule.batch),
    )
    return faults + _lengths(schedule, step.name, events, np.array(seconds)[kinds])


def _lengths(schedule: Schedule, name: str, events: np.ndarray, expected: np.ndarray) -> list[str]:
    end = schedule.end_s[events]
    off = np.abs(end - schedule.start_s[events] - expected) > TOLERANCE * (expected + end)
    if not off.any():
        return []
    event = events[np.flatnonzero(off)[0]]
    return [complaint("an event of the wrong length", where=f"event {event}, step {name}")]


def _dependencies(schedule: Schedule, body: ProgramBody) -> list[str]:
    faults: list[str] = []
    done: dict[str, float] = {}
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        work = events[schedule.kind[events] != EventKind.CONFIGURE]
        ready = max((done.get(name, 0.0) for name in reads(step)), default=0.0)
        if len(work) and schedule.start_s[work].min() < ready:
            faults.append(
                complaint(
                    "a step starts before its inputs are there",
                    where=step.name,
                    got=f"{schedule.start_s[work].min()} s",
                    allowed=f"from {ready} s",
                )
            )
        done[step.name] = float(schedule.end_s[work].max(initial=ready))
    return faults
