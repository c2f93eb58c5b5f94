"""im2col as geometry: which vectors a matrix step sends through its bank, block by block.

A vector's index counts all vectors of a run: ``sample * vectors_per_sample + position``, positions row
by row. Blocks are contiguous ranges of that index, so an internal split changes neither order nor noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from .errors import InputError, complaint
from .program import Conv2dGeometry, Geometry


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive vectors of a run, the first of which has index ``start``.

    ``vectors``: (V, cols) of a linear geometry; (N, groups * cols, L) of a convolution, L vectors of each
    of N samples. Vectors lie innermost there, which copies image rows at a time: many times faster than
    gathering patch by patch, and results come out as images again.
    """

    start: int
    vectors: Tensor


def vector_count(shape: tuple[int, ...], geometry: Geometry) -> int:
    """Vectors that an input of this shape sends through the bank, all samples together."""
    if isinstance(geometry, Conv2dGeometry):
        return shape[0] * geometry.vectors_per_sample(shape)
    return _numel(shape[:-1])


def output_shape(shape: tuple[int, ...], geometry: Geometry, rows: int) -> tuple[int, ...]:
    """Shape of the step's result; ``rows`` counts the outputs of all groups together."""
    if isinstance(geometry, Conv2dGeometry):
        return (shape[0], rows, *geometry.output_size(shape[2], shape[3]))
    return (*shape[:-1], rows)


def check_input(shape: tuple[int, ...], geometry: Geometry, cols: int, where: str) -> None:
    """Raise InputError unless an input of this shape fits: last axis ``cols``, or NCHW channels."""
    if isinstance(geometry, Conv2dGeometry):
        allowed = f"(batch, {geometry.channels}, height, width) with at least one patch"
        fits = len(shape) == 4 and shape[1] == geometry.channels and min(geometry.output_size(*shape[2:])) > 0
    else:
        allowed = f"(..., {cols})"
        fits = len(shape) >= 1 and shape[-1] == cols
    if not fits:
        raise InputError(complaint("input does not fit the matrix", where=where, got=f"shape {shape}", allowed=allowed))


def pad(x: Tensor, geometry: Conv2dGeometry) -> Tensor:
    """The input (N, C, H, W) with the geometry's zeros around it; the input itself where there are none."""
    top, bottom, left, right = geometry.padding
    return F.pad(x, (left, right, top, bottom)) if any(geometry.padding) else x


def blocks(x: Tensor, geometry: Geometry, max_bytes: int) -> Iterator[Block]:
    """Cut an input into blocks of vectors, in index order.

    Args:
        x: (..., cols) for a linear geometry, (N, C, H, W) for a convolution; any batch, also 0.
        geometry: how the input is read.
        max_bytes: largest block of vectors in bytes; a single vector may exceed it.

    Yields:
        Blocks that cover every vector exactly once. Convolution patches are copied out of a strided
        view, so that no patch matrix larger than a block ever exists.
    """
    if isinstance(geometry, Conv2dGeometry):
        yield from _patch_blocks(x, geometry, max_bytes)
        return
    vectors = x.reshape(_numel(x.shape[:-1]), x.shape[-1])
    step = max(1, max_bytes // max(1, x.shape[-1] * x.element_size()))
    for start in range(0, len(vectors), step):
        yield Block(start, vectors[start : start + step].contiguous())


def store(output: Tensor, start: int, values: Tensor, geometry: Geometry) -> None:
    """Write the results of a block to their place in ``output``.

    Args:
        output: contiguous, of :func:`output_shape`.
        start: index of the block's first vector.
        values: (V, rows) or (N, rows, L), shaped as the block's vectors; ``rows`` of all groups.
    """
    if not isinstance(geometry, Conv2dGeometry):
        output.view(-1, values.shape[1])[start : start + len(values)] = values
        return
    samples, rows, count = values.shape
    per_sample = output.shape[2] * output.shape[3]
    sample, position = divmod(start, per_sample)
    planes = output.view(output.shape[0], rows, per_sample)
    planes[sample : sample + samples, :, position : position + count] = values


def patches(x: Tensor, geometry: Conv2dGeometry) -> Tensor:
    """All patches of a padded input as a view (N, OH, OW, groups, C / groups, kh, kw): nothing is copied."""
    n, channels, height, width = x.shape
    out_h = (height - geometry.dilation[0] * (geometry.kernel[0] - 1) - 1) // geometry.stride[0] + 1
    out_w = (width - geometry.dilation[1] * (geometry.kernel[1] - 1) - 1) // geometry.stride[1] + 1
    s_n, s_c, s_h, s_w = x.stride()
    per_group = channels // geometry.groups
    return x.as_strided(
        (n, out_h, out_w, geometry.groups, per_group, *geometry.kernel),
        (
            s_n,
            s_h * geometry.stride[0],
            s_w * geometry.stride[1],
            s_c * per_group,
            s_c,
            s_h * geometry.dilation[0],
            s_w * geometry.dilation[1],
        ),
        x.storage_offset(),
    )


def _patch_blocks(x: Tensor, geometry: Conv2dGeometry, max_bytes: int) -> Iterator[Block]:
    view = patches(pad(x, geometry), geometry)
    samples, out_h, out_w = view.shape[:3]
    size = _numel(view.shape[3:]) * x.element_size()
    budget = max(1, max_bytes // max(1, size))  # vectors in a block
    per_sample = out_h * out_w
    step_n = max(1, budget // per_sample)
    step_h = min(out_h, max(1, budget // out_w))  # whole output rows, of one sample unless all fit
    step_w = min(out_w, budget)
    for n in range(0, samples, step_n):
        for h in range(0, out_h, step_h):
            for w in range(0, out_w, step_w):
                part = view[n : n + step_n, h : h + step_h, w : w + step_w]
                yield Block((n * out_h + h) * out_w + w, _gather(part))


def _gather(part: Tensor) -> Tensor:
    """Copy a strided view (N, H, W, groups, channels, kh, kw) to (N, groups * cols, H * W)."""
    columns = part.permute(0, 3, 4, 5, 6, 1, 2)
    return columns.reshape(part.shape[0], _numel(part.shape[3:]), -1).contiguous()


def _numel(shape: tuple[int, ...]) -> int:
    count = 1
    for dim in shape:
        count *= dim
    return count
