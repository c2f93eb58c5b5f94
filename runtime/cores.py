"""The cores while tiles are dealt to them: when each is free, and which tiles it holds.

A core has ``buffers`` settings. Its k-th configuration, counted from 0, goes into buffer ``k mod buffers``: a rule
that a device, a schedule and a check of it share, so that no event need name a buffer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .dealing_kernel import deal_tiles, stream_held
from .recurrent_dealing import Events
from .schedule import EventKind


@dataclass
class Cores:
    """``count`` cores of ``buffers`` settings each, that take ``reconfigure_s`` to be configured.

    ``configure_free_s``, ``stream_free_s`` (cores,): when its drivers, and its light, have done what was dealt so far;
    ``buffer_free_s`` (cores, buffers): when no stream needs what a buffer holds. ``bank``, ``tile`` (cores, buffers):
    what each buffer holds, -1 for nothing. ``turn`` (cores,): configurations so far.
    """

    count: int
    reconfigure_s: float
    buffers: int = 1
    configure_free_s: np.ndarray = field(init=False)
    stream_free_s: np.ndarray = field(init=False)
    buffer_free_s: np.ndarray = field(init=False)
    bank: np.ndarray = field(init=False)
    tile: np.ndarray = field(init=False)
    turn: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.configure_free_s, self.stream_free_s = np.zeros(self.count), np.zeros(self.count)
        self.buffer_free_s = np.zeros((self.count, self.buffers))
        self.bank, self.tile = (np.full((self.count, self.buffers), -1) for _ in range(2))
        self.turn = np.zeros(self.count, np.int64)

    @property
    def free_s(self) -> np.ndarray:
        """When each core has nothing left to do, float64 (cores,)."""
        return np.maximum(self.configure_free_s, self.stream_free_s)

    def run(self, bank: int, tiles: int, ready_s: float, stream_s: float, *, weights_s: float | None = None) -> Events:
        """Deal a bank's tiles: those that a core holds stay on it, the others go where they finish first.

        With one buffer a core is configured as late as the vectors allow; with more, as early as a buffer is free.

        Args:
            bank: its number. tiles: of the bank. ready_s: when the vectors are there. stream_s: of one stream.
            weights_s: when the weights are there, for tiles that hold new weights whatever a core holds.
        """
        holder, slot = np.full(tiles, -1), np.full(tiles, -1)
        if weights_s is None:
            own = np.argwhere((self.bank == bank) & (self.tile < tiles))[::-1]  # the lower core has the last word
            kept = self.tile[own[:, 0], own[:, 1]]
            holder[kept], slot[kept] = own[:, 0], own[:, 1]
        kept, todo = np.flatnonzero(holder >= 0), np.flatnonzero(holder < 0)
        start = np.empty(len(kept))
        stream_held(holder[kept], slot[kept], ready_s, stream_s, self.stream_free_s, self.buffer_free_s, start)
        held = columns(EventKind.STREAM, kept, holder[kept], start, start + stream_s)
        if not len(todo):
            return held

        core, begin, start = np.empty(len(todo), np.int64), np.empty(len(todo)), np.empty(len(todo))
        deal_tiles(
            self.reconfigure_s,
            float(stream_s),
            0.0 if weights_s is None else float(weights_s),
            float(ready_s),
            self.buffers == 1,
            self.configure_free_s,
            self.stream_free_s,
            self.buffer_free_s,
            self.turn,
            core,
            begin,
            start,
        )
        self._hold(np.full(len(todo), bank), todo, core)
        configure = columns(EventKind.CONFIGURE, todo, core, begin, begin + self.reconfigure_s)
        stream = columns(EventKind.STREAM, todo, core, start, start + stream_s)
        pairs = {name: np.stack([configure[name], stream[name]], 1).ravel() for name in configure}
        return {name: np.concatenate([held[name], pairs[name]]) for name in held}

    def places(self, bank: np.ndarray, tile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cores that a loop's tiles (K,) are dealt to in turn, the earliest free first, and what each holds.

        With a core for every tile, a core that holds one of them keeps it. Returns (order, held), see
        :func:`.recurrent_dealing.deal_loop`.
        """
        order = np.argsort(self.free_s, kind="stable")
        held = np.full(self.count, -1)
        if len(tile) > self.count:
            return order, held
        for place, (wanted, row) in enumerate(zip(bank.tolist(), tile.tolist(), strict=True)):
            holders = np.flatnonzero(((self.bank == wanted) & (self.tile == row)).any(1))
            if len(holders):
                here = int(np.flatnonzero(order == holders[0])[0])
                # an earlier tile keeps its holder: places before this one are settled
                if here >= place:
                    order[place], order[here] = order[here], order[place]
                    held[place] = place
        return order, held

    def looped(self, events: Events, free_s: np.ndarray, bank: np.ndarray, tile: np.ndarray) -> None:
        """A loop has been dealt, which had its cores for itself.

        Args:
            events: of the loop, its tiles numbered by rows of ``bank`` and ``tile`` (K,).
            free_s: (cores,) when each core is free now.
        """
        used = free_s > self.free_s
        self.configure_free_s[used] = self.stream_free_s[used] = free_s[used]
        self.buffer_free_s[used] = free_s[used, None]
        rows = np.flatnonzero(events["kind"] == EventKind.CONFIGURE)
        index, core = events["tile"][rows], events["core"][rows]
        np.add.at(self.turn, core, 1)
        self._hold(bank[index], tile[index], core)

    def _hold(self, bank: np.ndarray, tile: np.ndarray, core: np.ndarray) -> None:
        """Cores have been configured for tiles, in this order; ``turn`` counts them already."""
        if not len(core):
            return
        order = np.argsort(core, kind="stable")
        edge = np.flatnonzero(np.diff(core[order], append=-1))  # the last configuration of each core
        first = np.diff(edge, prepend=-1)
        for back in range(self.buffers):
            enough = first > back
            row, here = order[edge[enough] - back], core[order[edge[enough]]]
            slot = (self.turn[here] - 1 - back) % self.buffers
            self.bank[here, slot], self.tile[here, slot] = bank[row], tile[row]


def columns(kind: EventKind, tile: np.ndarray, core: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> Events:
    """Columns of events of one kind."""
    return {
        "kind": np.full(len(tile), kind),
        "tile": tile,
        "core": core,
        "start_s": start_s,
        "end_s": end_s,
    }
