"""Sampling images at arbitrary positions."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from ..known import Known
from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor


@operator("AffineGrid", host=(1,))
def affine_grid(node: NodeContext, theta: Tensor, size: Tensor | Known) -> Tensor:
    return F.affine_grid(theta, node.numbers(size, 1), align_corners=bool(node["align_corners"]))


@operator("GridSample")
def grid_sample(node: NodeContext, x: Tensor, grid: Tensor) -> Tensor:
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(node["mode"], node["mode"])
    padding, corners = node["padding_mode"], bool(node["align_corners"])
    if mode not in ("nearest", "linear", "cubic") or padding not in ("zeros", "border", "reflection"):
        raise node.error("a mode is unknown", got=f"{node['mode']}, {padding}")
    rank = x.ndim - 2
    if (rank == 2 or (rank == 3 and mode != "cubic")) and x.dtype.is_floating_point:
        native = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
        return F.grid_sample(x, grid.to(x.dtype), native, padding, corners)
    return _sampled(x, grid, mode, padding, corners)


def _sampled(x: Tensor, grid: Tensor, mode: str, padding: str, corners: bool) -> Tensor:
    """Any rank: (batch, channels, *sizes) at grid (batch, *outputs, rank), whose last axis runs x first."""
    sizes = list(x.shape[2:])
    points = grid.reshape(grid.shape[0], -1, len(sizes)).flip(-1)
    taps: list[tuple[Tensor, Tensor]] = [(torch.zeros((), dtype=torch.int64), torch.ones((), dtype=x.dtype))]
    for axis, size in enumerate(sizes):
        place = (points[..., axis] + 1) / 2 * (size - 1) if corners else ((points[..., axis] + 1) * size - 1) / 2
        low, high = (0.0, size - 1.0) if corners else (-0.5, size - 0.5)
        if mode != "cubic" or padding == "border":
            place = _inside(place, size, low, high, padding) if mode != "cubic" else place
        taps = [
            (index * size + position, weight * share)
            for index, weight in taps
            for position, share in _taps(place, size, low, high, mode, padding)
        ]
    flat = x.flatten(2)
    result: Any = 0
    for index, weight in taps:
        spread = index.unsqueeze(1).expand(-1, x.shape[1], -1)
        result = result + torch.gather(flat, 2, spread) * weight.unsqueeze(1).to(x.dtype)
    return result.reshape(x.shape[0], x.shape[1], *grid.shape[1:-1])


def _inside(place: Tensor, size: int, low: float, high: float, padding: str) -> Tensor:
    if padding == "border":
        return torch.clamp(place, 0, size - 1)
    if padding == "reflection":
        return torch.clamp(_reflected(place, low, high), 0, size - 1)
    return place


def _reflected(place: Tensor, low: float, high: float) -> Tensor:
    span = high - low
    if span <= 0:
        return torch.zeros_like(place)
    away = torch.remainder(place - low, 2 * span)
    return low + torch.minimum(away, 2 * span - away)


def _taps(place: Tensor, size: int, low: float, high: float, mode: str, padding: str) -> list[tuple[Tensor, Tensor]]:
    """Positions along one axis and their weights."""
    if mode == "nearest":
        steps: list[tuple[Tensor, Tensor]] = [(torch.round(place), torch.ones_like(place))]
    else:
        base = torch.floor(place)
        part = place - base
        if mode == "linear":
            steps = [(base, 1 - part), (base + 1, part)]
        else:
            steps = [(base + step, _cubic(torch.abs(part - step))) for step in (-1, 0, 1, 2)]
    result = []
    for position, weight in steps:
        if padding == "zeros":
            weight = weight * ((position >= 0) & (position <= size - 1))
        elif padding == "reflection":
            position = _reflected(position, low, high)
        result.append((torch.clamp(torch.round(position), 0, size - 1).to(torch.int64), weight))
    return result


def _cubic(distance: Tensor) -> Tensor:
    a = -0.75
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, far)
