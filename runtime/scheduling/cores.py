"""The cores while tiles are dealt to them: when each is free, and which tiles it holds.

A core has ``buffers`` settings. Its k-th configuration, counted from 0, goes into buffer ``k mod buffers``: a rule
that a device, a schedule and a check of it share, so that no event need name a buffer. Tiles are numbered through all
banks of a program.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .copies_kernel import deal_copies
from .dealing_kernel import deal_chains, deal_tiles, stream_held, stream_lists
from .latency import ConfigureTimes
from .schedule import EventKind

Events = dict[str, np.ndarray]
"""Columns of events, by name."""


@dataclass
class Cores:
    """``count`` cores of ``buffers`` settings each, with the ``times`` of their configurations.

    ``configure_free_s``, ``stream_free_s`` (cores,): when its drivers, and its light, have done what was dealt so far;
    ``buffer_free_s`` (cores, buffers): when no stream needs what a buffer holds. ``held`` (cores, buffers): the tile
    that each buffer holds, -1 for nothing that can be used again. ``turn`` (cores,): configurations so far.
    ``keep``: no tile replaces another while a core with an empty buffer is left.
    """

    count: int
    times: ConfigureTimes
    buffers: int = 1
    keep: bool = False
    configure_free_s: np.ndarray = field(init=False)
    stream_free_s: np.ndarray = field(init=False)
    buffer_free_s: np.ndarray = field(init=False)
    held: np.ndarray = field(init=False)
    turn: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.configure_free_s, self.stream_free_s = np.zeros(self.count), np.zeros(self.count)
        self.buffer_free_s = np.zeros((self.count, self.buffers))
        self.held = np.full((self.count, self.buffers), -1, np.int64)
        self.turn = np.zeros(self.count, np.int64)

    @property
    def free_s(self) -> np.ndarray:
        """When each core has nothing left to do, float64 (cores,)."""
        return np.maximum(self.configure_free_s, self.stream_free_s)

    def run(self, first: int, tiles: int, ready_s: float, stream_s: float, *, weights_s: float | None = None) -> Events:
        """Deal tiles, all vectors through each: those that a core holds stay on it, the others go where they finish
        first.

        With one buffer a core is configured as late as the vectors allow; with more, as early as a buffer is free.

        Args:
            first: number of the first tile. tiles: how many. ready_s: when the vectors are there.
            stream_s: of one stream.
            weights_s: when the weights are there, for tiles that hold new weights whatever a core holds.
        """
        holder, slot = np.full(tiles, -1), np.full(tiles, -1)
        if weights_s is None:
            own = self._holding(first, tiles)[::-1]  # the lower core has the last word
            kept = self.held[own[:, 0], own[:, 1]] - first
            holder[kept], slot[kept] = own[:, 0], own[:, 1]
        kept, todo = np.flatnonzero(holder >= 0), np.flatnonzero(holder < 0)
        start = np.empty(len(kept))
        stream_held(holder[kept], slot[kept], ready_s, stream_s, self.stream_free_s, self.buffer_free_s, start)
        held = columns(EventKind.STREAM, kept, holder[kept], start, start + stream_s)
        if not len(todo):
            return held

        core, (begin, end, start) = np.empty(len(todo), np.int64), np.empty((3, len(todo)))
        deal_tiles(
            self.times.first_s,
            self.times.later_s,
            float(stream_s),
            0.0 if weights_s is None else float(weights_s),
            float(ready_s),
            self.buffers == 1,
            self.keep,
            self.configure_free_s,
            self.stream_free_s,
            self.buffer_free_s,
            self.turn,
            core,
            begin,
            end,
            start,
        )
        self._hold(todo + first if weights_s is None else np.full(len(todo), -1), core)
        return joined(held, pairs(todo, core, begin, end, start, start + stream_s))

    def copies(self, first: int, tiles: int, ready_s: float, cut: Cut) -> Events:
        """Deal tiles, each on as many cores as its blocks of vectors need for all to finish early.

        Args:
            first: number of the first tile. tiles: how many. ready_s: when the vectors are there. cut: of the vectors.
        """
        own = self._holding(first, tiles)
        numbers = self.held[own[:, 0], own[:, 1]] - first
        order = np.argsort(numbers, kind="stable")
        edge = np.searchsorted(numbers[order], np.arange(tiles + 1))
        rows = tiles * cut.blocks
        tile, block, core = np.empty((3, rows), np.int64)
        begin, end, start, stop = np.empty((4, rows))
        deal_copies(
            tiles,
            cut.blocks,
            cut.stream_s,
            cut.last_s,
            self.times.first_s,
            self.times.later_s,
            float(ready_s),
            self.buffers == 1,
            self.keep,
            edge,
            own[order, 0],
            own[order, 1],
            self.configure_free_s,
            self.stream_free_s,
            self.buffer_free_s,
            self.turn,
            self.held,
            first,
            tile,
            block,
            core,
            begin,
            end,
            start,
            stop,
        )
        return cut.numbered(pairs(tile, core, begin, end, start, stop), block)

    def chains(self, first: int, edge: np.ndarray, tile: np.ndarray, ready_s: float, cut: Cut) -> Events:
        """Deal chains of tiles, each to one core, for every block of vectors.

        Args:
            first: number of the first tile. edge: (chains + 1,), where each begins in ``tile``.
            ready_s: when the vectors are there. cut: of the vectors.
        """
        length = np.diff(edge)
        if len(length) and int(length.max()) <= self.buffers:  # what is held comes first
            there = np.isin(tile[edge[:-1]] + first, self.held)
            turns = np.argsort(~there, kind="stable")
        else:
            turns = np.arange(len(length))
        # every chain once for each block, its blocks in order
        turns, block = np.repeat(turns, cut.blocks), np.tile(np.arange(cut.blocks), len(turns))
        length = length[turns]
        edges = np.append(0, np.cumsum(length))
        items = tile[np.arange(edges[-1]) - np.repeat(edges[:-1] - edge[:-1][turns], length)]
        block_s = np.where(block == cut.blocks - 1, cut.last_s, cut.stream_s)
        core, (begin, end, start) = np.empty(len(items), np.int64), np.empty((3, len(items)))
        deal_chains(
            edges,
            items + first,
            block_s,
            self.times.first_s,
            self.times.later_s,
            float(ready_s),
            self.buffers == 1,
            self.keep,
            self.configure_free_s,
            self.stream_free_s,
            self.buffer_free_s,
            self.turn,
            self.held,
            core,
            begin,
            end,
            start,
        )
        stop = start + np.repeat(block_s, length)
        return cut.numbered(pairs(items, core, begin, end, start, stop), np.repeat(block, length))

    def places(self, tiles: list[np.ndarray]) -> np.ndarray:
        """Cores for places that keep their tiles: int64 (places,), each place the core that holds most of its tiles,
        else the earliest free.

        Args:
            tiles: numbers of the tiles of each place, as many places as cores at most.
        """
        # with tiles to keep, the cores with most empty buffers come first, as the places with most tiles do
        used = np.minimum(self.turn, self.buffers) if self.keep else np.zeros(self.count)
        order = np.lexsort((self.free_s, used))
        for place, wanted in enumerate(tiles):
            held = np.isin(self.held[order[place:]], wanted).sum(1)
            # a place before this one keeps its core
            here = place + int(held.argmax())
            order[place], order[here] = order[here], order[place]
        return order[: len(tiles)]

    def lists(
        self, first: np.ndarray, edge: np.ndarray, tile: np.ndarray, core: np.ndarray, ready_s: float, stream_s: float
    ) -> Events:
        """Stream lists of tiles, each on a given core.

        Args:
            first: (all tiles,) their numbers. edge: (lists + 1,), where each begins in ``tile``, places in ``first``.
            core: (lists,) no two alike. ready_s: when the vectors are there. stream_s: of one stream.
        """
        order = np.empty(len(tile), np.int64)
        begin, end, start = np.empty((3, len(tile)))
        stream_lists(
            edge,
            core,
            first[tile],
            float(stream_s),
            self.times.first_s,
            self.times.later_s,
            float(ready_s),
            self.buffers == 1,
            self.configure_free_s,
            self.stream_free_s,
            self.buffer_free_s,
            self.turn,
            self.held,
            order,
            begin,
            end,
            start,
        )
        return pairs(tile[order], np.repeat(core, np.diff(edge)), begin, end, start, start + stream_s)

    def _holding(self, first: int, tiles: int) -> np.ndarray:
        """Cores and buffers that hold one of these tiles: int64 (K, 2)."""
        return np.argwhere((self.held >= first) & (self.held < first + tiles))

    def _hold(self, tile: np.ndarray, core: np.ndarray) -> None:
        """Cores have been configured for tiles, in this order; ``turn`` counts them already."""
        if not len(core):
            return
        order = np.argsort(core, kind="stable")
        edge = np.flatnonzero(np.diff(core[order], append=-1))  # the last configuration of each core
        first = np.diff(edge, prepend=-1)
        for back in range(self.buffers):
            enough = first > back
            row, here = order[edge[enough] - back], core[order[edge[enough]]]
            self.held[here, (self.turn[here] - 1 - back) % self.buffers] = tile[row]


@dataclass(frozen=True)
class Cut:
    """Vectors cut into blocks: ``blocks`` of ``size`` vectors and ``stream_s`` seconds through a tile; the last one has
    ``last`` vectors and takes ``last_s``."""

    blocks: int
    size: int
    last: int
    stream_s: float
    last_s: float

    def numbered(self, events: Events, block: np.ndarray) -> Events:
        """The vectors of events whose streams send ``block`` (items,), some behind a configuration."""
        streams = events["kind"] == EventKind.STREAM
        vectors, first = np.zeros((2, len(streams)), np.int64)
        vectors[streams] = np.where(block == self.blocks - 1, self.last, self.size)
        first[streams] = block * self.size
        return {**events, "vectors": vectors, "first": first}


def columns(kind: EventKind, tile: np.ndarray, core: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> Events:
    """Columns of events of one kind."""
    return {
        "kind": np.full(len(tile), kind),
        "tile": tile,
        "core": core,
        "start_s": start_s,
        "end_s": end_s,
    }


def joined(*parts: Events) -> Events:
    """Events of several tables of the same columns, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def pairs(
    tile: np.ndarray, core: np.ndarray, begin: np.ndarray, end: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> Events:
    """Streams, each behind its configuration where it has one (``begin`` is not NaN)."""
    configure = columns(EventKind.CONFIGURE, tile, core, begin, end)
    stream = columns(EventKind.STREAM, tile, core, start, stop)
    keep = np.stack([~np.isnan(begin), np.ones(len(tile), bool)], 1).ravel()
    return {name: np.stack([configure[name], stream[name]], 1).ravel()[keep] for name in configure}
