"""Pooling with windows, and over whole images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from ..known import Known, product
from ..node import NodeContext
from ..registry import operator
from .windows import output_sizes, spatial_pads, windows

Tensor = torch.Tensor
_MAX: dict[int, Any] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: dict[int, Any] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@dataclass(frozen=True)
class Geometry:
    """Windows of one pooling node.

    Attributes:
        before, after: Pads of the node.
        counts: Windows along each dimension.
        extra: What the last window reaches beyond the padded data (ceil_mode).
    """

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    before: list[Any]
    after: list[Any]
    counts: list[Any]
    extra: list[Any]

    @property
    def native(self) -> bool:
        """Whether torch's own pooling has such pads: alike on both sides, at most half a window."""
        return all(
            isinstance(b, int) and isinstance(a, int) and b == a and 0 <= b <= k // 2
            for b, a, k in zip(self.before, self.after, self.kernel, strict=True)
        )

    def pads(self, extra: bool) -> list[Any]:
        """Pads as F.pad takes them, last dimension first."""
        ends = [a + e if extra else a for a, e in zip(self.after, self.extra, strict=True)]
        return [item for pair in zip(self.before[::-1], ends[::-1], strict=True) for item in pair]


def _geometry(node: NodeContext, x: Tensor) -> Geometry:
    kernel = node["kernel_shape"]
    rank = len(kernel)
    strides, dilations = node["strides"] or [1] * rank, node["dilations"] or [1] * rank
    before, after = spatial_pads(node, x, kernel, strides, dilations)
    sizes = list(x.shape[2:])
    counts = output_sizes(node, sizes, kernel, strides, dilations, (before, after))
    extra = [
        torch.sym_max(0, (c - 1) * s + (k - 1) * d + 1 - (n + b + a))
        for c, s, k, d, n, b, a in zip(counts, strides, kernel, dilations, sizes, before, after, strict=True)
    ]
    whole = [n + b + a + e for n, b, a, e in zip(sizes, before, after, extra, strict=True)]
    node.check_size([x.shape[0], x.shape[1], *whole])
    return Geometry(list(kernel), list(strides), list(dilations), before, after, counts, extra)


def _lowest(dtype: torch.dtype) -> float:
    return float("-inf") if dtype.is_floating_point else torch.iinfo(dtype).min


@operator("MaxPool")
def max_pool(node: NodeContext, x: Tensor) -> tuple[Tensor, ...]:
    shape = _geometry(node, x)
    rank = len(shape.kernel)
    positions = node.wants(1)
    if rank not in _MAX:
        if positions:
            raise node.error("indices of pooling over more than three dimensions", allowed="one to three dimensions")
        padded = F.pad(x, shape.pads(True), value=_lowest(x.dtype))
        parts = windows(padded, shape.kernel, shape.strides, shape.dilations, shape.counts)
        return (parts.amax(list(range(x.ndim, parts.ndim))),)
    pool, ceil = _MAX[rank], bool(node.get("ceil_mode", 0))
    if shape.native:
        pads: list[Any] = [0] * rank
        within = list(x.shape[2:])
        result = pool(
            x, shape.kernel, shape.strides, shape.before, shape.dilations, ceil_mode=ceil, return_indices=positions
        )
    else:
        pads = shape.before
        padded = F.pad(x, shape.pads(True), value=_lowest(x.dtype))
        result = pool(padded, shape.kernel, shape.strides, 0, shape.dilations, return_indices=positions)
        within = list(padded.shape[2:])
    if not positions:
        return (result,)
    values, flat = result
    sizes = list(x.shape[2:])
    coordinates = []
    for axis in range(rank - 1, -1, -1):
        coordinates.insert(0, flat % within[axis] - pads[axis])
        flat = flat // within[axis]
    index = torch.zeros_like(flat)
    order = range(rank) if not node.get("storage_order", 0) else range(rank - 1, -1, -1)
    for axis in order:
        index = index * sizes[axis] + coordinates[axis]
    plane = product(sizes)
    planes = torch.arange(x.shape[0] * x.shape[1], device=x.device).reshape(x.shape[0], x.shape[1], *([1] * rank))
    return values, index + planes * plane


@operator("AveragePool")
def average_pool(node: NodeContext, x: Tensor) -> Tensor:
    shape = _geometry(node, x)
    rank = len(shape.kernel)
    include = bool(node.get("count_include_pad", 0))
    plain = rank in _AVERAGE and all(d == 1 for d in shape.dilations)
    if plain and shape.native:
        ceil = bool(node.get("ceil_mode", 0))
        return _AVERAGE[rank](x, shape.kernel, shape.strides, shape.before, ceil, include)
    total = _window_means(F.pad(x, shape.pads(True)), shape, plain)
    if include and all(isinstance(e, int) and e == 0 for e in shape.extra):
        return total
    # The share of each window that counts.
    ones = torch.ones([1, 1, *x.shape[2:]], dtype=x.dtype, device=x.device)
    if include:
        ones = F.pad(ones, shape.pads(False), value=1.0)
        beyond = [item for e in shape.extra[::-1] for item in (0, e)]
        ones = F.pad(ones, beyond)
    else:
        ones = F.pad(ones, shape.pads(True))
    return total / _window_means(ones, shape, plain)


def _window_means(x: Tensor, shape: Geometry, plain: bool) -> Tensor:
    if plain:
        return _AVERAGE[len(shape.kernel)](x, shape.kernel, shape.strides)
    parts = windows(x, shape.kernel, shape.strides, shape.dilations, shape.counts)
    return parts.mean(list(range(x.ndim, parts.ndim)))


@operator("LpPool")
def lp_pool(node: NodeContext, x: Tensor) -> Tensor:
    shape = _geometry(node, x)
    p = node.get("p", 2)
    plain = len(shape.kernel) in _AVERAGE and all(d == 1 for d in shape.dilations)
    powers = F.pad(torch.abs(x) ** p, shape.pads(True))
    return (_window_means(powers, shape, plain) * product(shape.kernel)) ** (1 / p)


@operator("GlobalAveragePool")
def global_average_pool(node: NodeContext, x: Tensor) -> Tensor:
    return torch.mean(x, list(range(2, x.ndim)), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(node: NodeContext, x: Tensor) -> Tensor:
    return torch.amax(x, list(range(2, x.ndim)), keepdim=True)


@operator("GlobalLpPool")
def global_lp_pool(node: NodeContext, x: Tensor) -> Tensor:
    p = node.get("p", 2)
    return torch.sum(torch.abs(x) ** p, list(range(2, x.ndim)), keepdim=True) ** (1 / p)


@operator("MaxUnpool", host=(2,))
def max_unpool(node: NodeContext, x: Tensor, indices: Tensor, output_shape: Tensor | Known | None = None) -> Tensor:
    rank = x.ndim - 2
    kernel = node["kernel_shape"]
    strides, pads = node["strides"] or [1] * rank, node["pads"] or [0] * (2 * rank)
    inferred = list(x.shape[:2])
    for axis in range(rank):
        size = (x.shape[2 + axis] - 1) * strides[axis] - pads[axis] - pads[rank + axis] + kernel[axis]
        inferred.append(size)
    target = inferred if output_shape is None else node.numbers(output_shape, 2)
    node.check_size(inferred)
    node.check_size(target)
    flat = torch.zeros(product(inferred), dtype=x.dtype, device=x.device)
    result = flat.scatter(0, indices.reshape(-1), x.reshape(-1)).reshape(inferred)
    missing = [item for axis in range(x.ndim - 1, -1, -1) for item in (0, target[axis] - inferred[axis])]
    return F.pad(result, missing) if target != inferred else result
