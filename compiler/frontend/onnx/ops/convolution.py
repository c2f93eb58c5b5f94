"""Convolutions of any rank torch has, transposed ones, deformable ones."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from ..known import Known
from ..node import NodeContext
from ..registry import operator
from .windows import spatial_pads

Tensor = torch.Tensor
_CONV: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Any] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _rank(node: NodeContext, x: Tensor, weight: Tensor) -> int:
    rank = x.ndim - 2
    if rank not in _CONV:
        raise node.input_error(0, "torch convolves one to three spatial dimensions", got=list(x.shape))
    kernel = node["kernel_shape"]
    if weight.ndim != x.ndim or (kernel is not None and list(kernel) != list(weight.shape[2:])):
        got = f"weight {list(weight.shape)}, kernel_shape {kernel}"
        raise node.input_error(1, "the weight does not fit the data or kernel_shape", got=got)
    return rank


def convolved(node: NodeContext, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution a node's attributes describe: strides, dilations, group, pads or auto_pad."""
    rank = _rank(node, x, weight)
    strides, dilations = node["strides"] or [1] * rank, node["dilations"] or [1] * rank
    kernel = list(weight.shape[2:])
    before, after = spatial_pads(node, x, kernel, strides, dilations)
    node.check_size([*x.shape[:2], *(n + b + a for n, b, a in zip(x.shape[2:], before, after, strict=True))])
    padding: Any = [0] * rank
    if all(isinstance(a, int) and isinstance(b, int) and a == b >= 0 for a, b in zip(before, after, strict=True)):
        padding = before
    else:
        flat = [item for pair in zip(before[::-1], after[::-1], strict=True) for item in pair]
        x = F.pad(x, flat)
    return _CONV[rank](x, weight, bias, strides, padding, dilations, node["group"])


@operator("Conv")
def conv(node: NodeContext, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return convolved(node, x, weight, bias)


@operator("ConvTranspose")
def conv_transpose(node: NodeContext, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = _rank(node, x, weight)
    strides, dilations = node["strides"] or [1] * rank, node["dilations"] or [1] * rank
    extra = node["output_padding"] or [0] * rank
    kernel, sizes = list(weight.shape[2:]), list(x.shape[2:])
    full = [s * (n - 1) + (k - 1) * d + 1 for s, n, k, d in zip(strides, sizes, kernel, dilations, strict=True)]
    auto, wanted = node["auto_pad"], node["output_shape"]
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)]
    if wanted is not None:
        wanted = list(wanted)[-rank:]
        # Where more is wanted than there is, zeros follow: negative crops.
        total = [f + e - w for f, e, w in zip(full, extra, wanted, strict=True)]
        before = [_half(t, auto) for t in total]
        after = [t - b for t, b in zip(total, before, strict=True)]
    else:
        pads = node["pads"] if auto == "NOTSET" and node["pads"] is not None else [0] * (2 * rank)
        before, after = list(pads[:rank]), list(pads[rank:])
    node.check_size([x.shape[0], weight.shape[1] * node["group"], *full])
    group = node["group"]
    native = all(
        isinstance(b, int) and b == a >= 0 and 0 <= e < max(s, d)
        for b, a, e, s, d in zip(before, after, extra, strides, dilations, strict=True)
    )
    if native:
        return _TRANSPOSED[rank](x, weight, bias, strides, before, extra, group, dilations)
    result = _TRANSPOSED[rank](x, weight, None, strides, [0] * rank, [0] * rank, group, dilations)
    flat = [-b for b in before], [e - a for e, a in zip(extra, after, strict=True)]
    result = F.pad(result, [item for pair in zip(flat[0][::-1], flat[1][::-1], strict=True) for item in pair])
    return result if bias is None else result + bias.reshape(-1, *([1] * rank))


def _half(total: Any, auto: str) -> Any:
    """What is cropped at the start: the smaller half for SAME_UPPER, else the larger; nothing if nothing is."""
    if isinstance(total, int) and total < 0:
        return 0
    return total // 2 if auto == "SAME_UPPER" else total - total // 2


@operator("DeformConv")
def deform_conv(
    node: NodeContext,
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    if x.ndim != 4:
        raise node.input_error(0, "deformable convolution takes images", got=list(x.shape), allowed="rank 4")
    strides, dilations = node["strides"] or [1, 1], node["dilations"] or [1, 1]
    pads, groups, offset_groups = node["pads"] or [0] * 4, node["group"], node["offset_group"]
    batch, channels, height, width = x.shape
    out_channels, _, rows, columns = weight.shape
    out_height, out_width = offset.shape[2:]
    taps = rows * columns
    moved = offset.reshape(batch, offset_groups, taps, 2, out_height, out_width)
    # Where each tap of each output position reads, in pixels.
    tap_y = (torch.arange(rows, device=x.device) * dilations[0]).repeat_interleave(columns)
    tap_x = (torch.arange(columns, device=x.device) * dilations[1]).repeat(rows)
    out_y = torch.arange(out_height, device=x.device) * strides[0] - pads[0]
    out_x = torch.arange(out_width, device=x.device) * strides[1] - pads[1]
    y = moved[:, :, :, 0] + (tap_y.reshape(-1, 1, 1) + out_y.reshape(1, -1, 1)).to(x.dtype)
    z = moved[:, :, :, 1] + (tap_x.reshape(-1, 1, 1) + out_x.reshape(1, 1, -1)).to(x.dtype)
    images = x.reshape(batch, offset_groups, channels // offset_groups, height * width)
    sampled = bilinear(images, y.reshape(batch, offset_groups, -1), z.reshape(batch, offset_groups, -1), height, width)
    sampled = sampled.reshape(batch, offset_groups, channels // offset_groups, taps, out_height, out_width)
    if mask is not None:
        sampled = sampled * mask.reshape(batch, offset_groups, 1, taps, out_height, out_width)
    patches = sampled.reshape(batch, groups, channels // groups * taps, out_height * out_width)
    kernels = weight.reshape(1, groups, out_channels // groups, -1)
    result = torch.matmul(kernels, patches).reshape(batch, out_channels, out_height, out_width)
    return result if bias is None else result + bias.reshape(-1, 1, 1)


def bilinear(images: Tensor, y: Tensor, x: Tensor, height: int, width: int) -> Tensor:
    """Sample images (..., channels, height * width) at positions (..., points) in pixels; zero outside.

    Returns:
        (..., channels, points)
    """
    top, left = torch.floor(y), torch.floor(x)
    result = torch.zeros((), dtype=images.dtype, device=images.device)
    for step_y in (0, 1):
        for step_x in (0, 1):
            row, column = top + step_y, left + step_x
            weight = (1 - torch.abs(y - row)) * (1 - torch.abs(x - column))
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).to(torch.int64)
            spread = index.unsqueeze(-2).expand(*images.shape[:-1], index.shape[-1])
            result = result + torch.gather(images, -1, spread) * (weight * inside).unsqueeze(-2)
    return result


@operator("Col2Im", host=(1, 2))
def col2im(node: NodeContext, x: Tensor, image: Tensor | Known, block: Tensor | Known) -> Tensor:
    sizes, blocks = node.numbers(image, 1), node.numbers(block, 2)
    rank = len(sizes)
    strides, dilations = node["strides"] or [1] * rank, node["dilations"] or [1] * rank
    pads = node["pads"] or [0] * (2 * rank)
    before, after = list(pads[:rank]), list(pads[rank:])
    node.check_size(sizes)
    whole = [n + b + a for n, b, a in zip(sizes, before, after, strict=True)]
    node.check_size([x.shape[0], *whole])
    counts = [(n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(whole, blocks, dilations, strides, strict=True)]
    taps = 1
    for k in blocks:
        taps *= k
    channels = x.shape[1] // taps
    columns = x.reshape(x.shape[0], channels, *blocks, *counts)
    # Every tap of every window, numbered in the padded image; then one scatter adds them up.
    index = torch.zeros([1] * (2 * rank), dtype=torch.int64, device=x.device)
    for axis in range(rank):
        tap = torch.arange(blocks[axis], device=x.device) * dilations[axis]
        start = torch.arange(counts[axis], device=x.device) * strides[axis]
        position = tap.unsqueeze(1) + start
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = position.shape
        index = index * whole[axis] + position.reshape(shape)
    total = 1
    for n in whole:
        total *= n
    flat = columns.reshape(x.shape[0], channels, -1)
    spread = index.reshape(1, 1, -1).expand(flat.shape)
    result = torch.zeros(x.shape[0], channels, total, dtype=x.dtype, device=x.device).scatter_add(2, spread, flat)
    result = result.reshape(x.shape[0], channels, *whole)
    for axis in range(rank):
        result = result.narrow(2 + axis, before[axis], sizes[axis])
    return result
