"""What convolutions and pooling share: pads of sliding windows, and the windows themselves."""

from __future__ import annotations

from typing import Any

import torch

from ..node import NodeContext

Tensor = torch.Tensor


def spatial_pads(
    node: NodeContext, x: Tensor, kernel: list[int], strides: list[int], dilations: list[int]
) -> tuple[list[Any], list[Any]]:
    """Pads before and after each spatial dimension, from ``pads`` or ``auto_pad``.

    Raises:
        CaptureError: an unknown auto_pad, strides or dilations below 1, or the wrong number of pads.
    """
    rank = len(kernel)
    if min([1, *strides, *dilations, *kernel]) < 1 or not rank == len(strides) == len(dilations) == x.ndim - 2:
        raise node.error(
            "kernel, strides and dilations must be positive, one a spatial dimension",
            got=f"{kernel}, {strides}, {dilations}",
            allowed=f"{x.ndim - 2} numbers each",
        )
    auto = node.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID", ""):
        pads = node["pads"] if auto != "VALID" and node["pads"] is not None else [0] * (2 * rank)
        if len(pads) != 2 * rank:
            raise node.error("two pads a spatial dimension are needed", got=pads, allowed=f"{2 * rank} numbers")
        return list(pads[:rank]), list(pads[rank:])
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise node.error("auto_pad is unknown", got=auto, allowed="NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    before, after = [], []
    for axis in range(rank):
        size = x.shape[2 + axis]
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        outputs = -(-size // strides[axis])
        total = torch.sym_max(0, (outputs - 1) * strides[axis] + reach - size)
        small = total // 2
        before.append(small if auto == "SAME_UPPER" else total - small)
        after.append(total - small if auto == "SAME_UPPER" else small)
    return before, after


def output_sizes(
    node: NodeContext,
    sizes: list[Any],
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
    pads: tuple[list[Any], list[Any]],
) -> list[Any]:
    """Windows along each dimension; with ceil_mode none that starts beyond the data and the pads before it."""
    result = []
    for n, k, s, d, b, a in zip(sizes, kernel, strides, dilations, *pads, strict=True):
        room = n + b + a - (k - 1) * d - 1
        if isinstance(room, int) and room < 0 and not node.get("ceil_mode", 0):
            raise node.input_error(0, "the data is smaller than the window", got=list(sizes), allowed=f"{kernel}")
        if not node.get("ceil_mode", 0):
            result.append(room // s + 1)
            continue
        count = -(-room // s) + 1
        if isinstance(count, int) and (count - 1) * s >= n + b:
            count -= 1
        result.append(count)
    return result


def windows(x: Tensor, kernel: list[int], strides: list[int], dilations: list[int], counts: list[Any]) -> Tensor:
    """Sliding windows over the last dimensions of x: (..., *counts, *kernel), views of x.

    x must reach as far as the last window.
    """
    rank = len(kernel)
    lead = x.ndim - rank
    for axis in range(rank):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        x = x.unfold(lead + axis, reach, strides[axis]).narrow(lead + axis, 0, counts[axis])
        if dilations[axis] > 1:
            x = x[..., :: dilations[axis]]
    return x
