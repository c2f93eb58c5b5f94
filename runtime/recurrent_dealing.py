"""Dealing a recurrent step to the cores: its tiles keep their places over all time steps.

Every tile has one core for the whole loop. Where there are cores enough, each tile stays configured from the first
time step to the last; a core with several tiles is configured for them in turn at every time step, back and forth,
so that the last tile of one time step is the first of the next.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .latency import ConfigureTimes
from .schedule import EventKind

Events = dict[str, np.ndarray]
MakeEvents = Callable[[EventKind, np.ndarray, np.ndarray, np.ndarray, np.ndarray], Events]
"""Columns of events from kind, tile, core, start and end."""


@dataclass(frozen=True)
class Places:
    """Which place (0 .. cores - 1) streams which tiles, phase by phase: the hidden matrix, then the projection.

    ``rounds[phase]`` int64 (rounds, cores): tiles, counted through both phases, in the order a place takes them;
    -1 where it has none left.
    """

    cores: int
    tiles: tuple[int, ...]
    rounds: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, tiles: Sequence[int], cores: int) -> Places:
        """Tiles dealt in turn to as many places as there are tiles, or to the cores of their phase.

        Where cores are short, each phase has cores of its own, by its share of the tiles, so that a core which
        streams two tiles of one phase need not take tiles of the other in between. A lone core takes them all.
        """
        total = sum(tiles)
        shares = [cores] * len(tiles)
        apart = total > cores > 1 and min(tiles) > 0
        if apart and len(tiles) == 2:
            second = min(max(round(cores * tiles[1] / total), 1), cores - 1)
            shares = [cores - second, second]
        rounds: list[np.ndarray] = []
        first = place = 0
        for count, share in zip(tiles, shares, strict=True):
            index = np.arange(count)
            grid = np.full((-(-count // share), cores), -1, np.int64)
            grid[index // share, (place + index % share) % cores] = first + index
            rounds.append(grid)
            first += count
            place += share if apart else count
        return cls(cores, tuple(tiles), tuple(rounds))

    @property
    def resident(self) -> bool:
        """Whether every tile has a core of its own."""
        return sum(self.tiles) <= self.cores

    def order(self, phase: int, backwards: bool) -> np.ndarray:
        """The rounds of a phase, each place's tiles in reverse order if ``backwards``."""
        grid = self.rounds[phase]
        if not backwards or len(grid) < 2:
            return grid
        count = (grid >= 0).sum(0)
        turn = np.arange(len(grid))[:, None]
        return np.where(turn < count, np.take_along_axis(grid, np.maximum(count - 1 - turn, 0), 0), -1)

    def configures(self, times: int) -> tuple[int, ...]:
        """Configurations of the tiles of each phase in a loop that begins on other tiles."""
        counts = [(grid >= 0).sum(0) for grid in self.rounds]
        total = np.sum(counts, axis=0)
        found: list[int] = []
        for count in counts:
            alone = count == total  # no tile of another phase comes between
            kept = np.where(alone, count + (times - 1) * (count - 1), times * count)
            found.append(int(np.where(count > 0, kept, 0).sum()) if times else 0)
        return tuple(found)


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
    order: np.ndarray,
    held: np.ndarray,
    free_s: np.ndarray,
    turn: np.ndarray,
    host: Host,
    *,
    ready_s: float,
    times: int,
    buffers: int,
    configure: ConfigureTimes,
    stream_s: Sequence[float],
    gates_s: float,
    event: MakeEvents,
) -> tuple[list[Events], float]:
    """Events of a recurrent step.

    Args:
        places: of its tiles. order: the core of each place. held: the step's tile that each place holds
            already, -1 for none; free_s: when each core is free; turn: configurations of each core so far. All three
            are brought up to date.
        host: takes the gates.
        ready_s: when the inputs are there. times: time steps. buffers: of a core. configure: seconds of a
            configuration. stream_s: of one window, by phase.
        gates_s: of one time step. event: makes the columns of events.

    Returns:
        The events in an order in which no core and no time step goes backwards, and when the step is done.
    """
    parts: list[Events] = []
    nowhere = np.array([-1])
    rounds = [[places.order(phase, backwards) for backwards in (False, True)] for phase in range(len(places.tiles))]
    now = ready_s
    for time in range(times):
        for phase, seconds in enumerate(stream_s):
            tiles = rounds[phase][time % 2]
            if len(tiles):
                parts += _phase(tiles, order, held, free_s, turn, now, buffers, configure, seconds, event)
                now = max(now, float(free_s[order[tiles[0] >= 0]].max()))
            if phase == 0:
                start_s = host.fit(now, gates_s)
                now = start_s + gates_s
                parts.append(event(EventKind.HOST, nowhere, nowhere, np.array([start_s]), np.array([now])))
    return parts, now


def _phase(
    tiles: np.ndarray,
    order: np.ndarray,
    held: np.ndarray,
    free_s: np.ndarray,
    turn: np.ndarray,
    ready_s: float,
    buffers: int,
    configure: ConfigureTimes,
    stream_s: float,
    event: MakeEvents,
) -> list[Events]:
    """One window through the tiles (rounds, places) of a phase, whose vectors are there at ``ready_s``."""
    place = np.flatnonzero(tiles[0] >= 0)
    tile, core = tiles[0, place], order[place]
    new = held[place] != tile
    needed = np.where(turn[core] < buffers, configure.first_s, configure.later_s)
    begin = np.maximum(free_s[core], ready_s - needed)
    configured = begin + needed
    # rounding may put `configured` a hair before the vectors are there
    start = np.maximum(np.where(new, configured, free_s[core]), ready_s)
    parts = [event(EventKind.STREAM, tile, core, start, start + stream_s)]
    if new.any():
        parts.insert(0, event(EventKind.CONFIGURE, tile[new], core[new], begin[new], configured[new]))
    turn[core[new]] += 1
    count = (tiles >= 0).sum(0)
    end = np.zeros(tiles.shape)  # of each place's streams, round by round
    end[0, place] = start + stream_s
    if len(tiles) > 1:
        rounds = np.arange(len(tiles) - 1)[:, None]
        seconds = np.where(turn[order] + rounds < buffers, configure.first_s, configure.later_s)
        end[1:] = end[0] + np.cumsum(seconds + stream_s, axis=0)
        later, more = np.nonzero(tiles[1:] >= 0)
        tile, core = tiles[1:][later, more], order[more]
        begin, done = end[later, more], end[later + 1, more]
        configured = np.minimum(begin + seconds[later, more], done)
        both = (
            event(EventKind.CONFIGURE, tile, core, begin, configured),
            event(EventKind.STREAM, tile, core, configured, done),
        )
        parts.append({name: np.stack([part[name] for part in both], 1).ravel() for name in both[0]})
        np.add.at(turn, core, 1)
    free_s[order[place]] = end[count[place] - 1, place]
    held[place] = tiles[count[place] - 1, place]
    return parts
