"""Which core takes the next tile: compiled, one tile after another, in memory that does not grow."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def stream_held(core, slot, ready_s, stream_s, stream_free_s, buffer_free_s, start_s):
    """Stream the tiles that cores hold, in the order of the arguments.

    Args:
        core, slot: int64 (T,), where each tile is held. ready_s: when the vectors are there. stream_s: of one stream.
        stream_free_s: float64 (cores,); buffer_free_s: float64 (cores, buffers). Brought up to date.
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
    reconfigure_s,
    stream_s,
    weights_s,
    ready_s,
    late,
    configure_free_s,
    stream_free_s,
    buffer_free_s,
    turn,
    core,
    begin_s,
    start_s,
):
    """Give every tile to the core that can finish it first.

    A core's next configuration goes into the buffer after the last one's, once the stream through what that buffer
    held is over and the core's drivers are done with the configuration before. Of cores that finish together the one
    that can begin to configure first is taken, then the lower one.

    Args:
        weights_s: when the tiles' settings are known; ready_s: when the vectors are there.
        late: whether a core is configured no earlier than the vectors need.
        configure_free_s, stream_free_s: float64 (cores,); buffer_free_s: float64 (cores, buffers): when each is free.
        turn: int64 (cores,), configurations of each core so far. All brought up to date.
        core: int64 (T,); begin_s, start_s: float64 (T,). Filled with each tile's core and the starts of its
            configuration and its stream.
    """
    cores, buffers = buffer_free_s.shape
    for tile in range(len(core)):
        best = -1
        best_begin = best_start = np.inf
        for here in range(cores):
            begin = max(configure_free_s[here], buffer_free_s[here, turn[here] % buffers], weights_s)
            if late:
                begin = max(begin, ready_s - reconfigure_s)
            # rounding may put the end of the configuration a hair before the inputs are there
            start = max(begin + reconfigure_s, stream_free_s[here], ready_s)
            if start < best_start or (start == best_start and begin < best_begin):
                best, best_begin, best_start = here, begin, start
        core[tile], begin_s[tile], start_s[tile] = best, best_begin, best_start
        configure_free_s[best] = best_begin + reconfigure_s
        stream_free_s[best] = best_start + stream_s
        buffer_free_s[best, turn[best] % buffers] = best_start + stream_s
        turn[best] += 1
