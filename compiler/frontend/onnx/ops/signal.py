"""Fourier transforms, windows, mel scale.

A transform of up to 1024 points is a product with a constant matrix, which the chip may hold; longer ones are fast
Fourier transforms.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from ..dtypes import torch_type
from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor
MATRIX_POINTS = 1024
"""Longest transform computed as a matrix product."""


def _size(node: NodeContext, value: Any, position: int) -> int:
    size = node.number(value, position)
    if not isinstance(size, int) or size < 1:
        raise node.input_error(position, "a length is not positive", got=size)
    node.check_size([size])
    return size


def _fitted(x: Tensor, size: int) -> Tensor:
    """The last axis cut or padded with zeros to ``size``."""
    return x[..., :size] if x.shape[-1] >= size else F.pad(x, (0, size - x.shape[-1]))


def transform(
    node: NodeContext, real: Tensor, imaginary: Tensor | None, points: int, inverse: bool, onesided: bool
) -> Tensor:
    """The discrete Fourier transform along the last axis: (..., frequencies, 2), or (..., points, 1) where the result
    of an inverse is real."""
    to_real = inverse and onesided
    given = points // 2 + 1 if to_real else points
    made = points // 2 + 1 if onesided and not inverse else points
    real = _fitted(real, given)
    imaginary = None if imaginary is None else _fitted(imaginary, given)
    if points > MATRIX_POINTS:
        return _fast(real, imaginary, points, inverse, onesided)
    # The angle's numerator is reduced modulo the points, so that large products lose no digits.
    index = torch.outer(torch.arange(given, device=real.device), torch.arange(made, device=real.device)) % points
    angle = index.to(torch.float64) * (2 * math.pi / points)
    cos, sin = torch.cos(angle), torch.sin(angle)
    if inverse:
        sin = -sin
        if to_real:
            twice = torch.full((given, 1), 2.0, dtype=torch.float64, device=real.device)
            twice[0] = 1.0
            if points % 2 == 0:
                twice[-1] = 1.0
            cos, sin = cos * twice, sin * twice
        cos, sin = cos / points, sin / points
    cos, sin = cos.to(real.dtype), sin.to(real.dtype)
    y_real = torch.matmul(real, cos)
    if imaginary is not None:
        y_real = y_real + torch.matmul(imaginary, sin)
    if to_real:
        return y_real.unsqueeze(-1)
    y_imaginary = -torch.matmul(real, sin)
    if imaginary is not None:
        y_imaginary = y_imaginary + torch.matmul(imaginary, cos)
    return torch.stack([y_real, y_imaginary], -1)


def _fast(real: Tensor, imaginary: Tensor | None, points: int, inverse: bool, onesided: bool) -> Tensor:
    wide = real.to(torch.float32) if real.dtype in (torch.float16, torch.bfloat16) else real
    signal = torch.complex(wide, torch.zeros_like(wide) if imaginary is None else imaginary.to(wide.dtype))
    if inverse and onesided:
        return torch.fft.irfft(signal, points).to(real.dtype).unsqueeze(-1)
    result = torch.fft.ifft(signal, points) if inverse else torch.fft.fft(signal, points)
    if onesided:
        result = result[..., : points // 2 + 1]
    return torch.view_as_real(result).to(real.dtype)


def _dft(node: NodeContext, x: Tensor, length: Any, axis: int) -> Tensor:
    if x.ndim < 2 or x.shape[-1] not in (1, 2):
        raise node.input_error(
            0, "a signal ends in an axis of real and imaginary parts", got=list(x.shape), allowed="[..., 1] or [..., 2]"
        )
    axis = node.axis(axis, x.ndim)
    if axis == x.ndim - 1:
        raise node.error("the last axis holds real and imaginary parts", got=f"axis {axis}")
    inverse, onesided = bool(node["inverse"]), bool(node["onesided"])
    parts = x.movedim(axis, -2)
    size = parts.shape[-2]
    if length is not None:
        points = _size(node, length, 1)
    else:
        points = 2 * (size - 1) if inverse and onesided else size
        if points < 1:
            raise node.input_error(0, "the signal is too short", got=list(x.shape))
    imaginary = parts[..., 1] if x.shape[-1] == 2 else None
    return transform(node, parts[..., 0], imaginary, points, inverse, onesided).movedim(-2, axis)


@operator("DFT", since=17, host=(1,))
def dft_17(node: NodeContext, x: Tensor, length: Any = None) -> Tensor:
    return _dft(node, x, length, node["axis"])


@operator("DFT", since=20, host=(1, 2))
def dft(node: NodeContext, x: Tensor, length: Any = None, axis: Any = None) -> Tensor:
    return _dft(node, x, length, -2 if axis is None else int(node.number(axis, 2)))


@operator("STFT", since=17, host=(1, 3))
def stft(node: NodeContext, x: Tensor, step: Any, window: Tensor | None = None, length: Any = None) -> Tensor:
    if x.ndim == 2:
        x = x.unsqueeze(-1)
    if x.ndim != 3 or x.shape[-1] not in (1, 2):
        raise node.input_error(0, "a signal has the shape [batch, length, 1 or 2]", got=list(x.shape))
    hop = _size(node, step, 1)
    default = x.shape[1] if window is None else window.shape[0]
    points = default if length is None else _size(node, length, 3)
    if points > x.shape[1]:
        raise node.input_error(0, "the signal is shorter than a frame", got=list(x.shape), allowed=f"{points} or more")
    if window is not None and tuple(window.shape) != (points,):
        raise node.input_error(2, "the window is not as long as a frame", got=list(window.shape), allowed=f"[{points}]")
    frames = x.unfold(1, points, hop)
    if window is not None:
        frames = frames * window
    imaginary = frames[:, :, 1] if x.shape[-1] == 2 else None
    onesided = bool(node["onesided"]) and imaginary is None
    return transform(node, frames[:, :, 0], imaginary, points, False, onesided)


_WINDOWS = {
    "HannWindow": (0.5, 0.5, 0.0),
    "HammingWindow": (25 / 46, 21 / 46, 0.0),
    "BlackmanWindow": (0.42, 0.5, 0.08),
}
"""Coefficients of cos(0), -cos(2 pi n / N), cos(4 pi n / N)."""


@operator(*_WINDOWS, since=17, host=(0,))
def window(node: NodeContext, size: Any) -> Tensor:
    count = _size(node, size, 0)
    period = count if node["periodic"] else count - 1
    if period == 0:
        return torch.ones(count, dtype=torch_type(node["output_datatype"], node.where))
    angle = torch.arange(count, dtype=torch.float64) * (2 * math.pi / period)
    first, second, third = _WINDOWS[node.op]
    values = first - second * torch.cos(angle) + third * torch.cos(2 * angle)
    return values.to(torch_type(node["output_datatype"], node.where))


@operator("MelWeightMatrix", since=17, host=(-1,))
def mel_weight_matrix(node: NodeContext, bins: Any, length: Any, rate: Any, low: Any, high: Any) -> Any:
    count, points = _size(node, bins, 0), _size(node, length, 1)
    sample_rate, lowest, highest = (float(node.number(v, at)) for at, v in ((2, rate), (3, low), (4, high)))
    if sample_rate <= 0 or not -700 < lowest <= highest < math.inf:
        raise node.input_error(3, "the edges of the mel scale are impossible", got=f"{lowest} to {highest} Hz")
    rows = points // 2 + 1
    node.check_size([rows, count])
    first, last = (2595 * math.log10(1 + edge / 700) for edge in (lowest, highest))
    step = (last - first) / (count + 2)
    edges = []
    for at in range(count + 2):
        hertz = 700 * (10 ** ((first + at * step) / 2595) - 1)
        edges.append(int((points + 1) * hertz // sample_rate))
    if edges[-1] > rows:
        raise node.input_error(4, "the highest edge lies above half the sample rate", got=highest)
    matrix = torch.zeros(rows + 1, count, dtype=torch.float64)
    for column, (left, centre, right) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        if centre == left:
            matrix[centre, column] = 1.0
        else:
            matrix[left : centre + 1, column] = torch.arange(centre - left + 1, dtype=torch.float64) / (centre - left)
        if right > centre:
            falling = torch.arange(right - centre, 0, -1, dtype=torch.float64) / (right - centre)
            matrix[centre:right, column] = falling
    return matrix[:rows].to(torch_type(node["output_datatype"], node.where))
