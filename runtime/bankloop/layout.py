"""Where vectors lie in memory: rows of a matrix, planes of a batch, patches of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..program import Conv2dGeometry


@dataclass(frozen=True, eq=False)
class Layout:
    """Where vectors lie in flat memory: vector v is at sample s, line y, place x, v = (s * lines + y) * places + x.

    Element i of it is at ``s * sample + y * line + x * place + elements[i]``; all in elements.
    """

    lines: int
    places: int
    sample: int
    line: int
    place: int
    elements: np.ndarray

    def numbers(self) -> np.ndarray:
        """The five numbers, int64."""
        return np.array([self.lines, self.places, self.sample, self.line, self.place], np.int64)


def rows_layout(vectors: int, width: int) -> Layout:
    """(V, width), a vector a row."""
    return Layout(1, max(vectors, 1), 0, 0, width, np.arange(width))


def planes_layout(width: int, each: int) -> Layout:
    """(N, width, L), L vectors of each of N samples."""
    return Layout(1, each, width * each, 0, 1, np.arange(width) * each)


def patches_layout(channels: int, height: int, width: int, geometry: Conv2dGeometry) -> Layout:
    """Patches of a padded image (N, C, H, W): vectors in order (n, y, x), elements in order (c, ky, kx)."""
    lines = max((height - geometry.dilation[0] * (geometry.kernel[0] - 1) - 1) // geometry.stride[0] + 1, 0)
    places = max((width - geometry.dilation[1] * (geometry.kernel[1] - 1) - 1) // geometry.stride[1] + 1, 0)
    c, ky, kx = np.meshgrid(
        np.arange(channels) * height * width,
        np.arange(geometry.kernel[0]) * geometry.dilation[0] * width,
        np.arange(geometry.kernel[1]) * geometry.dilation[1],
        indexing="ij",
    )
    line = geometry.stride[0] * width
    sample = channels * height * width
    return Layout(lines, places, sample, line, geometry.stride[1], (c + ky + kx).reshape(-1))
