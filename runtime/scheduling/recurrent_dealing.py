"""Dealing a recurrent step to the cores: its tiles keep their places over all time steps.

Every tile has one core for the whole loop. Where there are buffers enough, each tile stays configured from the first
time step to the last; a core with more tiles than buffers streams at every time step those first that it holds, and is
configured for the others in turn.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .cores import Cores, Events, columns
from .schedule import HOST_LANE, EventKind


@dataclass(frozen=True)
class Places:
    """Which place streams which tiles, phase by phase: the hidden matrix, then the projection.

    ``phases``: for each phase its tiles, counted through both, one array a place.
    """

    phases: tuple[tuple[np.ndarray, ...], ...]

    @classmethod
    def of(cls, tiles: Sequence[int], cores: int, buffers: int = 1) -> Places:
        """Tiles dealt in turn to as many places as there are tiles, at most one a core.

        Where the cores do not hold all of them, each phase has cores of its own, by its share of the tiles, so that a
        core which streams several tiles of one phase need not take tiles of the other in between. A lone core takes
        them all.
        """
        total = sum(tiles)
        shares = [cores] * len(tiles)
        apart = total > cores * buffers and cores > 1 and min(tiles) > 0 and len(tiles) == 2
        if apart:
            second = min(max(round(cores * tiles[1] / total), 1), cores - 1)
            shares = [cores - second, second]
        phases: list[tuple[np.ndarray, ...]] = []
        first = place = 0
        for count, share in zip(tiles, shares, strict=True):
            index = np.arange(count)
            where = (place + index % share) % cores
            phases.append(tuple(first + index[where == here] for here in range(min(cores, total))))
            first += count
            place += share if apart else count
        return cls(tuple(phases))

    @property
    def tiles(self) -> list[np.ndarray]:
        """All tiles of each place."""
        return [np.concatenate(own) for own in zip(*self.phases, strict=True)]


@dataclass
class Host:
    """The host's time: ops one after another, the short ones of loops in the first gap that takes them."""

    start_s: list[float] = field(default_factory=list)
    end_s: list[float] = field(default_factory=list)

    def append(self, ready_s: float, seconds: float) -> float:
        """When an op starts that runs after all others."""
        start = max(self.end_s[-1] if self.end_s else 0.0, ready_s)
        self.start_s.append(start)
        self.end_s.append(start + seconds)
        return start

    def fit(self, ready_s: float, seconds: float) -> float:
        """When an op starts that runs in the first gap from ``ready_s`` on."""
        at = bisect_left(self.end_s, ready_s)
        start = ready_s
        while at < len(self.end_s):
            if start + seconds <= self.start_s[at]:
                break
            start = max(start, self.end_s[at])
            at += 1
        self.start_s.insert(at, start)
        self.end_s.insert(at, start + seconds)
        return start


def deal_loop(
    places: Places,
    cores: Cores,
    host: Host,
    numbers: np.ndarray,
    *,
    ready_s: float,
    times: int,
    stream_s: Sequence[float],
    gates_s: float,
) -> tuple[list[Events], float]:
    """Events of a recurrent step.

    Args:
        places: of its tiles. cores, host: take them and the gates.
        numbers: (tiles,) of its tiles, counted through the program.
        ready_s: when the inputs are there. times: time steps. stream_s: of one window, by phase.
        gates_s: of one time step.

    Returns:
        The events in an order in which no core and no time step goes backwards, and when the step is done.
    """
    parts: list[Events] = []
    nowhere, lane = np.array([-1]), np.array([HOST_LANE])
    core = cores.places([numbers[own] for own in places.tiles])
    lists: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # of each phase: edges, tiles, cores
    for phase in places.phases:
        used = [place for place, own in enumerate(phase) if len(own)]
        edge = np.append(0, np.cumsum([len(phase[place]) for place in used], dtype=np.int64)).astype(np.int64)
        tile = np.concatenate([phase[place] for place in used]) if used else np.empty(0, np.int64)
        lists.append((edge, tile, core[used]))
    now = ready_s
    for _ in range(times):
        for phase, ((edge, tile, own), seconds) in enumerate(zip(lists, stream_s, strict=True)):
            if len(tile):
                events = cores.lists(numbers, edge, tile, own, now, seconds)
                parts.append(events)
                now = float(events["end_s"].max())
            if phase == 0:
                start_s = host.fit(now, gates_s)
                now = start_s + gates_s
                parts.append(columns(EventKind.HOST, nowhere, lane, np.array([start_s]), np.array([now])))
    return parts, now
