"""What a schedule draws and occupies over time: cores at work, and watts, as steps of piecewise constant curves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..events import EVENTS
from ..ledger import IDLE, ITEMS, EnergyReport
from ..schedule import EventKind, Schedule

_OF_EVENT = {"move": EventKind.MOVE, "host": EventKind.HOST}
_EXECUTION = np.array(
    [_OF_EVENT.get(EVENTS[item] if part != "memory" else "", EventKind.STREAM) for item, (part, _) in ITEMS.items()]
)
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
    moves, of host items over its host ops, of the rest over its streams. What idle cores take is spread over the time
    that cores are idle.

    Args: the schedule, its energy, and the cores of the chip.
    """
    seconds = schedule.end_s - schedule.start_s
    watts = np.zeros(len(schedule))
    loose = 0.0  # joules of steps without any event that takes time
    places = {name: place for place, name in enumerate(schedule.steps)}
    idle = 0.0
    for ledger, kinds in ((energy.execution, _EXECUTION), (energy.configuration, _CONFIGURATION)):
        for name, items in zip(ledger.rows, ledger.joules, strict=True):
            if name == IDLE:
                idle += float(items.sum())
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
    spare = Curve(busy.edges_s, cores - busy.values)
    if spare.integral > 1e-9 * cores * schedule.makespan_s:
        waiting = Curve(spare.edges_s, spare.values * (idle / spare.integral))
    else:
        loose, waiting = loose + idle, Curve(spare.edges_s, np.zeros(len(spare.values)))
    even = loose / schedule.makespan_s if schedule.makespan_s else 0.0
    edges = np.union1d(drawn.edges_s, waiting.edges_s)
    values = _at(drawn, edges) + _at(waiting, edges) + even
    return Curve(edges, np.maximum(values, 0.0))


def _at(curve: Curve, edges: np.ndarray) -> np.ndarray:
    """The curve's value between each two of some edges that hold its own."""
    return curve.values[np.searchsorted(curve.edges_s, edges[:-1], side="right") - 1]
