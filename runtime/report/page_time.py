"""The schedule as the page shows it: events of every lane, what is busy and drawn over time, and the bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..pricing.energy import EnergyReport
from ..program import ProgramBody
from ..scheduling.schedule import EventKind, Schedule
from .packing import packed
from .profile import Curve, cores_busy, power

TIMELINE_EVENTS = 40_000
"""Events that the timeline shows one by one; beyond, neighbours of one lane, step and kind become one event."""

PROFILE_STEPS = 1200
"""Values of each curve over time."""


def timeline_data(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> dict[str, Any]:
    """Events in columns, lane by lane; with two buffers configurations lie beside streams, not between them."""
    paths = {step.name: step.path for step in body.steps}
    events = merged(schedule, TIMELINE_EVENTS)
    wide = len(schedule.steps) >= 65536
    alone = len(events["start"]) == len(schedule)
    return {
        "steps": [paths.get(name) or name for name in schedule.steps],
        "kinds": [EventKind(kind).name.lower() for kind in EventKind],
        "events": len(schedule),
        "merged": not alone,
        "makespan_s": schedule.makespan_s,
        "buffers": schedule.buffers,
        "kind": packed(events["kind"], np.uint8),
        "step": packed(events["step"], np.uint32 if wide else np.uint16),
        "step_bytes": 4 if wide else 2,
        "core": packed(events["core"], np.int32),
        "start": packed(events["start"], np.float64),
        "duration": packed(events["end"] - events["start"], np.float32),
        "busy": packed(events["busy"], np.float32),
        "count": packed(events["count"], np.uint32),
        "tile": packed(schedule.tile if alone else np.empty(0), np.int32),
        "vectors": packed(schedule.vectors if alone else np.empty(0), np.float64),
        "first": packed(schedule.first if alone else np.empty(0), np.float64),
        "cores_busy": _curve(cores_busy(schedule)),
        "power": _curve(power(schedule, energy, body.target.mesh.cores)),
        "cores": body.target.mesh.cores,
    }


def merged(schedule: Schedule, most: int) -> dict[str, np.ndarray]:
    """Kind, step, core, start, end, busy seconds and count of events, as they are, or merged to about ``most``.

    Only neighbours of one lane, step and kind are merged, and ``busy`` is the sum of their seconds: whatever is drawn
    from them keeps the share of time of every kind.
    """
    kind, step, core = (getattr(schedule, name).astype(np.int64) for name in ("kind", "step", "core"))
    start, end = schedule.start_s, schedule.end_s
    count, busy = np.ones(len(kind), np.int64), end - start
    if len(kind) > most:
        order = np.lexsort((start, kind, step, core))
        kind, step, core, start, end, busy = (column[order] for column in (kind, step, core, start, end, busy))
        run = len(kind) // most + 1
        place = np.arange(len(kind))
        changes = [np.diff(column, prepend=column[:1] - 1) != 0 for column in (kind, step, core)]
        first = changes[0] | changes[1] | changes[2]
        since = place - np.maximum.accumulate(np.where(first, place, 0))
        heads = np.flatnonzero(first | (since % run == 0))
        end, busy = np.maximum.reduceat(end, heads), np.add.reduceat(busy, heads)
        count = np.diff(np.append(heads, len(kind)))
        kind, step, core, start = (column[heads] for column in (kind, step, core, start))
    return {"kind": kind, "step": step, "core": core, "start": start, "end": end, "busy": busy, "count": count}


def bounds_data(schedule: Schedule) -> list[dict[str, Any]]:
    """The makespan, then what bounds it from below, the largest first."""
    found = sorted(schedule.bounds.items(), key=lambda item: -item[1])
    return [
        {"name": "this schedule", "seconds": schedule.makespan_s, "own": True},
        *({"name": name, "seconds": seconds, "own": False} for name, seconds in found),
    ]


def step_seconds(schedule: Schedule) -> np.ndarray:
    """Seconds of the lanes' time that each step's events take, float64 (steps, kinds)."""
    place = schedule.step.astype(np.int64) * len(EventKind) + schedule.kind
    seconds = np.bincount(place, schedule.end_s - schedule.start_s, len(schedule.steps) * len(EventKind))
    return seconds.reshape(len(schedule.steps), len(EventKind))


def _curve(curve: Curve) -> dict[str, str]:
    curve = curve.averaged(PROFILE_STEPS)
    return {"edges": packed(curve.edges_s, np.float64), "values": packed(curve.values, np.float32)}
