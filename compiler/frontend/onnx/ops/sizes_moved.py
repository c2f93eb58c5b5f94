"""Shape arithmetic on Python numbers: operators that pick, join and arrange elements; see :mod:`.sizes`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ..known import LIMIT, Known
from ..node import NodeContext
from ..registry import known


@known("Gather")
def gather(node: NodeContext, data: Known, indices: Known) -> Any:
    if not indices.is_concrete:
        return NotImplemented
    axis = node.axis(node["axis"], data.array.ndim)
    size = data.array.shape[axis]
    positions = [int(item) for item in indices.tolist()]
    if any(not -size <= item < size for item in positions):
        raise node.input_error(1, "an index lies outside the data", got=positions, allowed=f"{-size} to {size - 1}")
    picked = np.take(data.array, np.array(positions, dtype=np.int64).reshape(indices.shape), axis=axis)
    return Known(np.asarray(picked, dtype=object), data.dtype)


@known("Concat")
def concat(node: NodeContext, *values: Known) -> Any:
    if any(value is None for value in values) or len({value.dtype for value in values}) > 1:
        return NotImplemented
    total = sum(value.array.size for value in values)
    if total > LIMIT:
        return NotImplemented
    return Known(np.concatenate([value.array for value in values], axis=node.get("axis", 1)), values[0].dtype)


@known("Slice")
def slice_(node: NodeContext, data: Known, *rest: Known | None) -> Any:
    starts: Any = node["starts"]
    ends: Any = node["ends"]
    axes: Any = node["axes"]
    steps: Any = None
    if node.since >= 10:
        if any(item is not None and not item.is_concrete for item in rest):
            return NotImplemented
        starts, ends, axes, steps = (None if item is None else item.tolist() for item in (*rest, None, None)[:4])
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if 0 in steps:
        return NotImplemented
    index: list[slice] = [slice(None)] * data.array.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = node.axis(int(axis), data.array.ndim)
        size = data.array.shape[axis]
        # A backward slice to before the first element has no Python spelling but None.
        stop = None if step < 0 and end < -size else int(end)
        index[axis] = slice(int(start), stop, int(step))
    return Known(data.array[tuple(index)], data.dtype)


@known("Unsqueeze")
def unsqueeze(node: NodeContext, data: Known, axes: Known | None = None) -> Any:
    if data is None:
        return NotImplemented
    given = node["axes"] if axes is None else axes.tolist()
    rank = data.array.ndim + len(given)
    result = data.array
    for axis in sorted(node.axes([int(item) for item in given], rank)):
        result = np.expand_dims(result, axis)
    return Known(result, data.dtype)


@known("Squeeze")
def squeeze(node: NodeContext, data: Known, axes: Known | None = None) -> Any:
    given = node["axes"] if axes is None else axes.tolist()
    where = None if given is None else tuple(node.axes([int(item) for item in given], data.array.ndim))
    return Known(np.squeeze(data.array, axis=where), data.dtype)


@known("Reshape")
def reshape(node: NodeContext, data: Known, shape: Known | None = None) -> Any:
    target = node["shape"] if shape is None else shape.tolist()
    if any(not isinstance(item, int) for item in target) or node.get("allowzero", 0):
        return NotImplemented
    if any(item == 0 and axis >= data.array.ndim for axis, item in enumerate(target)):
        return NotImplemented
    target = [data.shape[axis] if item == 0 else item for axis, item in enumerate(target)]
    return Known(data.array.reshape(target), data.dtype)


@known("Flatten")
def flatten(node: NodeContext, data: Known) -> Any:
    axis = node["axis"] + data.array.ndim if node["axis"] < 0 else node["axis"]
    if not 0 <= axis <= data.array.ndim:
        return NotImplemented
    return Known(data.array.reshape(math.prod(data.shape[:axis]), -1), data.dtype)


@known("Tile")
def tile(node: NodeContext, data: Known, repeats: Known, *rest: Known) -> Any:
    if rest or not repeats.is_concrete or len(repeats.tolist()) != data.array.ndim or min(repeats.tolist()) < 0:
        return NotImplemented
    if math.prod(data.shape) * math.prod(repeats.tolist()) > LIMIT:
        return NotImplemented
    return Known(np.tile(data.array, repeats.tolist()), data.dtype)


@known("Transpose")
def transpose(node: NodeContext, data: Known) -> Any:
    return Known(np.transpose(data.array, node["perm"]), data.dtype)


@known("Split")
def split(node: NodeContext, data: Known, sizes: Known | None = None) -> Any:
    given = node["split"] if sizes is None else sizes.tolist()
    axis = node.axis(node.get("axis", 0), data.array.ndim)
    if given is None or any(not isinstance(item, int) for item in given) or sum(given) != data.array.shape[axis]:
        return NotImplemented
    parts = np.split(data.array, np.cumsum(given)[:-1], axis=axis)
    return tuple(Known(part, data.dtype) for part in parts)


@known("Expand")
def expand(node: NodeContext, data: Known, shape: Known) -> Any:
    if not shape.is_concrete:
        return NotImplemented
    target = np.broadcast_shapes(data.array.shape, tuple(shape.tolist()))
    if math.prod(target) > LIMIT:
        return NotImplemented
    return Known(np.broadcast_to(data.array, target).copy(), data.dtype)


@known("ConstantOfShape")
def constant_of_shape(node: NodeContext, shape: Known) -> Any:
    if not shape.is_concrete or any(item < 0 for item in shape.tolist()) or math.prod(shape.tolist()) > LIMIT:
        return NotImplemented
    fill = Known.of([0.0], torch.float32) if node["value"] is None else node.known.get("value")
    if fill is None or fill.array.size != 1:
        return NotImplemented
    array = np.empty(tuple(shape.tolist()), dtype=object)
    array[...] = fill.item()
    return Known(array, fill.dtype)


@known("Range")
def range_(node: NodeContext, start: Known, limit: Known, delta: Known) -> Any:
    numbers = [start.item(), limit.item(), delta.item()]
    if any(not isinstance(item, int) for item in numbers) or numbers[2] == 0:
        return NotImplemented
    values = range(*numbers)
    return Known.of(list(values), start.dtype) if len(values) <= LIMIT else NotImplemented


@known("OneHot")
def one_hot(node: NodeContext, indices: Known, depth: Known, values: Known) -> Any:
    """As exporters write the repeats of repeat_interleave."""
    if not indices.is_concrete or not depth.is_concrete or values.array.shape != (2,):
        return NotImplemented
    count = int(depth.item())
    if not 0 < count * max(indices.array.size, 1) <= LIMIT:
        return NotImplemented
    off, on = values.tolist()
    result = np.empty((*indices.shape, count), dtype=object)
    for place in np.ndindex(*indices.shape):
        wanted = int(indices.array[place])
        result[place] = [on if at == (wanted + count if wanted < 0 else wanted) else off for at in range(count)]
    return Known(np.moveaxis(result, -1, node.axis(node["axis"], result.ndim)), values.dtype)


@known("ScatterND")
def scatter_nd(node: NodeContext, data: Known, indices: Known, updates: Known) -> Any:
    rows = indices.array.reshape(-1, indices.array.shape[-1]) if indices.array.ndim else indices.array
    if not indices.is_concrete or node.get("reduction", "none") != "none" or rows.ndim != 2:
        return NotImplemented
    if rows.shape[1] != data.array.ndim:
        return NotImplemented
    result = data.array.copy()
    for row, value in zip(rows, updates.array.reshape(-1), strict=True):
        result[tuple(int(item) for item in row)] = value
    return Known(result, data.dtype)
