"""Padding in every mode, on any axes, with negative pads."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from ..known import Known
from ..node import NodeContext
from ..registry import operator
from .elementwise import widened

Tensor = torch.Tensor
Sizes = Tensor | Known


@operator("Pad", since=1)
def pad_attributes(node: NodeContext, x: Tensor) -> Tensor:
    pads = node["pads"] if node["pads"] is not None else node["paddings"]
    return padded(node, x, list(pads), list(range(x.ndim)), node["value"], node["mode"])


@operator("Pad", since=11, host=(1, 2, 3))
def pad(node: NodeContext, x: Tensor, pads: Sizes, value: Sizes | None = None, axes: Sizes | None = None) -> Tensor:
    where = node.axes(None if axes is None else [int(axis) for axis in node.numbers(axes, 3)], x.ndim)
    fill = 0 if value is None else node.number(value, 2)
    return padded(node, x, node.numbers(pads, 1), where, fill, node["mode"])


def padded(node: NodeContext, x: Tensor, pads: list[Any], axes: list[int], fill: Any, mode: str) -> Tensor:
    """Pad axes by (all begins, all ends), as ONNX orders them."""
    if len(pads) != 2 * len(axes):
        raise node.input_error(1, "two pads an axis are needed", got=pads, allowed=f"{2 * len(axes)} numbers")
    amounts = {axis: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    node.check_size([size + sum(amounts.get(axis, (0, 0))) for axis, size in enumerate(x.shape)])
    changed = {axis: amount for axis, amount in amounts.items() if not _zero(amount)}
    if not changed:
        return x
    if mode == "constant":
        flat = [item for axis in range(x.ndim - 1, min(changed) - 1, -1) for item in amounts.get(axis, (0, 0))]
        return widened(lambda value: F.pad(value, flat, "constant", fill), x)
    if mode not in ("reflect", "edge", "wrap"):
        raise node.error("a padding mode is unknown", got=mode, allowed="constant, reflect, edge, wrap")
    if mode != "wrap" and _native(x, changed):
        flat = [item for axis in range(x.ndim - 1, 1, -1) for item in amounts.get(axis, (0, 0))]
        return F.pad(x, flat, "replicate" if mode == "edge" else mode)
    for axis, (before, after) in changed.items():
        x = _gathered(node, x, axis, before, after, mode)
    return x


def _zero(amount: tuple[Any, Any]) -> bool:
    return all(isinstance(item, int) and item == 0 for item in amount)


def _native(x: Tensor, changed: dict[int, tuple[Any, Any]]) -> bool:
    """Whether torch pads this itself: spatial axes of (batch, channel, ...), by less than their size."""
    return (
        3 <= x.ndim <= 5
        and x.dtype.is_floating_point
        and min(changed) >= 2
        and all(
            isinstance(item, int) and isinstance(x.shape[axis], int) and 0 <= item < x.shape[axis]
            for axis, amount in changed.items()
            for item in amount
        )
    )


def _gathered(node: NodeContext, x: Tensor, axis: int, before: Any, after: Any, mode: str) -> Tensor:
    size = x.shape[axis]
    if isinstance(size, int) and size == 0:
        raise node.input_error(0, "an empty dimension has nothing to pad with", got=list(x.shape))
    # Negative pads crop first, so that the rest is padded with what is left.
    crop_before, crop_after = max(0, -before), max(0, -after)
    if crop_before or crop_after:
        x = x.narrow(axis, crop_before, size - crop_before - crop_after)
        size, before, after = x.shape[axis], max(0, before), max(0, after)
    positions = torch.arange(-before, size + after, device=x.device)
    if mode == "edge":
        positions = torch.clamp(positions, 0, size - 1)
    elif mode == "wrap":
        positions = positions % size
    else:
        # A triangle wave of period 2 (size - 1) repeats the reflection as often as it takes.
        period = 2 * (size - 1) if not isinstance(size, int) or size > 1 else 1
        positions = positions % period
        positions = torch.minimum(positions, period - positions)
        if isinstance(size, int) and size == 1:
            positions = torch.zeros_like(positions)
    return torch.index_select(x, axis, positions)


@operator("CenterCropPad", host=(1,))
def center_crop_pad(node: NodeContext, x: Tensor, shape: Sizes) -> Tensor:
    axes = node.axes(node["axes"], x.ndim)
    sizes = node.numbers(shape, 1)
    if len(sizes) != len(axes):
        raise node.input_error(1, "one size an axis is needed", got=sizes, allowed=f"{len(axes)} sizes")
    before, after = [], []
    for axis, wanted in zip(axes, sizes, strict=True):
        # An odd element is cropped, or padded, at the end.
        missing = wanted - x.shape[axis]
        first = missing // 2 if missing >= 0 else -((-missing) // 2)
        before.append(first)
        after.append(missing - first)
    return padded(node, x, before + after, axes, 0, "constant")
