"""What happens inside a stream, and what of a run's time and energy goes to which kind of event.

A window of a stream: the inputs settle (encode), the light is on (window), the detectors integrate (read), the numbers
come out of the converters and are added up (accumulate). ``EVENTS`` says which event an item of the price list belongs
to while a program executes. All that configuring takes, the bytes of the settings included, belongs to ``configure``;
what the chip takes between events to ``idle``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..program import HostStep, ProgramBody, RecurrentStep
from ..recurrent import windows as loop_windows
from ..scheduling.buffers import sorted_by
from ..scheduling.schedule import EventKind, Schedule
from ..targets.schema import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT_NAMES: tuple[str, ...] = ("configure", "encode", "window", "read", "accumulate", "move", "host", "idle")
"""Kinds of events, in the order of a run."""

EVENTS: Mapping[str, str] = {
    "laser": "window",
    "local oscillator": "window",
    "hold": "window",
    "electronics": "window",
    "reconfigure": "configure",
    "calibration": "configure",
    "dac": "encode",
    "modulator": "encode",
    "adc": "read",
    "receiver": "read",
    "accumulate": "accumulate",
    "memory": "move",
    "local memory": "move",
    "dram": "move",
    "link": "move",
    "macs": "host",
    "ops": "host",
}
"""Of each item of the price list, the event that it belongs to during execution."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The windows of a stream. Window k begins ``k * period_s`` after the stream; times below are from its begin.

    The inputs settle until ``encoded_s``; the light is on until ``dark_s``; the detectors integrate from ``opens_s`` to
    ``closes_s``; the numbers come out and are added up from ``dark_s`` to ``out_s``. A period is longer than a window
    where the memory does not keep up. The stream ends with the last window's numbers.
    """

    windows: int
    period_s: float
    encoded_s: float
    opens_s: float
    closes_s: float
    dark_s: float
    out_s: float


def windows_of(target: Target, vectors: np.ndarray | int) -> np.ndarray | int:
    """Windows that streams of so many vectors take: ``encoding.lanes`` shots share one."""
    return -(-vectors * target.encoding.shots // target.encoding.lanes)


def inside(target: Target, vectors: int) -> Inside:
    """The windows of a stream of so many vectors."""
    from ..scheduling.latency import stream_s

    timing = target.timing
    count = int(windows_of(target, vectors))
    light = stream_s(target, vectors) - timing.pipeline_latency_s
    settled = timing.encode_s or 0.0
    opens = settled + (timing.detector_margin_s or 0.0)
    closes = timing.window_s if timing.integrate_s is None else opens + timing.integrate_s
    return Inside(
        windows=count,
        period_s=light / count if count else 0.0,
        encoded_s=settled,
        opens_s=opens,
        closes_s=closes,
        dark_s=timing.window_s,
        out_s=timing.window_s + timing.pipeline_latency_s,
    )


@dataclass(frozen=True, slots=True)
class Activity:
    """How often an event happens, and how long that takes, all cores together. Encoding and reading lie in windows."""

    number: int
    busy_s: float


def activity(body: ProgramBody, schedule: Schedule, own_s: np.ndarray | None = None) -> dict[str, Activity]:
    """How often each kind of event happens in a run, and how long it takes.

    Args: the program, its schedule, and :func:`own_configure_s` of it, where it is known already.

    Windows: one encodes, is read and is accumulated once, for all its lanes. Accumulating takes what is left of a
    stream after its last window. The moves inside the gates of a loop are moves, not host time. ``idle``: time in
    which a core does nothing, the time before its first configuration included.
    """
    seconds = schedule.end_s - schedule.start_s
    windows = lit = settled = reading = out = 0.0
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        if isinstance(step, HostStep):
            continue
        own = events[schedule.kind[events] == EventKind.STREAM]
        target = body.target_for(step.bank)
        one = inside(target, 1)
        count = float(np.sum(windows_of(target, schedule.vectors[own])))
        windows += count
        lit += count * one.dark_s
        settled += count * one.encoded_s
        reading += count * (one.closes_s - one.opens_s)
        out += len(own) * (one.out_s - one.dark_s)
    moves, loop_s = _loop_moves(body, schedule)
    of_kind = [schedule.kind == kind for kind in EventKind]
    busy = [float(seconds[rows].sum()) for rows in of_kind]
    number = [int(rows.sum()) for rows in of_kind]
    configured = own_configure_s(schedule) if own_s is None else own_s
    light = schedule.kind == EventKind.STREAM
    cores = body.target.mesh.cores
    idle = cores * schedule.makespan_s - float(configured.sum()) - float(seconds[light].sum())
    found = {
        "configure": (number[EventKind.CONFIGURE], busy[EventKind.CONFIGURE]),
        "encode": (windows, settled),
        "window": (windows, lit),
        "read": (windows, reading),
        "accumulate": (windows, out),
        "move": (number[EventKind.MOVE] + moves, busy[EventKind.MOVE] + loop_s),
        "host": (number[EventKind.HOST], max(busy[EventKind.HOST] - loop_s, 0.0)),
        "idle": (0, max(idle, 0.0)),
    }
    return {name: Activity(int(count), time) for name, (count, time) in found.items()}


def own_configure_s(schedule: Schedule) -> np.ndarray:
    """Of each configuration, the seconds in which its core does nothing else, float64 (events,); 0 of other events.

    A core with two buffers may be configured while light runs through it.
    """
    seconds = np.where(schedule.kind == EventKind.CONFIGURE, schedule.end_s - schedule.start_s, 0.0)
    if schedule.buffers == 1:
        return seconds
    rows = sorted_by(schedule.core)
    edges = np.searchsorted(schedule.core[rows], np.arange(int(schedule.core.max(initial=-1)) + 2))
    for first, last in pairwise(edges.tolist()):
        own = rows[first:last]
        kinds = schedule.kind[own]
        sets, light = own[kinds == EventKind.CONFIGURE], own[kinds == EventKind.STREAM]
        if len(sets) and len(light):
            start, end = schedule.start_s[light], schedule.end_s[light]
            lit = [_lit_until(times[sets], start, end) for times in (schedule.start_s, schedule.end_s)]
            seconds[sets] = np.maximum(seconds[sets] - (lit[1] - lit[0]), 0.0)
    return seconds


def _lit_until(time: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Seconds before each time in which streams run, which follow one another: float64 like ``time``."""
    before = np.concatenate([[0.0], np.cumsum(end - start)])
    place = np.searchsorted(start, time, side="right")
    last = np.maximum(place - 1, 0)
    over = np.where(place > 0, np.maximum(end[last] - time, 0.0), 0.0)
    return before[place] - over


def _loop_moves(body: ProgramBody, schedule: Schedule) -> tuple[int, float]:
    """Moves of all loops, which have no rows of their own, and their seconds."""
    from ..scheduling.moves import loop_bytes, loop_move_s

    count, seconds = 0, 0.0
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        if isinstance(step, RecurrentStep) and len(events):
            times, _ = loop_windows(body, step, schedule.batch)
            count += times * len(loop_bytes(body, step, schedule.batch))
            seconds += times * loop_move_s(body, step, schedule.batch)
    return count, seconds
