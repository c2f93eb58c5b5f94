"""The longest path through the steps of a program, with the work that must lie along it: see :func:`.bounds.bounds`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..program import HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep, Step
from ..walk import reads
from .step_work import Work

STEPS = 4096
"""Steps up to which work is also bounded before every step, not only over the whole program: n^2 bits of memory."""


@dataclass(frozen=True)
class Cores:
    """How many, their buffers, and seconds of a configuration: of the shortest, and of one before which its buffer has
    held nothing in the run."""

    count: int
    buffers: int
    reconfigure_s: float
    first_s: float

    def in_turn_s(self, count: int) -> float:
        """Seconds of so many configurations of one core."""
        return min(count, self.buffers) * self.first_s + max(count - self.buffers, 0) * self.reconfigure_s


def critical_path_s(body: ProgramBody, work: list[Work], cores: Cores, price_s: float = 0.0) -> float:
    """Seconds that no schedule can beat.

    Args:
        work: of every step. price_s: what each copy of a tile adds to the time of its step, see :class:`..Option`.
    """
    count = len(work)
    if not count:
        return 0.0
    within = count <= STEPS
    place = {step.name: index for index, step in enumerate(body.steps)}
    before = np.zeros((count, count) if within else (0, 0), bool)  # [j, i]: step i is j or comes before it
    times = _Times(body, work, place)
    table = _Table.of(work, cores)
    for index, (step, item) in enumerate(zip(body.steps, work, strict=True)):
        sources = sorted({place[name] for name in reads(step) if name in place})
        times.ask(index, step)
        if within and sources:
            before[index] = before[sources].any(0)
            if len(sources) > 1:  # branches that meet here share the cores
                shared = table.end_s(np.flatnonzero(before[index]), times)
                times.asked[index] = max(times.asked[index], shared)
        times.begin(index, step, cores)
        times.end[index] = times.start[index] + item.path_s(price_s)
        if within:
            before[index, index] = True
            if item.light_s or item.host_s:
                shared = table.end_s(np.flatnonzero(before[index]), times)
                times.end[index] = max(times.end[index], shared)
    everything = table.end_s(np.arange(count), times, whole=True)
    return max(everything, float((times.end + table.out_s).max()))


class _Times:
    """When things can be there at the earliest, float64 (steps,).

    ``asked``: a step's inputs, ``moved``: what it moves to the chip is known; ``start``: its streams or its host op
    can begin; ``end``: its result is there.
    """

    def __init__(self, body: ProgramBody, work: list[Work], place: dict[str, int]) -> None:
        self.work = work
        self.place = place
        self.on_chip = [isinstance(step, MatrixStep | ProductStep) for step in body.steps]
        self.asked, self.moved, self.start, self.end = (np.zeros(len(work)) for _ in range(4))
        self.arrived: dict[str, float] = {}  # host values that have been moved to the chip

    def ask(self, index: int, step: Step) -> None:
        """The inputs of a step, those that come over the link included."""
        here = [self._there(name, self._on_host(step, name)) for name in reads(step)]
        self.asked[index] = max(here, default=0.0)
        coming = [self._there(name, False) for name, _ in self.work[index].in_s]
        self.moved[index] = min(coming, default=self.asked[index])
        for name, seconds in self.work[index].in_s:
            self.arrived[name] = self._there(name, False) + seconds
        if isinstance(step, MatrixStep):
            self.asked[index] = max(self.asked[index], self.arrived.get(step.input, 0.0))

    def begin(self, index: int, step: Step, cores: Cores) -> None:
        """The first stream of a step, or its host op."""
        item = self.work[index]
        self.start[index] = self.asked[index] + item.factor_s + item.settings_s
        if isinstance(step, ProductStep):
            if item.dynamic:  # left need not be there before the first configuration is
                left = self.arrived.get(step.left, 0.0) - cores.reconfigure_s
                self.start[index] = max(self.start[index], left)
        elif item.whole:
            self.start[index] = max(self.start[index], cores.first_s)

    def _there(self, name: str, on_host: bool) -> float:
        """When a value is known, on the chip or, if it was computed there, on the host."""
        if name not in self.place:
            return 0.0
        index = self.place[name]
        return float(self.end[index]) + (self.work[index].out_s if on_host else 0.0)

    def _on_host(self, step: Step, name: str) -> bool:
        """Whether a step reads a value on the host."""
        if isinstance(step, ProductStep):
            return name == step.right
        return isinstance(step, HostStep | RecurrentStep)


@dataclass(frozen=True)
class _Table:
    """Work by step, in columns: see :class:`..Work`."""

    cores: Cores
    light_s: np.ndarray
    shortest_s: np.ndarray
    static: np.ndarray
    dynamic: np.ndarray
    host_s: np.ndarray
    factor_s: np.ndarray
    in_s: np.ndarray
    settings_s: np.ndarray
    out_s: np.ndarray
    links: bool

    @classmethod
    def of(cls, work: list[Work], cores: Cores) -> _Table:
        names = ("light_s", "shortest_s", "static", "dynamic", "host_s", "factor_s", "settings_s", "out_s")
        found = {name: np.array([getattr(item, name) for item in work]) for name in names}
        inward = np.array([sum(seconds for _, seconds in item.in_s) for item in work])
        return cls(cores, in_s=inward, links=any(item.link_s for item in work), **found)

    def end_s(self, steps: np.ndarray, times: _Times, whole: bool = False) -> float:
        """When ``steps`` (K,) can all be done; ``whole``: and their results be on the host."""
        found = _in_turn(self.host_s[steps], times.asked[steps])
        if self.links:
            known = times.asked[steps] + self.factor_s[steps]
            jobs = [(self.in_s[steps], times.moved[steps]), (self.settings_s[steps], known)]
            jobs += [(self.out_s[steps], times.end[steps])] * whole
            found = max(found, _in_turn(*(np.concatenate(parts) for parts in zip(*jobs, strict=True))))
        chip = steps[self.light_s[steps] > 0]
        return max(found, self._on_cores(chip, times)) if len(chip) else found

    def _on_cores(self, chip: np.ndarray, times: _Times) -> float:
        """When the streams of steps can all be done."""
        cores, buffers, reconfigure = self.cores.count, self.cores.buffers, self.cores.reconfigure_s
        # from the latest on: what can only begin then lies between then and the end
        chip = chip[np.argsort(-times.start[chip], kind="stable")]
        since, light = times.start[chip], np.cumsum(self.light_s[chip])
        shortest = np.minimum.accumulate(self.shortest_s[chip])
        static, dynamic = np.cumsum(self.static[chip]), np.cumsum(self.dynamic[chip])
        late = np.maximum(static - buffers * cores, 0)  # configurations that must begin after `since`
        after = late + dynamic
        turns = -(-after // cores)
        # a core whose buffers are all set must stream a tile before it is configured anew
        wait = np.where(late > 0, np.minimum(shortest, reconfigure), 0.0)
        settings = np.where(turns > 0, wait + turns * reconfigure + shortest, 0.0)
        both = light + after * reconfigure if buffers == 1 else light
        found = float((since + np.maximum(settings, both / cores)).max())
        needed = -(-int(static[-1] + dynamic[-1]) // cores)  # configurations of some core, from the beginning
        return max(found, self.cores.in_turn_s(needed) + float(shortest[-1])) if needed else found


def _in_turn(seconds: np.ndarray, asked_s: np.ndarray) -> float:
    """When jobs can be done that one resource does one after another, each from a moment on."""
    some = np.flatnonzero(seconds > 0)
    some = some[np.argsort(-asked_s[some], kind="stable")]
    return float((asked_s[some] + np.cumsum(seconds[some])).max(initial=0.0))
