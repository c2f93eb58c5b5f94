"""Schedules as Chrome trace events, for Perfetto (ui.perfetto.dev) and chrome://tracing.

Format: the JSON object form of the Trace Event Format (Google, 2016): complete events (``"ph": "X"``) with
microseconds in ``ts`` and ``dur``, metadata events (``"ph": "M"``) that name the tracks, counters (``"ph": "C"``), and
flows (``"ph": "s"`` to ``"ph": "f"``) from a configuration to the first stream that uses it. A core with two buffers
has a track for its streams and one for its configurations.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, complaint
from ..files import check_writable
from ..scheduling.schedule import LINK_LANE, EventKind, Schedule

if TYPE_CHECKING:
    from ..pricing.ledger import EnergyReport
    from .profile import Curve

CHIP, HOST, LINK = 1, 2, 3
"""Process ids of the trace: the photonic chip with one thread a core, the host, and the link between them."""

COUNTER_STEPS = 20_000
"""Values of a counter; one that changes more often is written as means over as many equal parts of the run."""


def trace_events(schedule: Schedule, energy: EnergyReport | None = None) -> Iterator[dict[str, Any]]:
    """The events of a trace: names of the tracks, the schedule's events in start order, flows, counters.

    Args:
        schedule: Any schedule.
        energy: Its energy, for a counter of the power.

    Yields:
        Dicts as the format wants them; ``args`` tell step, tile, vectors or bytes, dataflow and block.
    """
    apart = schedule.buffers > 1  # configurations overlap streams: a track of their own
    yield from _tracks(schedule, apart)
    names = [EventKind(kind).name.lower() for kind in EventKind]
    start, duration = schedule.start_s * 1e6, (schedule.end_s - schedule.start_s) * 1e6
    columns = (schedule.kind, schedule.step, schedule.tile, schedule.core, start, duration)
    rows = zip(*(column.tolist() for column in (*columns, schedule.vectors, schedule.first)), strict=True)
    for kind, step, tile, core, ts, dur, vectors, first in rows:
        pid, tid = _place(kind, core, apart)
        yield {
            "name": _name(kind, schedule.steps[step], tile),
            "cat": names[kind],
            "ph": "X",
            "ts": ts,
            "dur": dur,
            "pid": pid,
            "tid": tid,
            "args": _args(schedule, kind, schedule.steps[step], tile, vectors, first),
        }
    if apart:
        yield from _flows(schedule)
    yield from _counters(schedule, energy)


def write_trace(schedule: Schedule, path: str | os.PathLike[str], energy: EnergyReport | None = None) -> None:
    """Write a trace file; on failure none is left behind.

    Raises:
        InputError: the file cannot be written.
    """
    place = check_writable(path)
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("w", encoding="utf-8") as file:
                _write(schedule, energy, file)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            complaint("the trace cannot be written", where=str(place), got=error.strerror or str(error))
        ) from error


def _write(schedule: Schedule, energy: EnergyReport | None, file: IO[str]) -> None:
    """One event a line: millions of events never exist at once."""
    facts = {
        "batch": schedule.batch,
        "makespan_s": schedule.makespan_s,
        "lower_bound_s": schedule.lower_bound_s,
        "bound": schedule.bound,
        "naive_s": schedule.naive_s,
        "objective": schedule.objective,
    }
    file.write(f'{{"displayTimeUnit": "ns", "otherData": {json.dumps(facts)}, "traceEvents": [\n')
    comma = ""
    for event in trace_events(schedule, energy):
        file.write(comma + json.dumps(event, separators=(",", ":"), allow_nan=False))
        comma = ",\n"
    file.write("\n]}\n")


def _tracks(schedule: Schedule, apart: bool) -> Iterator[dict[str, Any]]:
    yield _named("process_name", CHIP, 0, "photonic chip")
    for core in sorted(set(schedule.core[schedule.core >= 0].tolist())):
        tracks = (f"core {core}", f"core {core}, configuring") if apart else (f"core {core}",)
        for track, name in enumerate(tracks, len(tracks) * core):
            yield _named("thread_name", CHIP, track, name)
            yield {"name": "thread_sort_index", "ph": "M", "pid": CHIP, "tid": track, "args": {"sort_index": track}}
    yield _named("process_name", HOST, 0, "host")
    yield _named("thread_name", HOST, 0, "host ops")
    if (schedule.core == LINK_LANE).any():
        yield _named("process_name", LINK, 0, "link")
        yield _named("thread_name", LINK, 0, "moves")


def _place(kind: int, core: int, apart: bool) -> tuple[int, int]:
    """Process and thread of an event."""
    if core < 0:
        return (LINK if core == LINK_LANE else HOST), 0
    return CHIP, 2 * core + (kind == EventKind.CONFIGURE) if apart else core


def _name(kind: int, step: str, tile: int) -> str:
    if kind == EventKind.CONFIGURE:
        return f"configure {step}"
    if kind == EventKind.MOVE:
        return f"{step} to the {'host' if tile else 'chip'}"
    return step


def _args(schedule: Schedule, kind: int, step: str, tile: int, vectors: int, first: int) -> dict[str, Any]:
    args: dict[str, Any] = {"step": step}
    if kind == EventKind.MOVE:
        return {**args, "bytes": vectors}
    if tile >= 0:
        args["tile"] = tile
    if kind == EventKind.STREAM:
        args |= {"vectors": vectors, "first": first}
    if step in schedule.plans and kind != EventKind.HOST:
        args |= {"dataflow": schedule.plans[step].dataflow, "block": schedule.plans[step].block}
    return args


def _flows(schedule: Schedule) -> Iterator[dict[str, Any]]:
    """An arrow from each configuration to the next stream of its tile on its core."""
    chip = np.flatnonzero(schedule.core >= 0)
    order = chip[np.lexsort((schedule.start_s[chip], schedule.tile[chip], schedule.step[chip], schedule.core[chip]))]
    here, there = order[:-1], order[1:]
    same = (schedule.kind[here] == EventKind.CONFIGURE) & (schedule.kind[there] == EventKind.STREAM)
    for column in (schedule.core, schedule.step, schedule.tile):
        same &= column[here] == column[there]
    same &= schedule.end_s[here] <= schedule.start_s[there]
    begin = 0.5e6 * (schedule.start_s + schedule.end_s)
    for number, (source, use) in enumerate(zip(here[same].tolist(), there[same].tolist(), strict=True)):
        core = int(schedule.core[source])
        shared = {"name": "configured for", "cat": "configured", "id": number, "pid": CHIP}
        yield {**shared, "ph": "s", "tid": 2 * core + 1, "ts": float(begin[source])}
        yield {**shared, "ph": "f", "bp": "e", "tid": 2 * core, "ts": float(schedule.start_s[use] * 1e6)}


def _counters(schedule: Schedule, energy: EnergyReport | None) -> Iterator[dict[str, Any]]:
    """Cores at work, and the power where the energy is known."""
    # Imported here: profiles read schedules, which know how to write traces.
    from .profile import cores_busy, power

    yield from _counter("cores busy", "cores", cores_busy(schedule))
    if energy is not None:
        cores = max(int(schedule.core.max(initial=-1)) + 1, 1)
        yield from _counter("power", "watts", power(schedule, energy, cores))


def _counter(name: str, unit: str, curve: Curve) -> Iterator[dict[str, Any]]:
    curve = curve.averaged(COUNTER_STEPS)
    values = [*curve.values.tolist(), 0.0] if len(curve.values) else []
    for time, value in zip((curve.edges_s * 1e6).tolist(), values, strict=False):
        yield {"name": name, "ph": "C", "ts": time, "pid": CHIP, "tid": 0, "args": {unit: value}}


def _named(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}
