"""Which core takes the next tile: compiled, one tile after another, in memory that does not grow.

The state of the cores, which every function brings up to date: ``configure_free_s``, ``stream_free_s`` float64
(cores,) when its drivers, and its light, are free; ``buffer_free_s`` float64 (cores, buffers) when no stream needs
what a buffer holds; ``turn`` int64 (cores,) its configurations so far. A core's next configuration goes into the buffer
after the last one's, once the stream through what that buffer held is over and the core's drivers are done with the
configuration before. It takes ``first_s`` where the buffer is empty, which is for the first ``buffers`` of a core, and
``later_s`` else.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def stream_held(core, slot, ready_s, stream_s, stream_free_s, buffer_free_s, start_s):
    """Stream the tiles that cores hold, in the order of the arguments.

    Args:
        core, slot: int64 (T,), where each tile is held. ready_s: when the vectors are there. stream_s: of one stream.
        stream_free_s, buffer_free_s: of the cores.
        start_s: float64 (T,), filled with the start of each stream.
    """
    for item in range(len(core)):
        here = core[item]
        start = max(stream_free_s[here], ready_s)
        start_s[item] = start
        stream_free_s[here] = start + stream_s
        buffer_free_s[here, slot[item]] = start + stream_s


@njit(cache=True)
def deal_tiles(
    first_s,
    later_s,
    stream_s,
    weights_s,
    ready_s,
    late,
    keep,
    configure_free_s,
    stream_free_s,
    buffer_free_s,
    turn,
    core,
    begin_s,
    end_s,
    start_s,
):
    """Give every tile to the core that can finish it first.

    Of cores that finish together the one that can begin to configure first is taken, then the lower one.

    Args:
        first_s, later_s: of a configuration. stream_s: of a stream.
        weights_s: when the tiles' settings are known; ready_s: when the vectors are there.
        late: whether a core is configured no earlier than the vectors need. keep: whether cores whose buffers are all
            set take none while there are others.
        configure_free_s, stream_free_s, buffer_free_s, turn: of the cores.
        core: int64 (T,); begin_s, end_s, start_s: float64 (T,). Filled with each tile's core, the begin and end of its
            configuration, and the start of its stream.
    """
    cores, buffers = buffer_free_s.shape
    for tile in range(len(core)):
        best = -1
        best_begin = best_end = best_start = np.inf
        empty = keep and turn.min() < buffers
        for here in range(cores):
            if empty and turn[here] >= buffers:
                continue
            seconds = first_s if turn[here] < buffers else later_s
            begin = max(configure_free_s[here], buffer_free_s[here, turn[here] % buffers], weights_s)
            if late:
                begin = max(begin, ready_s - seconds)
            # rounding may put the end of the configuration a hair before the inputs are there
            start = max(begin + seconds, stream_free_s[here], ready_s)
            if start < best_start or (start == best_start and begin < best_begin):
                best, best_begin, best_end, best_start = here, begin, begin + seconds, start
        core[tile], begin_s[tile], end_s[tile], start_s[tile] = best, best_begin, best_end, best_start
        configure_free_s[best] = best_end
        stream_free_s[best] = best_start + stream_s
        buffer_free_s[best, turn[best] % buffers] = best_start + stream_s
        turn[best] += 1


@njit(cache=True)
def deal_chains(
    edge,
    tile,
    stream_s,
    first_s,
    later_s,
    ready_s,
    late,
    keep,
    configure_free_s,
    stream_free_s,
    buffer_free_s,
    turn,
    held,
    core,
    begin_s,
    end_s,
    start_s,
):
    """Give every chain of tiles to the core that can finish it first; it takes the tiles one after the other.

    A tile that the core holds when its turn comes is not configured. Of cores that finish together the one with fewer
    configurations is taken, then the one that can begin first, then the lower one.

    Args:
        edge: int64 (chains + 1,), where each begins in ``tile`` int64 (items,), tiles by number. stream_s: float64
            (chains,), of each of its streams. first_s, later_s, ready_s, late, keep: as above.
        configure_free_s, stream_free_s, buffer_free_s, turn: of the cores; held: int64 (cores, buffers), the tile
            that each buffer holds, -1 for none.
        core: int64 (items,); begin_s, end_s: float64 (items,), NaN where nothing is configured; start_s: float64
            (items,). Filled.
    """
    cores, buffers = buffer_free_s.shape
    free = np.empty(buffers)
    holds = np.empty(buffers, np.int64)
    for chain in range(len(edge) - 1):
        low, high, seconds = edge[chain], edge[chain + 1], stream_s[chain]
        best, best_count = -1, 0
        best_end = best_first = np.inf
        best_full = True
        for turn_of in range(cores + 1):  # every core on trial, then the best in earnest
            here = turn_of if turn_of < cores else best
            configured, lit, count = configure_free_s[here], stream_free_s[here], turn[here]
            for slot in range(buffers):
                free[slot], holds[slot] = buffer_free_s[here, slot], held[here, slot]
            for item in range(low, high):
                place = -1
                for slot in range(buffers):
                    if holds[slot] == tile[item]:
                        place = slot
                if place >= 0:
                    begin_s[item] = end_s[item] = np.nan
                    start = max(lit, ready_s)
                else:
                    place = count % buffers
                    needed = first_s if count < buffers else later_s
                    begin = max(configured, free[place])
                    if late:
                        begin = max(begin, ready_s - needed)
                    configured = begin + needed
                    begin_s[item], end_s[item] = begin, configured
                    start = max(configured, lit, ready_s)
                    holds[place] = tile[item]
                    count += 1
                start_s[item] = start
                lit = start + seconds
                free[place] = lit
            if turn_of < cores:
                made = count - turn[here]
                first = start_s[low] if np.isnan(begin_s[low]) else begin_s[low]
                full = keep and made > 0 and count > buffers
                better = lit < best_end
                if lit == best_end:
                    better = made < best_count or (made == best_count and first < best_first)
                if better if full == best_full else best_full:
                    best, best_end, best_count, best_first, best_full = here, lit, made, first, full
            else:
                core[low:high] = here
                configure_free_s[here], stream_free_s[here], turn[here] = configured, lit, count
                for slot in range(buffers):
                    buffer_free_s[here, slot], held[here, slot] = free[slot], holds[slot]


@njit(cache=True)
def stream_lists(
    edge,
    core,
    tile,
    stream_s,
    first_s,
    later_s,
    ready_s,
    late,
    configure_free_s,
    stream_free_s,
    buffer_free_s,
    turn,
    held,
    order,
    begin_s,
    end_s,
    start_s,
):
    """Stream lists of tiles, each on a given core: first those that it holds, in the order in which their buffers are
    set anew, then the others as they come.

    Args:
        edge: int64 (lists + 1,), where each begins in ``tile`` int64 (items,), tiles by number. core: int64 (lists,),
            no two alike. stream_s: of each stream. first_s, later_s, ready_s, late: as above.
        configure_free_s, stream_free_s, buffer_free_s, turn: of the cores; held: int64 (cores, buffers), the tile
            that each buffer holds.
        order: int64 (items,), filled with places in ``tile``, in the order in which they stream; begin_s, end_s,
            start_s: float64 (items,), in that order, NaN where nothing is configured.
    """
    buffers = buffer_free_s.shape[1]
    for turn_of in range(len(core)):
        here, at = core[turn_of], edge[turn_of]
        for ahead in range(buffers):
            slot = (turn[here] + ahead) % buffers
            for place in range(edge[turn_of], edge[turn_of + 1]):
                if held[here, slot] == tile[place]:
                    order[at], begin_s[at], end_s[at] = place, np.nan, np.nan
                    start_s[at] = max(stream_free_s[here], ready_s)
                    stream_free_s[here] = buffer_free_s[here, slot] = start_s[at] + stream_s
                    at += 1
                    break
        before = at
        for place in range(edge[turn_of], edge[turn_of + 1]):
            there = False
            for known in range(edge[turn_of], before):
                there = there or order[known] == place
            if there:
                continue
            slot = turn[here] % buffers
            needed = first_s if turn[here] < buffers else later_s
            begin = max(configure_free_s[here], buffer_free_s[here, slot])
            if late:
                begin = max(begin, ready_s - needed)
            order[at], begin_s[at], end_s[at] = place, begin, begin + needed
            # rounding may put the end of the configuration a hair before the inputs are there
            start_s[at] = max(begin + needed, stream_free_s[here], ready_s)
            configure_free_s[here] = begin + needed
            stream_free_s[here] = buffer_free_s[here, slot] = start_s[at] + stream_s
            held[here, slot] = tile[place]
            turn[here] += 1
            at += 1
