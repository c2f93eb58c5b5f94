"""The vectors of a matrix step, read where they are: any range of them, any columns, no patch matrix in between."""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import pad, patches
from ..program import Conv2dGeometry, Geometry


class Vectors:
    """What goes through a bank: vector *i* is the one that :mod:`..geometry` counts so.

    Args:
        x: (..., groups * cols) of a linear geometry, (N, C, H, W) of a convolution.
        geometry: how the input is read. cols: columns of one group.
    """

    def __init__(self, x: Tensor, geometry: Geometry, cols: int) -> None:
        self.cols = cols
        self.dtype = x.dtype
        self._area = 0  # of a kernel; 0: vectors are rows
        if isinstance(geometry, Conv2dGeometry):
            self._area = geometry.kernel[0] * geometry.kernel[1]
            self._view = patches(pad(x, geometry), geometry)
            self.bytes_each = geometry.groups * cols * x.element_size()
        else:
            self._view = x.reshape(x.shape[:-1].numel(), x.shape[-1])
            self.bytes_each = x.shape[-1] * x.element_size()

    def range(self, first: int, count: int, group: int, low: int, high: int) -> Tensor:
        """Columns ``low`` to ``high`` of a group, of ``count`` vectors from ``first`` on: (count, high - low)."""
        if not self._area:
            return self._view[first : first + count, group * self.cols + low : group * self.cols + high]
        top, end = low // self._area, -(-high // self._area)  # the channels that these columns lie in
        view = self._view[:, :, :, group, top:end]
        found = _between(view, first, first + count)
        return found[:, low - top * self._area : high - top * self._area]


def _between(view: Tensor, first: int, stop: int) -> Tensor:
    """Vectors ``first`` to ``stop`` of patches (N, OH, OW, channels, kh, kw), counted in this order: (V, columns)."""
    width = view.shape[2]
    each = view.shape[1] * width
    size = view.shape[3:].numel()
    parts = [view.new_empty((0, size))]
    while first < stop:
        sample, place = divmod(first, each)
        whole = (stop - first) // each
        if not place and whole:  # samples one after the other
            parts.append(view[sample : sample + whole].reshape(whole * each, size))
            first += whole * each
            continue
        until = min(each, place + stop - first)
        line = place // width
        lines = view[sample, line : -(-until // width)].reshape(-1, size)
        parts.append(lines[place - line * width : until - line * width])
        first += until - place
    return parts[1] if len(parts) == 2 else torch.cat(parts)
