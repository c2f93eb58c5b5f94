"""Blocks of work shared out over threads, each taking the next block when it is done with one.

Plain threads around a kernel that lets go of the interpreter lock: they may be nested and called from
several threads at once, and the kernel compiles in a third of the time that numba's own loops take.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch

_pools: dict[int, ThreadPoolExecutor] = {}
if hasattr(os, "register_at_fork"):
    # a child process inherits the table, and none of the threads
    os.register_at_fork(after_in_child=_pools.clear)


_reserved: list[int] = []


def kernel_threads() -> int:
    """How many threads kernels take: as many as torch, or what :func:`kernels_first` holds for them."""
    return _reserved[-1] if _reserved else torch.get_num_threads()


@contextmanager
def kernels_first() -> Iterator[None]:
    """Give torch's threads to the kernels, and one to torch's own operations, while it lasts.

    Behind every operation torch's threads stand ready for the next one, turning on their cores for milliseconds;
    kernels called in turns with small operations, as in training, would get half of those cores.
    """
    threads = kernel_threads()
    outside = torch.get_num_threads()
    _reserved.append(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _reserved.pop()
        torch.set_num_threads(outside)


def spread(blocks: int, run: Callable[..., None], *args: Any) -> None:
    """Call ``run(first, last, *args)`` over all of 0 .. blocks, on :func:`kernel_threads` threads.

    ``run`` works on blocks first .. last and releases the interpreter lock. Its exceptions come out here.
    """
    threads = min(kernel_threads(), blocks)
    if threads <= 1:
        run(0, blocks, *args)
        return
    # a few takes a thread: enough to even out, few enough that handing them over costs nothing
    piece = max(1, blocks // (8 * threads))
    starts = count(0, piece)

    def work() -> None:
        for first in starts:
            if first >= blocks:
                return
            run(first, min(first + piece, blocks), *args)

    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="lightloom")
    helpers = [_pools[threads].submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            # one that never began has nothing left to do; waiting for it could wait for this very thread
            if not helper.cancel():
                helper.result()
