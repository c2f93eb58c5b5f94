"""Rules of the link and of dependencies: what crosses the link, and that every step finds its inputs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import complaint
from ..program import HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep, Step
from ..walk import reads
from .check_cores import TOLERANCE, lengths
from .latency import move_s
from .moves import StepMoves, moves
from .schedule import EventKind, Schedule


def dependencies(schedule: Schedule, body: ProgramBody) -> list[str]:
    """Every move that the program needs, once and of the right length, and nothing before what it waits for."""
    faults: list[str] = []
    needed = moves(body, schedule.batch)
    given = [*(item.name for item in body.inputs), *body.constants]
    clock = _Clock(body.target.link.present, host=dict.fromkeys(given, 0.0))
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        kinds = schedule.kind[events]
        moved = events[kinds == EventKind.MOVE]
        wanted = needed[step.name]
        wrong = _crossings(schedule, body, step, moved, wanted)
        faults += wrong
        # a step whose moves are others is taken to need none
        into, back = ([], None) if wrong else _sorted(schedule, moved, wanted)
        work = events[(kinds == EventKind.STREAM) | (kinds == EventKind.HOST)]
        if isinstance(step, ProductStep):
            faults += _product(schedule, step, events, into, bool(wanted.settings), clock)
        elif isinstance(step, MatrixStep):
            for row in into:
                faults += _starts(schedule, step, row, "a move to the chip", clock.on_host(step.input))
                clock.chip[step.input] = float(schedule.end_s[row])
            others = reads(step)[1:]
            ready = max([clock.on_chip(step.input), *(clock.anywhere(name) for name in others)])
            faults += _works(schedule, step, work, ready)
        else:
            ready = max((clock.on_host(name) for name in reads(step)), default=0.0)
            faults += _works(schedule, step, work, ready)
        ready = max((clock.anywhere(name) for name in reads(step)), default=0.0)
        done = float(schedule.end_s[work].max(initial=ready))
        if isinstance(step, HostStep | RecurrentStep):
            clock.host[step.name] = done
            continue
        clock.chip[step.name] = done
        if back is not None:
            faults += _starts(schedule, step, back, "a move to the host", done)
            clock.host[step.name] = float(schedule.end_s[back])
    return faults


@dataclass
class _Clock:
    """When each value is on the chip, and when on the host; inputs and constants are on the host from the start."""

    linked: bool
    chip: dict[str, float] = field(default_factory=dict[str, float])
    host: dict[str, float] = field(default_factory=dict[str, float])

    def anywhere(self, name: str) -> float:
        """When it is first there."""
        times = [place[name] for place in (self.chip, self.host) if name in place]
        return min(times, default=0.0)

    def on_chip(self, name: str) -> float:
        """When the chip can read it: anywhere, where there is no link between."""
        return self.chip[name] if self.linked and name in self.chip else self.anywhere(name)

    def on_host(self, name: str) -> float:
        """When the host can read it."""
        return self.host[name] if self.linked and name in self.host else self.anywhere(name)


def _crossings(schedule: Schedule, body: ProgramBody, step: Step, moved: np.ndarray, wanted: StepMoves) -> list[str]:
    """The moves of a step are those that it needs: direction, bytes, time."""
    to_chip = [count for count in (wanted.settings, *(count for _, count in wanted.to_chip)) if count]
    to_host = [wanted.to_host] if wanted.to_host else []
    out = schedule.tile[moved] == 1
    for where, rows, expected in (("to the chip", moved[~out], to_chip), ("to the host", moved[out], to_host)):
        found = schedule.vectors[rows].tolist()
        if found != expected:
            return [
                complaint(
                    f"moves {where} other than the step's",
                    where=step.name,
                    got=f"{found} bytes",
                    allowed=f"{expected} bytes",
                )
            ]
    seconds = [move_s(body.target, count) for count in schedule.vectors[moved].tolist()]
    return lengths(schedule, moved, np.array(seconds)) if seconds else []


def _sorted(schedule: Schedule, moved: np.ndarray, wanted: StepMoves) -> tuple[list[int], int | None]:
    """Rows of the moves to the chip, in order, and of the move to the host."""
    out = schedule.tile[moved] == 1
    back = moved[out].tolist()
    return moved[~out].tolist(), back[0] if wanted.to_host else None


def _product(
    schedule: Schedule, step: ProductStep, events: np.ndarray, into: list[int], settings: bool, clock: _Clock
) -> list[str]:
    """Factorised when both operands are known, then the settings cross, then tiles are configured; what streams
    through them crosses after the settings."""
    faults: list[str] = []
    kinds = schedule.kind[events]
    factors, streams = events[kinds == EventKind.HOST], events[kinds == EventKind.STREAM]
    faults += _works(schedule, step, factors, max(clock.anywhere(step.left), clock.on_host(step.right)))
    there = float(schedule.end_s[factors].max(initial=0.0))
    if settings and into:
        row = into.pop(0)
        faults += _starts(schedule, step, row, "a move of a product's settings", there)
        there = float(schedule.end_s[row])
        configures = events[kinds == EventKind.CONFIGURE]
        if (schedule.start_s[configures] < there * (1 - TOLERANCE)).any():
            faults.append(complaint("a tile is configured before its settings are on the chip", where=step.name))
    for row in into:
        faults += _starts(schedule, step, row, "a move to the chip", max(there, clock.on_host(step.left)))
        clock.chip[step.left] = float(schedule.end_s[row])
    return faults + _works(schedule, step, streams, clock.on_chip(step.left))


def _works(schedule: Schedule, step: Step, work: np.ndarray, ready: float) -> list[str]:
    """Streams and host ops of a step, none before its inputs are there."""
    start = float(schedule.start_s[work].min(initial=np.inf))
    if start >= ready:
        return []
    return [
        complaint("a step starts before its inputs are there", where=step.name, got=f"{start} s",
                  allowed=f"from {ready} s")
    ]  # fmt: skip


def _starts(schedule: Schedule, step: Step, row: int, what: str, ready: float) -> list[str]:
    """A move, not before what it moves is there."""
    start = float(schedule.start_s[row])
    if start >= ready:
        return []
    return [
        complaint(f"{what} starts before there is anything to move", where=f"event {row}, step {step.name}",
                  got=f"{start} s", allowed=f"from {ready} s")
    ]  # fmt: skip
