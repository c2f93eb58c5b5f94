"""Schedules written by hand, event by event."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightloom.runtime.program import ProgramBody
from lightloom.runtime.scheduling.schedule import COLUMNS, Schedule


def timetable(body: ProgramBody, rows: list[tuple], batch: int = 1, **fields: Any) -> Schedule:
    """A schedule of rows (kind, step, tile, core, start_s, end_s, vectors), in start order; nothing is checked."""
    columns = {
        name: np.array([row[place] if place < len(row) else 0 for row in rows], dtype)
        for place, (name, dtype) in enumerate(COLUMNS.items())
    }
    names = tuple(step.name for step in body.steps)
    makespan = float(columns["end_s"].max(initial=0.0))
    fields = {"buffers": body.target.mesh.buffers, **fields}
    return Schedule(names, batch, makespan_s=makespan, lower_bound_s=0.0, **columns, **fields)
