"""Schedules changed by one event, for tests of what a check finds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lightloom.runtime import targets
from lightloom.runtime.errors import VerifyError
from lightloom.runtime.program import ProgramBody, StepCost
from lightloom.runtime.scheduling.schedule import COLUMNS, EventKind, Schedule

from .bodies import bank, host, matrix, program

# Round numbers: configure 10 s, one window 1 s, no pipeline, one op and, where there is a link, one byte a second.
ROUND = targets.get("mzi16").with_(
    mesh={"cores": 2, "buffers": 1},
    timing={"reconfigure_s": 10.0, "window_s": 1.0, "pipeline_latency_s": 0.0},
    energy={"host_ops_per_s": 1.0},
)
LINKED = ROUND.with_({"link.bytes_per_s": 1.0})


def row_of(schedule: Schedule, kind: EventKind, turn: int = 0, step: int | None = None) -> int:
    """Row of the ``turn``-th event of a kind (and step)."""
    own = schedule.kind == kind
    return int(np.flatnonzero(own if step is None else own & (schedule.step == step))[turn])


def edited(schedule: Schedule, row: int, **values: float) -> Schedule:
    """A schedule with one event changed, in start order again, with its makespan."""
    columns = {name: getattr(schedule, name).copy() for name in COLUMNS}
    for name, value in values.items():
        columns[name][row] = value
    return in_order(schedule, columns)


def moved(schedule: Schedule, row: int, seconds: float) -> Schedule:
    """A schedule with one event earlier or later."""
    return edited(schedule, row, start_s=schedule.start_s[row] + seconds, end_s=schedule.end_s[row] + seconds)


def without(schedule: Schedule, row: int) -> Schedule:
    return in_order(schedule, {name: np.delete(getattr(schedule, name), row) for name in COLUMNS})


def later(schedule: Schedule, seconds: float, since_s: float = 0.0) -> Schedule:
    """A schedule with a pause: all events from a moment on so much later."""
    shift = np.where(schedule.start_s >= since_s, seconds, 0.0)
    columns = {name: getattr(schedule, name) for name in COLUMNS}
    columns |= {"start_s": schedule.start_s + shift, "end_s": schedule.end_s + shift}
    return in_order(schedule, columns)


def in_order(schedule: Schedule, columns: dict[str, np.ndarray]) -> Schedule:
    order = np.argsort(columns["start_s"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    return dataclasses.replace(schedule, makespan_s=float(columns["end_s"].max(initial=0.0)), **columns)


def refused(schedule: Schedule, body: ProgramBody, message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        schedule.verify(body)


def swapped(schedule: Schedule, first: int, second: int, *names: str) -> Schedule:
    """A schedule in which two events have changed places."""
    columns = {name: getattr(schedule, name).copy() for name in COLUMNS}
    for name in names:
        columns[name][[first, second]] = columns[name][[second, first]]
    return in_order(schedule, columns)


def linked_pair() -> ProgramBody:
    """Two matrices on one input, whose results the host adds, over a link of one byte a second."""
    return program(
        LINKED,
        [bank("a", LINKED, 16, 16), bank("b", LINKED, 16, 16)],
        [matrix("ma", "a", "x"), matrix("mb", "b", "x"), host("sum", "ma", "mb")],
        {"ma": StepCost(256, 1, 16), "mb": StepCost(256, 2, 16), "sum": StepCost(0, 0, 3)},
    )
