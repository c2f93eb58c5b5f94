"""Picking elements: slices, gathers, selections, sorting."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from ..dtypes import WIDE_UNSIGNED
from ..known import Known, literal
from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor
Sizes = Tensor | Known


@operator("Slice", since=1)
def slice_attributes(node: NodeContext, x: Tensor) -> Tensor:
    return _sliced(node, x, node["starts"], node["ends"], node["axes"], None)


@operator("Slice", since=10, host=(1, 2, 3, 4))
def slice_(
    node: NodeContext, x: Tensor, starts: Sizes, ends: Sizes, axes: Sizes | None = None, steps: Sizes | None = None
) -> Tensor:
    lists = [None if item is None else node.numbers(item, 1) for item in (starts, ends, axes, steps)]
    return _sliced(node, x, lists[0] or [], lists[1] or [], lists[2], lists[3])


def _sliced(
    node: NodeContext, x: Tensor, starts: list[Any], ends: list[Any], axes: list[Any] | None, steps: list[Any] | None
) -> Tensor:
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise node.error("starts, ends, axes and steps differ in length", got=[len(starts), len(ends), len(axes)])
    for start, end, axis, step in zip(starts, ends, node.axes([int(a) for a in axes], x.ndim), steps, strict=True):
        size = x.shape[axis]
        if isinstance(step, int) and step == 0:
            raise node.input_error(4, "a step of 0 goes nowhere")
        if step > 0:
            x = x[(slice(None),) * axis + (slice(start, end, step),)]
            continue
        if isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
            stop = None if end < -size else end
            picked = range(size)[start:stop:step]
            x = x.flip(axis) if list(picked) == list(range(size))[::-1] else _picked(x, axis, list(picked))
            continue
        if not (start == -1 or start >= 2**31 - 1) or end > -(2**31) + 1:
            raise node.error("a backward slice of a symbolic dimension must take all of it", got=[start, end, step])
        x = x.flip(axis)[(slice(None),) * axis + (slice(None, None, -step),)]
    return x


def _picked(x: Tensor, axis: int, positions: list[int]) -> Tensor:
    return torch.index_select(x, axis, literal(positions, torch.int64, x.device))


@operator("Gather", host=(1,))
def gather(node: NodeContext, x: Tensor, indices: Sizes) -> Tensor:
    axis = node.axis(node["axis"], x.ndim)
    if isinstance(indices, Known):
        positions, size = indices.tolist(), x.shape[axis]
        if isinstance(size, int) and any(isinstance(p, int) and not -size <= p < size for p in positions):
            got = [p for p in positions if not -size <= p < size][:8]
            raise node.input_error(1, "an index lies outside the data", got=got, allowed=f"{-size} to {size - 1}")
        if indices.array.ndim == 0:
            return torch.select(x, axis, positions[0])
        if indices.is_concrete and isinstance(size, int):
            flat = _picked(x, axis, [p + size if p < 0 else p for p in positions])
            return flat.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
        indices = indices.tensor(x.device)
    if axis == 0 and x.ndim == 2 and x.dtype.is_floating_point and node.state.get("embedding"):
        return F.embedding(indices, x)
    return x[(slice(None),) * axis + (indices.to(torch.int64),)]


@operator("GatherElements")
def gather_elements(node: NodeContext, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.axis(node["axis"], x.ndim)
    return torch.gather(x, axis, positive(indices, x.shape[axis]))


def positive(indices: Tensor, size: Any) -> Tensor:
    """Indices counted from the front."""
    indices = indices.to(torch.int64)
    return torch.where(indices < 0, indices + size, indices)


@operator("GatherND")
def gather_nd(node: NodeContext, x: Tensor, indices: Tensor) -> Tensor:
    batch = node.get("batch_dims", 0)
    indices = indices.to(torch.int64)
    parts: list[Tensor] = []
    for axis in range(batch):
        grid = torch.arange(x.shape[axis], device=x.device)
        parts.append(grid.reshape([-1 if i == axis else 1 for i in range(indices.ndim - 1)]))
    parts.extend(indices.unbind(-1))
    return x[tuple(parts)]


@operator("Compress")
def compress(node: NodeContext, x: Tensor, condition: Tensor) -> Tensor:
    axis = node["axis"]
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = node.axis(axis, x.ndim)
    positions = torch.nonzero(condition).reshape(-1)
    return torch.index_select(x, axis, positions)


@operator("NonZero")
def non_zero(node: NodeContext, x: Tensor) -> Tensor:
    # A scalar counts as one element without a dimension: (0, 1) or (0, 0).
    return torch.nonzero(x).t()


@operator("OneHot", host=(1,))
def one_hot(node: NodeContext, indices: Tensor, depth: Sizes, values: Tensor) -> Tensor:
    count = int(node.number(depth, 1)) if isinstance(node.number(depth, 1), float) else node.number(depth, 1)
    axis = node.axis(node["axis"], indices.ndim + 1)
    node.check_size([*indices.shape, count])
    positions = torch.arange(count, device=indices.device)
    wrapped = indices.to(torch.int64)
    wrapped = torch.where(wrapped < 0, wrapped + count, wrapped).unsqueeze(axis)
    hot = wrapped == positions.reshape([-1 if i == axis else 1 for i in range(indices.ndim + 1)])
    off, on = values.unbind(0)
    return torch.where(hot, on, off)


@operator("TopK", since=1)
def top_k_attribute(node: NodeContext, x: Tensor) -> tuple[Tensor, Tensor]:
    return _top_k(node, x, node["k"])


@operator("TopK", since=10, host=(1,))
def top_k(node: NodeContext, x: Tensor, k: Sizes) -> tuple[Tensor, Tensor]:
    return _top_k(node, x, node.number(k, 1))


def _top_k(node: NodeContext, x: Tensor, k: Any) -> tuple[Tensor, Tensor]:
    axis = node.axis(node["axis"], x.ndim)
    if isinstance(k, int) and isinstance(x.shape[axis], int) and not 0 <= k <= x.shape[axis]:
        raise node.input_error(1, "more elements are wanted than there are", got=k, allowed=f"0 to {x.shape[axis]}")
    dtype = x.dtype
    wide = x.to(torch.int64) if dtype in WIDE_UNSIGNED else x
    # Stable: of equal elements the one with the lower index comes first, as ONNX wants.
    values, indices = torch.sort(wide, dim=axis, descending=bool(node.get("largest", 1)), stable=True)
    return values.narrow(axis, 0, k).to(dtype), indices.narrow(axis, 0, k)


@operator("Unique")
def unique(node: NodeContext, x: Tensor) -> tuple[Tensor, ...]:
    axis = node["axis"]
    if axis is None:
        values, inverse, counts = torch.unique(x.reshape(-1), return_inverse=True, return_counts=True)
        length, axis = x.numel(), 0
    else:
        axis = node.axis(axis, x.ndim)
        values, inverse, counts = torch.unique(x, dim=axis, return_inverse=True, return_counts=True)
        length = x.shape[axis]
    inverse = inverse.reshape(-1)
    order = torch.arange(length, device=x.device)
    first = torch.full((values.shape[axis],), length, dtype=torch.int64, device=x.device)
    first = first.scatter_reduce(0, inverse, order, "amin")
    if not node["sorted"]:
        ranking = torch.argsort(first)
        place = torch.argsort(ranking)
        values, first = torch.index_select(values, axis, ranking), first[ranking]
        counts, inverse = counts[ranking], place[inverse]
    return values, first, inverse, counts


@operator("ReverseSequence")
def reverse_sequence(node: NodeContext, x: Tensor, lengths: Tensor) -> Tensor:
    batch, time = node["batch_axis"], node["time_axis"]
    if {batch, time} != {0, 1}:
        raise node.error("time and batch must be the first two dimensions", got=[time, batch], allowed="0 and 1")
    steps = torch.arange(x.shape[time], device=x.device)
    lengths = lengths.to(torch.int64).unsqueeze(1)
    source = torch.where(steps < lengths, lengths - 1 - steps, steps)  # (batch, time)
    if time == 0:
        source = source.t()
    index = source.reshape(*source.shape, *([1] * (x.ndim - 2))).expand(x.shape)
    return torch.gather(x, time, index)
