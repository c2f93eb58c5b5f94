"""Rules of cores, host and link: one event at a time, tiles that are held, configurations of the right length."""

from __future__ import annotations

import numpy as np

from ..errors import complaint
from ..program import HostStep, ProductStep, ProgramBody
from .latency import configure_s
from .schedule import EventKind, Schedule

# Times are sums of float64: equal durations may differ by rounding, relative to the time on the clock.
TOLERANCE = 1e-9


def lanes(schedule: Schedule) -> list[str]:
    """One event at a time on a core, on the host and on the link, or one of each kind on a core of two buffers."""
    # with two buffers a core's configurations are a lane of their own
    lane = 2 * schedule.core.astype(np.int64)
    if schedule.buffers > 1:
        lane += schedule.kind == EventKind.CONFIGURE
    order = np.argsort(lane, kind="stable")
    lane, start, end = lane[order], schedule.start_s[order], schedule.end_s[order]
    overlap = np.flatnonzero((lane[1:] == lane[:-1]) & (start[1:] < end[:-1]))
    if not len(overlap):
        return []
    first, second = order[overlap[0]], order[overlap[0] + 1]
    core = int(schedule.core[first])
    where = f"core {core}" if core >= 0 else ("host" if core == -1 else "link")
    return [complaint("two events at once", where=f"{where}, events {first} and {second}")]


def holding(schedule: Schedule, body: ProgramBody) -> list[str]:
    """A core streams only a tile that it holds: from after its configuration, or from the start where it is resident,
    until its buffer is configured for another."""
    streams = np.flatnonzero(schedule.kind == EventKind.STREAM)
    if not len(streams):
        return []
    tiles = _tiles_of_program(schedule, body)
    before = _held_before(schedule, body)
    configures = np.flatnonzero(schedule.kind == EventKind.CONFIGURE)
    # every configuration, those before the run first: core, tile, start, end
    core = np.concatenate([before[0], schedule.core[configures]])
    order = np.argsort(core, kind="stable")
    core = core[order]
    tile = np.concatenate([before[1], tiles[configures]])[order]
    begin = np.concatenate([np.full(len(before[0]), -np.inf), schedule.start_s[configures]])[order]
    settled = np.concatenate([np.full(len(before[0]), -np.inf), schedule.end_s[configures]])[order]
    # of each stream: the configuration of its core that comes last before it
    row = np.concatenate([np.full(len(before[0]), -1), configures])[order]
    size = len(schedule) + 1
    key = core.astype(np.int64) * size + row + 1
    here = schedule.core[streams].astype(np.int64)
    last = np.searchsorted(key, here * size + streams + 1) - 1
    held = np.zeros(len(streams), bool)
    for back in range(schedule.buffers):
        found = last - back
        own = np.clip(found, 0, max(len(core) - 1, 0))
        fits = found >= 0
        if len(core):
            fits &= (core[own] == here) & (tile[own] == tiles[streams])
            fits &= settled[own] <= schedule.start_s[streams]
            after = own + schedule.buffers  # the configuration that takes the same buffer next
            again = np.minimum(after, len(core) - 1)
            same = (after < len(core)) & (core[again] == here)
            fits &= ~same | (begin[again] >= schedule.end_s[streams])
        held |= fits
    wrong = streams[~held]
    if not len(wrong):
        return []
    event = wrong[0]
    return [
        complaint(
            "a stream through a tile that its core does not hold",
            where=f"event {event}, step {schedule.steps[schedule.step[event]]}",
            got=f"tile {schedule.tile[event]} on core {schedule.core[event]}",
        )
    ]


def configurations(schedule: Schedule, body: ProgramBody) -> list[str]:
    """A configuration of an empty buffer takes the full time, a later one that of an update."""
    rows = np.flatnonzero(schedule.kind == EventKind.CONFIGURE)
    if not len(rows):
        return []
    times = configure_s(body)
    expected = np.where(turn_of(schedule, rows) < schedule.buffers, times.first_s, times.later_s)
    return lengths(schedule, rows, expected)


def turn_of(schedule: Schedule, rows: np.ndarray) -> np.ndarray:
    """Of CONFIGURE rows, all of them in order: how many configurations their core had before, int64."""
    core = schedule.core[rows]
    order = np.argsort(core, kind="stable")
    edge = np.flatnonzero(np.diff(core[order], prepend=-1))  # first configuration of each core
    count = np.diff(np.append(edge, len(rows)))
    turn = np.empty(len(rows), np.int64)
    turn[order] = np.arange(len(rows)) - np.repeat(edge, count)
    return turn + schedule.turns[core] if schedule.turns.size else turn


def lengths(schedule: Schedule, rows: np.ndarray, expected: np.ndarray | float) -> list[str]:
    """Events that take other than the expected seconds."""
    start, end = schedule.start_s[rows], schedule.end_s[rows]
    wanted = np.broadcast_to(expected, rows.shape)
    off = np.flatnonzero(np.abs(end - start - wanted) > TOLERANCE * (wanted + end))
    if not len(off):
        return []
    event = rows[off[0]]
    return [
        complaint(
            "an event of the wrong length",
            where=f"event {event}, step {schedule.steps[schedule.step[event]]}",
            got=f"{end[off[0]] - start[off[0]]:.9g} s",
            allowed=f"{wanted[off[0]]:.9g} s",
        )
    ]


def first_tiles(body: ProgramBody) -> dict[str, int]:
    """Of every bank, the number of its first tile, counted through all banks of the program in order."""
    sizes = [bank.spec.tiles for bank in body.banks.values()]
    return dict(zip(body.banks, np.cumsum([0, *sizes])[:-1].tolist(), strict=True))


def static_tiles(body: ProgramBody) -> np.ndarray:
    """Of every tile, counted as :func:`first_tiles` does: whether its weights are known before the run, bool."""
    parts = [np.full(bank.spec.tiles, not bank.spec.dynamic) for bank in body.banks.values()]
    return np.concatenate([np.empty(0, bool), *parts])


def _held_before(schedule: Schedule, body: ProgramBody) -> tuple[np.ndarray, np.ndarray]:
    """The configurations before the run that matter: core and tile of each, a core's in the order of its turns."""
    nothing = np.empty(0, np.int64)
    if not schedule.turns.size:
        return nothing, nothing
    mesh = body.target.mesh
    turn = schedule.turns[:, None] - np.arange(mesh.buffers, 0, -1)  # the last ones, oldest first
    core, _ = np.nonzero(turn >= 0)
    slot = turn[turn >= 0] % mesh.buffers
    return core, schedule.resident[core, slot] if schedule.resident.size else np.full(len(core), -1)


def _tiles_of_program(schedule: Schedule, body: ProgramBody) -> np.ndarray:
    """Of each event, its tile counted through all banks of the program; -1 where it has none."""
    first = first_tiles(body)
    sizes = {name: bank.spec.tiles for name, bank in body.banks.items()}
    fresh = sum(sizes.values())
    found = np.full(len(schedule), -1, np.int64)
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        if isinstance(step, HostStep):
            continue
        events = events[schedule.kind[events] <= EventKind.STREAM]
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
