"""What a schedule draws and occupies over time: cores at work, and watts, as steps of piecewise constant curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..pricing.events import EVENTS
from ..pricing.ledger import IDLE, ITEMS, EnergyReport
from ..scheduling.schedule import EventKind, Schedule

_OF_EVENT = {"move": EventKind.MOVE, "host": EventKind.HOST}
_EXECUTION = np.array(
    [_OF_EVENT.get(EVENTS[item] if part != "memory" else "", EventKind.STREAM) for item, (part, _) in ITEMS.items()]
)
_HOLD = list(ITEMS).index("hold")
_CONFIGURATION = np.full(len(ITEMS), int(EventKind.CONFIGURE))
"""Of each item, the kind of event over which a step's joules are spread; over all of its events where it has none."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A value that holds from each time to the next: ``values`` one shorter than ``edges_s``, both float64."""

    edges_s: np.ndarray
    values: np.ndarray

    @property
    def integral(self) -> float:
        """Value times seconds over the whole curve."""
        return float(self.values @ np.diff(self.edges_s))

    def averaged(self, bins: int) -> Curve:
        """The same in equal bins, each with its mean, where the curve has more steps than that."""
        if len(self.values) <= bins:
            return self
        edges = np.linspace(self.edges_s[0], self.edges_s[-1], bins + 1)
        summed = np.append(0.0, np.cumsum(self.values * np.diff(self.edges_s)))
        return Curve(edges, np.diff(np.interp(edges, self.edges_s, summed)) / np.diff(edges))


def stacked(start_s: np.ndarray, end_s: np.ndarray, height: np.ndarray, until_s: float) -> Curve:
    """The sum of intervals of some height each, from 0 to ``until_s``."""
    edges, place = np.unique(np.concatenate([[0.0, until_s], start_s, end_s]), return_inverse=True)
    change = np.zeros(len(edges))
    np.add.at(change, place[2:], np.concatenate([height, -height]))
    return Curve(edges, np.cumsum(change)[:-1])


def cores_busy(schedule: Schedule) -> Curve:
    """How many cores configure or stream: of both at once, one."""
    starts, ends = [np.empty(0)], [np.empty(0)]
    rows = np.argsort(schedule.core, kind="stable")
    edges = np.searchsorted(schedule.core[rows], np.arange(int(schedule.core.max(initial=-1)) + 2))
    for first, last in pairwise(edges.tolist()):
        start, end = schedule.start_s[rows[first:last]], schedule.end_s[rows[first:last]]
        start = np.maximum(start, np.maximum.accumulate(np.append(0.0, end))[:-1])
        starts.append(start[end > start])
        ends.append(end[end > start])
    start, end = np.concatenate(starts), np.concatenate(ends)
    return stacked(start, end, np.ones(len(start)), schedule.makespan_s)


def power(schedule: Schedule, energy: EnergyReport, cores: int) -> Curve:
    """Watts of a run. Its integral is the run's energy, but for rounding.

    A step's joules are spread evenly over its events: of configuration over its configurations, of the link over its
    moves, of host items over its host ops, of the rest over its streams. What is held between events is spread over the
    time that set buffers wait, what else idle cores take over the time that cores are idle.

    Args: the schedule, its energy, and the cores of the chip.
    """
    seconds = schedule.end_s - schedule.start_s
    watts = np.zeros(len(schedule))
    loose = 0.0  # joules of steps without any event that takes time
    places = {name: place for place, name in enumerate(schedule.steps)}
    idle, held = 0.0, 0.0
    for ledger, kinds in ((energy.execution, _EXECUTION), (energy.configuration, _CONFIGURATION)):
        for name, items in zip(ledger.rows, ledger.joules, strict=True):
            if name == IDLE:
                held += float(items[_HOLD])
                idle += float(items.sum() - items[_HOLD])
                continue
            lasting = schedule.by_step[places[name]]
            lasting = lasting[seconds[lasting] > 0]
            for kind in EventKind:
                joules = float(items[kinds == kind].sum())
                if not joules:
                    continue
                rows = lasting[schedule.kind[lasting] == kind]
                rows = rows if len(rows) else lasting
                if len(rows):
                    watts[rows] += joules / float(seconds[rows].sum())
                else:
                    loose += joules
    lit = seconds > 0
    drawn = stacked(schedule.start_s[lit], schedule.end_s[lit], watts[lit], schedule.makespan_s)
    busy = cores_busy(schedule)
    curves = [drawn]
    for joules, spare in ((held, _waiting(schedule)), (idle, Curve(busy.edges_s, cores - busy.values))):
        if spare.integral > 1e-9 * cores * schedule.makespan_s:
            curves.append(Curve(spare.edges_s, spare.values * (joules / spare.integral)))
        else:
            loose += joules
    even = loose / schedule.makespan_s if schedule.makespan_s else 0.0
    found = _sum(curves)
    return Curve(found.edges_s, np.maximum(found.values + even, 0.0))


def _waiting(schedule: Schedule) -> Curve:
    """How many buffers hold a setting that neither light goes through nor a configuration changes."""
    cores = int(schedule.core.max(initial=-1)) + 1
    empty = np.full(cores, schedule.buffers)
    for core, tiles in enumerate(schedule.resident[:cores]):
        empty[core] -= int((tiles >= 0).sum())
    rows = np.flatnonzero((schedule.kind == EventKind.CONFIGURE) & (schedule.core >= 0))
    rows = rows[np.lexsort((schedule.start_s[rows], schedule.core[rows]))]
    core = schedule.core[rows]
    turn = np.arange(len(rows)) - np.searchsorted(core, core)
    first = schedule.start_s[rows[turn < empty[core]]]  # of a core's k-th configuration, while a buffer is empty
    since = np.append(first, np.zeros(int((schedule.resident[:cores] >= 0).sum())))
    held = stacked(since, np.full(len(since), schedule.makespan_s), np.ones(len(since)), schedule.makespan_s)
    used = (schedule.core >= 0) & (schedule.end_s > schedule.start_s)
    active = stacked(schedule.start_s[used], schedule.end_s[used], -np.ones(int(used.sum())), schedule.makespan_s)
    found = _sum([held, active])
    return Curve(found.edges_s, np.maximum(found.values, 0.0))


def _sum(curves: Sequence[Curve]) -> Curve:
    """Curves over the same time added up."""
    edges = np.unique(np.concatenate([curve.edges_s for curve in curves]))
    return Curve(edges, sum((_at(curve, edges) for curve in curves), np.zeros(max(len(edges) - 1, 0))))


def _at(curve: Curve, edges: np.ndarray) -> np.ndarray:
    """The curve's value between each two of some edges that hold its own."""
    return curve.values[np.searchsorted(curve.edges_s, edges[:-1], side="right") - 1]
