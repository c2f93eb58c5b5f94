"""No event of a schedule can be left out, repeated, lengthened or changed without a rule against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lightloom.runtime.errors import VerifyError
from lightloom.runtime.program import ProgramBody
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.plan import Plan
from lightloom.runtime.scheduling.schedule import COLUMNS, EventKind, Schedule

from ..edits import edited, in_order, moved, without
from ..small_models import BATCH, chip, compiled

CONFIGURE, STREAM, HOST, MOVE = EventKind


def passes(schedule: Schedule, body: ProgramBody) -> bool:
    try:
        schedule.verify(body)
    except VerifyError:
        return False
    return True


def repeated(schedule: Schedule, row: int) -> Schedule:
    """A schedule with an event again, after everything else."""
    columns = {name: np.append(getattr(schedule, name), getattr(schedule, name)[row]) for name in COLUMNS}
    columns["start_s"][-1] = schedule.makespan_s
    columns["end_s"][-1] = schedule.makespan_s + schedule.end_s[row] - schedule.start_s[row]
    return in_order(schedule, columns)


def changes(schedule: Schedule, row: int) -> Iterator[tuple[str, Schedule]]:
    """What may not be done to an event."""
    kind, seconds = EventKind(schedule.kind[row]), schedule.end_s[row] - schedule.start_s[row]
    yield "left out", without(schedule, row)
    yield "longer", edited(schedule, row, end_s=schedule.end_s[row] + 0.1 * seconds + 1e-9)
    if seconds:
        yield "shorter", edited(schedule, row, end_s=schedule.end_s[row] - 0.1 * seconds)
    if kind != CONFIGURE:  # of a tile that a core has held before
        yield "repeated", repeated(schedule, row)
        yield "before the run", moved(schedule, row, -schedule.start_s[row] - 1e-9)
    if kind in (STREAM, MOVE):
        yield "with more", edited(schedule, row, vectors=schedule.vectors[row] + 1)
        yield "with less", edited(schedule, row, vectors=schedule.vectors[row] - 1)
    yield "from another vector", edited(schedule, row, first=schedule.first[row] + 1)
    yield "of another kind", edited(schedule, row, kind=(kind + 1) % 4)
    yield "of another step", edited(schedule, row, step=(schedule.step[row] + 1) % len(schedule.steps))


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("buffers", [1, 2])
@pytest.mark.parametrize(
    ("name", "dataflow"),
    [("conv", "output"), ("conv", "input"), ("conv", "auto"), ("products", "weight"), ("lstm", "weight")],
)
def test_every_event_counts(name: str, dataflow: Any, buffers: int, warm: bool) -> None:
    body = dataclasses.replace(compiled(name), target=chip(buffers), plan=Plan(dataflow))
    schedule = deal(body, BATCH, warm=warm)
    assert passes(schedule, body)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(schedule.kind == kind))[:6] for kind in EventKind]
    for row in np.concatenate(rows).tolist():
        for what, other in changes(schedule, row):
            assert not passes(other, body), f"event {row} {what}: {EventKind(schedule.kind[row]).name}"
