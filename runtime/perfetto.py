"""Schedules as Chrome trace events, for Perfetto (ui.perfetto.dev) and chrome://tracing.

Format: the JSON object form of the Trace Event Format (Google, 2016): complete events (``"ph": "X"``) with
microseconds in ``ts`` and ``dur``, metadata events (``"ph": "M"``) that name the tracks. A core with two buffers
has a track for its streams and one for its configurations.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .errors import InputError, complaint
from .schedule import EventKind, Schedule

CHIP, HOST = 1, 2
"""Process ids of the trace: the photonic chip with one thread a core, and the host."""


def trace_events(schedule: Schedule) -> Iterator[dict[str, Any]]:
    """The events of a trace: first the names of the tracks, then the schedule's events in start order.

    Args:
        schedule: Any schedule.

    Yields:
        Dicts as the format wants them; ``args`` tell step, tile and vectors.
    """
    apart = schedule.buffers > 1  # configurations overlap streams: a track of their own
    yield _named("process_name", CHIP, 0, "photonic chip")
    yield _named("process_name", HOST, 0, "host")
    for core in sorted(set(schedule.core[schedule.core >= 0].tolist())):
        tracks = (f"core {core}", f"core {core}, configuring") if apart else (f"core {core}",)
        for track, name in enumerate(tracks, len(tracks) * core):
            yield _named("thread_name", CHIP, track, name)
            yield {"name": "thread_sort_index", "ph": "M", "pid": CHIP, "tid": track, "args": {"sort_index": track}}
    yield _named("thread_name", HOST, 0, "host ops")
    names = [EventKind(kind).name.lower() for kind in EventKind]
    start, duration = schedule.start_s * 1e6, (schedule.end_s - schedule.start_s) * 1e6
    columns = (schedule.kind, schedule.step, schedule.tile, schedule.core, start, duration, schedule.vectors)
    for kind, step, tile, core, ts, dur, vectors in zip(*(column.tolist() for column in columns), strict=True):
        args: dict[str, Any] = {"step": schedule.steps[step]}
        if tile >= 0:
            args["tile"] = tile
        if vectors:
            args["vectors"] = vectors
        yield {
            "name": schedule.steps[step],
            "cat": names[kind],
            "ph": "X",
            "ts": ts,
            "dur": dur,
            "pid": HOST if core < 0 else CHIP,
            "tid": 2 * core + (kind == EventKind.CONFIGURE) if apart and core >= 0 else max(core, 0),
            "args": args,
        }


def write_trace(schedule: Schedule, path: str | os.PathLike[str]) -> None:
    """Write a trace file; on failure none is left behind.

    Raises:
        InputError: the file cannot be written.
    """
    place = Path(path)
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("w", encoding="utf-8") as file:
                _write(schedule, file)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            complaint("the trace cannot be written", where=str(place), got=error.strerror or str(error))
        ) from error


def _write(schedule: Schedule, file: IO[str]) -> None:
    """One event a line: millions of events never exist at once."""
    facts = {
        "batch": schedule.batch,
        "makespan_s": schedule.makespan_s,
        "lower_bound_s": schedule.lower_bound_s,
        "bound": schedule.bound,
        "naive_s": schedule.naive_s,
    }
    file.write(f'{{"displayTimeUnit": "ns", "otherData": {json.dumps(facts)}, "traceEvents": [\n')
    comma = ""
    for event in trace_events(schedule):
        file.write(comma + json.dumps(event, separators=(",", ":"), allow_nan=False))
        comma = ",\n"
    file.write("\n]}\n")


def _named(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}
