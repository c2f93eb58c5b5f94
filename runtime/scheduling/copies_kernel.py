"""Sharing out the blocks of vectors of tiles that several cores may hold at once: compiled.

The state of the cores is that of :mod:`.dealing_kernel`.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def deal_copies(
    tiles,
    blocks,
    block_s,
    last_s,
    first_s,
    later_s,
    ready_s,
    late,
    keep,
    held_edge,
    held_core,
    held_slot,
    configure_free_s,
    stream_free_s,
    buffer_free_s,
    turn,
    held,
    number,
    tile,
    block,
    core,
    begin_s,
    end_s,
    start_s,
    stop_s,
):
    """Share out the blocks of vectors of all tiles so that the last core finishes as early as can be.

    Wrap-around (McNaughton, Management Science 6, 1 (1959)): with a common end given, cores that hold a tile take its
    blocks up to that end; what is left goes to the cores in the order in which they can start, each taking blocks in
    order, tile by tile, up to that end. So at most one tile a core is configured more often than without blocks. The
    end is found by halving.

    Args:
        tiles, blocks: how many of each; block_s: of a stream of one block, last_s: of the last one of a tile.
        first_s, later_s: of a configuration. ready_s: when the vectors are there.
        late: whether a core is configured no earlier than the vectors need. keep: whether cores whose buffers are all
            set are not configured, if the others can take all blocks.
        held_edge: int64 (tiles + 1,), where the holders of a tile begin in ``held_core``, ``held_slot`` int64.
        configure_free_s, stream_free_s, buffer_free_s, turn: of the cores; held: int64 (cores, buffers), the tile
            that each buffer holds; number: of the first tile.
        tile, block, core: int64 (tiles * blocks,); begin_s, end_s, start_s, stop_s: float64 (tiles * blocks,). Filled
            with the streams: of which tile and block, on which core, begin and end of the configuration that it
            needs first, NaN for none, start and end. Those of one core are in order.
    """
    state = (configure_free_s, stream_free_s, buffer_free_s, turn, held)
    out = (tile, block, core, begin_s, end_s, start_s, stop_s)
    empty = keep
    given = (held_edge, held_core, held_slot)
    times = (block_s, last_s, first_s, later_s, ready_s)
    low = ready_s
    high = max(ready_s, configure_free_s.max(), stream_free_s.max(), buffer_free_s.max())
    high += tiles * (max(first_s, later_s) + blocks * block_s)
    high *= 1 + 1e-9
    left = np.empty(tiles, np.int64)
    exact = 1e-10 * (high - low) / max(len(turn), 1)
    if keep:
        trial = (configure_free_s.copy(), stream_free_s.copy(), buffer_free_s.copy(), turn.copy(), held)
        empty = _share(high, tiles, blocks, times, late, True, given, trial, number, left, False, out)
    for _ in range(100):
        if high - low <= exact:
            break
        middle = 0.5 * (low + high)
        trial = (configure_free_s.copy(), stream_free_s.copy(), buffer_free_s.copy(), turn.copy(), held)
        if _share(middle, tiles, blocks, times, late, empty, given, trial, number, left, False, out):
            high = middle
        else:
            low = middle
    _share(high, tiles, blocks, times, late, empty, given, state, number, left, True, out)


@njit(cache=True)
def _share(limit_s, tiles, blocks, times, late, empty, given, state, number, left, keep, out):
    """One trial of :func:`deal_copies`: whether all blocks end by ``limit_s``. Fills ``out`` where ``keep``.

    empty: whether only empty buffers are configured.
    """
    block_s, last_s, first_s, later_s, ready_s = times
    held_edge, held_core, held_slot = given
    configure_free_s, stream_free_s, buffer_free_s, turn, held = state
    cores, buffers = buffer_free_s.shape
    row = 0
    whole = True
    for item in range(tiles):
        at = 0
        for holder in range(held_edge[item], held_edge[item + 1]):
            here = held_core[holder]
            start = max(stream_free_s[here], ready_s)
            count = _room(limit_s - start, blocks - at, block_s, last_s)
            if count > 0:
                end = _fill(out, row, keep, item, at, count, blocks, here, np.nan, np.nan, start, block_s, last_s)
                stream_free_s[here] = buffer_free_s[here, held_slot[holder]] = end
                row, at = row + count, at + count
        left[item] = at
        whole = whole and at == blocks
    if whole:
        return True

    earliest = np.empty(cores)
    for here in range(cores):
        needed = first_s if turn[here] < buffers else later_s
        begin = max(configure_free_s[here], buffer_free_s[here, turn[here] % buffers])
        earliest[here] = max(begin + needed, stream_free_s[here], ready_s)
    item = 0
    for here in np.argsort(earliest, kind="mergesort"):
        while True:
            while item < tiles and left[item] == blocks:
                item += 1
            if item == tiles:
                return True
            if empty and turn[here] >= buffers:
                break
            slot = turn[here] % buffers
            needed = first_s if turn[here] < buffers else later_s
            begin = max(configure_free_s[here], buffer_free_s[here, slot])
            if late:
                begin = max(begin, ready_s - needed)
            start = max(begin + needed, stream_free_s[here], ready_s)
            at = left[item]
            count = _room(limit_s - start, blocks - at, block_s, last_s)
            if count <= 0:
                break
            end = _fill(out, row, keep, item, at, count, blocks, here, begin, begin + needed, start, block_s, last_s)
            configure_free_s[here] = begin + needed
            stream_free_s[here] = buffer_free_s[here, slot] = end
            turn[here] += 1
            if keep:
                held[here, slot] = number + item
            row, left[item] = row + count, at + count
    while item < tiles and left[item] == blocks:
        item += 1
    return item == tiles


@njit(cache=True)
def _room(seconds, blocks, block_s, last_s):
    """How many of the last ``blocks`` blocks of a tile fit into some time."""
    if seconds <= 0:
        return 0
    if seconds >= (blocks - 1) * block_s + last_s:
        return blocks
    return min(int(seconds / block_s), blocks - 1)


@njit(cache=True)
def _fill(out, row, keep, item, at, count, blocks, here, begin, end, start, block_s, last_s):
    """Streams of ``count`` blocks of a tile from block ``at`` on; returns the end of the last."""
    if keep:
        tile, block, core, begin_s, end_s, start_s, stop_s = out
        for turn in range(count):
            place = row + turn
            tile[place], block[place], core[place] = item, at + turn, here
            begin_s[place] = begin if turn == 0 else np.nan
            end_s[place] = end if turn == 0 else np.nan
            start_s[place], stop_s[place] = start + turn * block_s, start + (turn + 1) * block_s
        if at + count == blocks:
            stop_s[row + count - 1] = start + (count - 1) * block_s + last_s
    return start + (count - 1) * block_s + last_s if at + count == blocks else start + count * block_s
