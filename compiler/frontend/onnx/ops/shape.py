"""Values as they are, made from sizes, and moved into another shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..dtypes import WIDE_UNSIGNED, torch_type
from ..known import Known, product
from ..node import NodeContext
from ..registry import operator
from ..tensors import sparse_tensor_of
from .elementwise import widened

Tensor = torch.Tensor
Sizes = Tensor | Known


@operator("Constant")
def constant(node: NodeContext) -> Tensor:
    given = [key for key in node.attributes if key.startswith(("value", "sparse_value"))]
    if len(given) != 1:
        raise node.error("a constant needs exactly one value", got=", ".join(given) or "none")
    value: Any = node[given[0]]
    match given[0]:
        case "value":
            return value
        case "sparse_value":
            return sparse_tensor_of(value, node.where)
        case "value_int" | "value_ints":
            return torch.tensor(value, dtype=torch.int64)
        case "value_float" | "value_floats":
            return torch.tensor(value, dtype=torch.float32)
    raise node.error("torch has no strings", got=given[0], allowed="numbers and booleans")


@operator("Identity")
def identity(node: NodeContext, x: Any) -> Any:
    return x


@operator("Dropout", since=1)
def dropout_before_12(node: NodeContext, x: Tensor) -> tuple[Tensor, ...]:
    if not node.wants(1):
        return (x,)
    return x, torch.ones_like(x, dtype=torch.bool if node.opset >= 10 else x.dtype)


@operator("Dropout", since=12, host=(1, 2), note="in training mode only with a seed, which decides the mask")
def dropout(
    node: NodeContext, x: Tensor, ratio: Sizes | None = None, training: Sizes | None = None
) -> tuple[Tensor, ...]:
    share = 0.5 if ratio is None else node.number(ratio, 1)
    keep: Tensor | None = None
    if training is not None and node.number(training, 2) and share != 0:
        if node["seed"] is None or any(not isinstance(size, int) for size in x.shape):
            raise node.input_error(2, "dropout in training mode draws random masks", next_step="export in eval mode")
        # The mask is numpy's, as the reference implementation draws it.
        drawn = np.random.RandomState(node["seed"]).uniform(0, 1, tuple(x.shape))
        keep = torch.from_numpy(np.asarray(drawn >= share)).to(x.device)
        x = keep * x * (1 / (1 - share))
    if not node.wants(1):
        return (x,)
    return x, torch.ones_like(x, dtype=torch.bool) if keep is None else keep


@operator("Reshape", since=1)
def reshape_attribute(node: NodeContext, x: Tensor) -> Tensor:
    return _reshaped(node, x, node["shape"] or [])


@operator("Reshape", since=5, host=(1,))
def reshape(node: NodeContext, x: Tensor, shape: Sizes) -> Tensor:
    return _reshaped(node, x, node.numbers(shape, 1))


def _reshaped(node: NodeContext, x: Tensor, shape: list[Any]) -> Tensor:
    target = list(shape)
    open_ = [position for position, size in enumerate(target) if isinstance(size, int) and size == -1]
    keep_zero = bool(node.get("allowzero", 0))
    for position, size in enumerate(target):
        if isinstance(size, int) and size < -1:
            raise node.input_error(1, "a size is negative", got=target)
        if isinstance(size, int) and size == 0 and not keep_zero:
            if position >= x.ndim:
                raise node.input_error(1, "0 copies a dimension the data does not have", got=target)
            target[position] = x.shape[position]
    if len(open_) > 1:
        raise node.input_error(1, "more than one size is left open", got=target)
    if open_ and isinstance(x.numel(), int) and x.numel() == 0:
        rest = product([size for position, size in enumerate(target) if position != open_[0]])
        target[open_[0]] = 0 if rest == 0 else x.numel() // rest
    return x.reshape(target)


@operator("Flatten")
def flatten(node: NodeContext, x: Tensor) -> Tensor:
    axis = node["axis"]
    axis = axis + x.ndim if axis < 0 else axis
    if not 0 <= axis <= x.ndim:
        raise node.error("an axis lies outside the tensor", got=node["axis"], allowed=f"{-x.ndim} to {x.ndim}")
    if axis == 1 and x.ndim >= 2:
        return torch.flatten(x, 1)
    return x.reshape(product(x.shape[:axis]), product(x.shape[axis:]))


@operator("Squeeze", host=(1,))
def squeeze(node: NodeContext, x: Tensor, axes: Sizes | None = None) -> Tensor:
    given = node["axes"] if axes is None else [int(axis) for axis in node.numbers(axes, 1)]
    if given is None:
        return torch.squeeze(x)
    where = node.axes(given, x.ndim)
    wrong = [axis for axis in where if isinstance(x.shape[axis], int) and x.shape[axis] != 1]
    if wrong:
        raise node.input_error(
            0, "only dimensions of size 1 can be left out", got=f"axis {wrong[0]} of {list(x.shape)}"
        )
    return torch.squeeze(x, where)


@operator("Unsqueeze", host=(1,))
def unsqueeze(node: NodeContext, x: Tensor, axes: Sizes | None = None) -> Tensor:
    given = node["axes"] if axes is None else [int(axis) for axis in node.numbers(axes, 1)]
    where = node.axes(given, x.ndim + len(given))
    if len(set(where)) < len(where):
        raise node.error("an axis is named twice", got=given)
    for axis in sorted(where):
        x = torch.unsqueeze(x, axis)
    return x


@operator("Transpose")
def transpose(node: NodeContext, x: Tensor) -> Tensor:
    perm = node["perm"]
    return x.permute(list(range(x.ndim))[::-1] if perm is None else perm)


@operator("Concat")
def concat(node: NodeContext, first: Tensor, *rest: Tensor) -> Tensor:
    values = (first, *rest)
    axis = node.axis(node.get("axis", 1), first.ndim)
    return torch.cat(values, axis) if len(values) > 1 else values[0]


@operator("Split", host=(1,))
def split(node: NodeContext, x: Tensor, sizes: Sizes | None = None) -> tuple[Tensor, ...]:
    axis = node.axis(node.get("axis", 0), x.ndim)
    given = node["split"] if sizes is None else node.numbers(sizes, 1)
    if given is None:
        count = node.get("num_outputs", len(node.output_names))
        if count != len(node.output_names):
            raise node.error("num_outputs is not the number of outputs", got=count, allowed=str(len(node.output_names)))
        size = x.shape[axis]
        if node.opset < 18 and isinstance(size, int) and size % count:
            raise node.input_error(0, f"a dimension cannot be split evenly into {count}", got=list(x.shape))
        # From opset 18 on, the last part is the smaller one.
        chunk = -(-size // count)
        given = [chunk] * (count - 1)
        given.append(size - chunk * (count - 1))
        if isinstance(given[-1], int) and given[-1] < 0:
            raise node.input_error(0, f"a dimension is too small to be split into {count}", got=list(x.shape))
    return torch.split(x, given, axis)


@operator("Expand", host=(1,))
def expand(node: NodeContext, x: Tensor, shape: Sizes) -> Tensor:
    target = list(node.numbers(shape, 1))
    rank = max(len(target), x.ndim)
    target = [1] * (rank - len(target)) + target
    sizes = [1] * (rank - x.ndim) + list(x.shape)
    # Broadcasting goes both ways: a target of 1 keeps the data's size.
    result = [-1 if isinstance(new, int) and new == 1 else new for new in target]
    result = [old if new == -1 else new for new, old in zip(result, sizes, strict=True)]
    node.check_size(result)
    return x.expand(result)


@operator("Tile", since=1)
def tile_axis(node: NodeContext, x: Tensor, tiles: Tensor, axis: Tensor) -> Tensor:
    repeats = [1] * x.ndim
    repeats[node.axis(int(axis), x.ndim)] = int(tiles)
    node.check_size([a * b for a, b in zip(x.shape, repeats, strict=True)])
    return x.repeat(repeats)


@operator("Tile", since=6, host=(1,))
def tile(node: NodeContext, x: Tensor, repeats: Sizes) -> Tensor:
    counts = node.numbers(repeats, 1)
    if len(counts) != x.ndim:
        raise node.input_error(1, "one count a dimension is needed", got=counts, allowed=f"{x.ndim} counts")
    node.check_size([a * b for a, b in zip(x.shape, counts, strict=True)])
    return x.repeat(counts)


@operator("ConstantOfShape", host=(0,))
def constant_of_shape(node: NodeContext, shape: Sizes) -> Tensor:
    sizes = node.numbers(shape)
    value = node["value"]
    if value is None:
        return torch.zeros(tuple(node.check_size(sizes)), dtype=torch.float32)
    if value.numel() != 1:
        raise node.error("the value must be one element", got=list(value.shape))
    node.check_size(sizes)
    fill = node.known.get("value")
    if fill is None or value.dtype in WIDE_UNSIGNED:
        return value.reshape([1] * len(sizes)).expand(sizes).contiguous()
    return torch.full(tuple(sizes), fill.item(), dtype=value.dtype)


@operator("Range", host=(0, 1, 2))
def range_(node: NodeContext, start: Sizes, limit: Sizes, delta: Sizes) -> Tensor:
    first, last, step = (node.number(value, position) for position, value in enumerate((start, limit, delta)))
    if step == 0:
        raise node.input_error(2, "a range needs a step other than 0")
    dtype = start.dtype
    if all(isinstance(number, (int, float)) for number in (first, last, step)):
        node.check_size([max(0, int((last - first) / step) + 1)])
    if dtype.is_floating_point:
        # As numpy counts them: the number of elements first, then start + index * delta.
        count = max(0, -int(-(last - first) // step)) if isinstance(first, float) else 0
        return (first + torch.arange(count, dtype=torch.float64) * step).to(dtype)
    if all(isinstance(number, int) for number in (first, last, step)) and len(range(first, last, step)) == 0:
        return torch.zeros(0, dtype=dtype)
    return torch.arange(first, last, step, dtype=dtype)


@operator("EyeLike")
def eye_like(node: NodeContext, x: Tensor) -> Tensor:
    if x.ndim != 2:
        raise node.input_error(0, "an identity matrix needs two dimensions", got=list(x.shape))
    dtype = torch_type(node["dtype"], node.where) if node["dtype"] is not None else x.dtype
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    columns = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
    return (columns - rows == node["k"]).to(dtype)


@operator("Trilu", host=(1,))
def trilu(node: NodeContext, x: Tensor, k: Sizes | None = None) -> Tensor:
    diagonal = int(node.number(k, 1)) if k is not None else 0
    diagonal = max(-(2**31), min(2**31, diagonal))
    cut = torch.triu if node["upper"] else torch.tril
    return widened(lambda value: cut(value, diagonal), x)


@operator("DepthToSpace")
def depth_to_space(node: NodeContext, x: Tensor) -> Tensor:
    block = node["blocksize"]
    batch, depth, height, width = x.shape
    if node.get("mode", "DCR") == "CRD":
        return torch.pixel_shuffle(x, block)
    parts = x.reshape(batch, block, block, depth // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(batch, depth // block**2, height * block, width * block)


@operator("SpaceToDepth")
def space_to_depth(node: NodeContext, x: Tensor) -> Tensor:
    block = node["blocksize"]
    batch, depth, height, width = x.shape
    parts = x.reshape(batch, depth, height // block, block, width // block, block)
    order = (0, 1, 3, 5, 2, 4) if node.get("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
    parts = parts.permute(order)
    return parts.reshape(batch, depth * block**2, height // block, width // block)
