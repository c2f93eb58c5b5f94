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
"""Events that the timeline shows one by one; beyond, neighbours of one lane, kind and step are drawn as one."""

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
        "count": packed(events["count"], np.uint32),
        "tile": packed(schedule.tile if alone else np.empty(0), np.int32),
        "vectors": packed(schedule.vectors if alone else np.empty(0), np.float64),
        "first": packed(schedule.first if alone else np.empty(0), np.float64),
        "busy": _curve(cores_busy(schedule)),
        "power": _curve(power(schedule, energy, body.target.mesh.cores)),
        "cores": body.target.mesh.cores,
    }


def merged(schedule: Schedule, most: int) -> dict[str, np.ndarray]:
    """Kind, step, core, start, end and count of events, as they are, or merged with neighbours to about ``most``."""
    kind, step, core = (getattr(schedule, name).astype(np.int64) for name in ("kind", "step", "core"))
    start, end = schedule.start_s, schedule.end_s
    count = np.ones(len(kind), np.int64)
    if len(kind) > most:
        lane = 2 * core + (kind == EventKind.CONFIGURE if schedule.buffers > 1 else 0)
        order = np.lexsort((start, step, lane))
        kind, step, core, start, end, lane = (column[order] for column in (kind, step, core, start, end, lane))
        run = len(kind) // most + 1
        place = np.arange(len(kind))
        first = (place == 0) | (np.diff(lane, prepend=-6) != 0) | (np.diff(step, prepend=-2) != 0)
        since = place - np.maximum.accumulate(np.where(first, place, 0))
        heads = np.flatnonzero(first | (since % run == 0))
        # of mixed kinds a merged event is what most time goes to
        lasts = np.array(
            [np.add.reduceat(np.where(kind == which, end - start + 1e-30, 0.0), heads) for which in EventKind]
        )
        end = np.maximum.reduceat(end, heads)
        count = np.diff(np.append(heads, len(kind)))
        kind, (step, core, start) = lasts.argmax(0), (column[heads] for column in (step, core, start))
    return {"kind": kind, "step": step, "core": core, "start": start, "end": end, "count": count}


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
