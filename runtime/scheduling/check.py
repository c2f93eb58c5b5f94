"""The rules that a schedule must keep, checked on whole columns: no rule takes a Python loop over events.

This file: what the other rules index with, and the order of events. Cores and buffers are in
:mod:`.check_cores`, matrix and host steps in :mod:`.check_steps`, loops and products in
:mod:`.check_loops`, moves and dependencies in :mod:`.check_moves`.
"""

from __future__ import annotations

import numpy as np

from ..errors import VerifyError, complaint
from ..program import ProgramBody
from .check_cores import configurations, holding, lanes, static_tiles
from .check_moves import dependencies
from .check_steps import steps
from .schedule import COLUMNS, HOST_LANE, LINK_LANE, EventKind, Schedule

SHOWN = 10


def verify(schedule: Schedule, body: ProgramBody) -> None:
    """Check every rule, see :meth:`Schedule.verify`. Raises VerifyError with the faults found."""
    faults = _shape(schedule, body)
    if not faults:
        faults = _order(schedule) + lanes(schedule)
        faults += holding(schedule, body) + configurations(schedule, body)
        faults += steps(schedule, body) + dependencies(schedule, body)
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
    mesh = body.target.mesh
    if schedule.buffers != mesh.buffers:
        return [
            complaint("a schedule for other cores", where="buffers", got=schedule.buffers, allowed=str(mesh.buffers))
        ]
    faults: list[str] = []
    ranges = {"kind": (0, len(EventKind) - 1), "step": (0, len(names) - 1), "core": (LINK_LANE, mesh.cores - 1)}
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
    return faults or _places(schedule) + _resident(schedule, body)


def _places(schedule: Schedule) -> list[str]:
    """Every event on its lane: tiles on cores, host ops on the host, moves on the link."""
    faults: list[str] = []
    kind, core = schedule.kind, schedule.core
    if ((kind == EventKind.HOST) & (core != HOST_LANE)).any():
        faults.append(complaint("a host op on a core or the link, instead of the host"))
    if ((kind == EventKind.MOVE) & (core != LINK_LANE)).any():
        faults.append(complaint("a move on a core or the host, instead of the link"))
    if ((kind <= EventKind.STREAM) & (core < 0)).any():
        faults.append(complaint("a tile on the host or the link, instead of a core"))
    moves = np.flatnonzero(kind == EventKind.MOVE)
    wrong = moves[(schedule.tile[moves] < 0) | (schedule.tile[moves] > 1)]
    if len(wrong):
        faults.append(
            complaint(
                "a move in no direction",
                where=f"event {wrong[0]}",
                got=int(schedule.tile[wrong[0]]),
                allowed="0 to the chip, 1 to the host",
            )
        )
    wrong = np.flatnonzero((kind != EventKind.STREAM) & (schedule.first != 0))
    if len(wrong):
        faults.append(complaint("a first vector of what is no stream", where=f"event {wrong[0]}"))
    return faults


def _resident(schedule: Schedule, body: ProgramBody) -> list[str]:
    """What the cores hold at the start: tiles of the program, in buffers that have been configured before."""
    resident, turns, mesh = schedule.resident, schedule.turns, body.target.mesh
    if not resident.size and not turns.size:
        return []
    if resident.shape != (mesh.cores, mesh.buffers) or turns.shape != (mesh.cores,):
        return [
            complaint(
                "tiles held at the start, of other cores",
                where="resident, turns",
                got=f"{resident.shape}, {turns.shape}",
                allowed=f"({mesh.cores}, {mesh.buffers}), ({mesh.cores},)",
            )
        ]
    faults: list[str] = []
    known = np.append(static_tiles(body), False)
    tiles = len(known) - 1
    allowed = known[np.where((resident >= 0) & (resident < tiles), resident, tiles)]
    wrong = resident[(resident != -1) & ~allowed]
    if len(wrong):
        faults.append(
            complaint(
                "no such tile to hold at the start",
                where="resident",
                got=int(wrong[0]),
                allowed=f"tiles of weights, 0 to {tiles - 1}, or -1",
            )
        )
    if (turns < 0).any():
        faults.append(complaint("fewer configurations than none", where="turns", got=int(turns.min())))
    if ((resident >= 0) & (np.arange(mesh.buffers) >= turns[:, None])).any():
        faults.append(complaint("a buffer holds a tile before its first configuration", where="resident, turns"))
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
