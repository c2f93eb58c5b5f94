"""Boxes: regions pooled from feature maps, and overlapping detections suppressed."""

from __future__ import annotations

import math

import torch

from ..known import Known
from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor


@operator("RoiAlign")
def roi_align(node: NodeContext, x: Tensor, rois: Tensor, batch_indices: Tensor) -> Tensor:
    rows, columns = node["output_height"], node["output_width"]
    half = node.get("coordinate_transformation_mode", "output_half_pixel") == "half_pixel"
    corners = rois * node["spatial_scale"] - (0.5 if half else 0.0)
    extent = corners[:, 2:] - corners[:, :2]
    if not half:
        extent = torch.clamp(extent, min=1.0)
    ratio = node["sampling_ratio"]
    if ratio > 0:
        grid_y, grid_x = torch.full_like(extent[:, 1], ratio), torch.full_like(extent[:, 0], ratio)
        most = (ratio, ratio)
    else:
        # As many samples as pixels in a bin; bins of other regions may need fewer.
        grid_y, grid_x = torch.ceil(extent[:, 1] / rows), torch.ceil(extent[:, 0] / columns)
        counts = [int(grid.max()) if grid.numel() else 1 for grid in (grid_y, grid_x)]
        most = (max(counts[0], 1), max(counts[1], 1))
    node.check_size([rois.shape[0], x.shape[1], rows, most[0], columns, most[1]])
    y, keep_y = _samples(corners[:, 1], extent[:, 1] / rows, rows, grid_y, most[0])
    z, keep_x = _samples(corners[:, 0], extent[:, 0] / columns, columns, grid_x, most[1])
    height, width = x.shape[2:]
    images = x[batch_indices.to(torch.int64)].flatten(2)
    row, column = _weighted(y.flatten(1), height), _weighted(z.flatten(1), width)
    taps = []
    for row_index, row_weight in row:
        for column_index, column_weight in column:
            index = (row_index.unsqueeze(2) * width + column_index.unsqueeze(1)).flatten(1)
            value = torch.gather(images, 2, index.unsqueeze(1).expand(-1, x.shape[1], -1))
            weight = (row_weight.unsqueeze(2) * column_weight.unsqueeze(1)).flatten(1)
            taps.append(value * weight.unsqueeze(1))
    shape = (rois.shape[0], x.shape[1], rows, most[0], columns, most[1])
    keep = (keep_y.reshape(-1, 1, 1, most[0], 1, 1) & keep_x.reshape(-1, 1, 1, 1, 1, most[1])).expand(shape)
    if node["mode"] == "max":
        largest = torch.stack(taps).amax(0).reshape(shape)
        result = largest.masked_fill(~keep, -math.inf).amax((3, 5))
        return torch.where(torch.isinf(result), torch.zeros_like(result), result)
    total = (taps[0] + taps[1] + taps[2] + taps[3]).reshape(shape)
    count = torch.clamp(grid_y * grid_x, min=1).reshape(-1, 1, 1, 1)
    return torch.where(keep, total, torch.zeros_like(total)).sum((3, 5)) / count


def _samples(start: Tensor, step: Tensor, bins: int, grid: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Sample positions (regions, bins, most), and which of them a region uses (regions, most)."""
    inner = torch.arange(most, device=start.device)
    places = (inner + 0.5) / torch.clamp(grid, min=1).unsqueeze(1)
    positions = torch.arange(bins, device=start.device).reshape(1, -1, 1) + places.unsqueeze(1)
    return start.reshape(-1, 1, 1) + positions * step.reshape(-1, 1, 1), inner < grid.unsqueeze(1)


def _weighted(place: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """The two pixels around a place and their weights; nothing beyond one pixel outside."""
    inside = (place >= -1.0) & (place <= size)
    place = torch.clamp(place, 0, size - 1)
    low = torch.floor(place)
    part = place - low
    high = torch.clamp(low + 1, max=size - 1)
    zero = torch.zeros_like(part)
    return [
        (low.to(torch.int64), torch.where(inside, 1 - part, zero)),
        (high.to(torch.int64), torch.where(inside, part, zero)),
    ]


@operator("MaxRoiPool")
def max_roi_pool(node: NodeContext, x: Tensor, rois: Tensor) -> Tensor:
    rows, columns = node["pooled_shape"]
    height, width = x.shape[2:]
    if not 0 < rows * columns <= 2**16:
        raise node.error("an absurd number of bins", got=node["pooled_shape"], allowed="1 to 65536")
    result = []
    for batch, x1, y1, x2, y2 in rois.tolist():
        left, top, right, bottom = (math.floor(value * node["spatial_scale"] + 0.5) for value in (x1, y1, x2, y2))
        tall, wide = max(bottom - top + 1, 1), max(right - left + 1, 1)
        bins = []
        for row in range(rows):
            first, last = top + math.floor(row * tall / rows), top + math.ceil((row + 1) * tall / rows)
            for column in range(columns):
                begin, end = left + math.floor(column * wide / columns), left + math.ceil((column + 1) * wide / columns)
                part = x[int(batch), :, max(first, 0) : min(last, height), max(begin, 0) : min(end, width)]
                bins.append(part.amax((1, 2)) if part.numel() else x.new_zeros(x.shape[1]))
        result.append(torch.stack(bins, 1).reshape(x.shape[1], rows, columns))
    return torch.stack(result) if result else x.new_zeros((0, x.shape[1], rows, columns))


@operator("NonMaxSuppression", host=(2, 3, 4), note="reads its data: runs eagerly, on the host")
def non_max_suppression(
    node: NodeContext,
    boxes: Tensor,
    scores: Tensor,
    most: Tensor | Known | None = None,
    overlap: Tensor | Known | None = None,
    least: Tensor | Known | None = None,
) -> Tensor:
    limit = int(node.number(most, 2)) if most is not None else 0
    threshold = node.number(overlap, 3) if overlap is not None else 0.0
    floor = node.number(least, 4) if least is not None else -math.inf
    if node["center_point_box"]:
        centre, half = boxes[..., :2], boxes[..., 2:] / 2
        low, high = centre - half, centre + half
    else:
        low, high = torch.minimum(boxes[..., :2], boxes[..., 2:]), torch.maximum(boxes[..., :2], boxes[..., 2:])
    selected: list[tuple[int, int, int]] = []
    for batch in range(scores.shape[0]):
        shared = torch.clamp(
            torch.minimum(high[batch].unsqueeze(1), high[batch]) - torch.maximum(low[batch].unsqueeze(1), low[batch]),
            min=0,
        ).prod(-1)
        area = (high[batch] - low[batch]).prod(-1)
        union = area.unsqueeze(1) + area - shared
        suppressed = (shared > 0) & (union > 0) & (shared / union > threshold)
        for kind in range(scores.shape[1]):
            order = torch.argsort(scores[batch, kind], descending=True, stable=True)
            kept: list[int] = []
            for box in order[scores[batch, kind][order] > floor].tolist():
                if len(kept) >= limit:
                    break
                if not kept or not bool(suppressed[box, kept].any()):
                    kept.append(box)
            selected.extend((batch, kind, box) for box in kept)
    return torch.tensor(selected, dtype=torch.int64).reshape(-1, 3)
