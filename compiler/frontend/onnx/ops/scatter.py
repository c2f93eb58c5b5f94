"""Writing elements into a copy of the data."""

from __future__ import annotations

import math

import torch

from ..node import NodeContext
from ..registry import operator
from .indexing import positive

Tensor = torch.Tensor
_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@operator("Scatter", "ScatterElements")
def scatter_elements(node: NodeContext, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    axis = node.axis(node["axis"], x.ndim)
    return scattered(node, x, axis, positive(indices, x.shape[axis]), updates)


def scattered(node: NodeContext, x: Tensor, axis: int, indices: Tensor, updates: Tensor) -> Tensor:
    """Write or reduce updates along an axis, as the node's ``reduction`` says."""
    reduction = node.get("reduction", "none")
    if reduction == "none":
        return x.scatter(axis, indices, updates)
    if reduction not in _REDUCTIONS:
        raise node.error("a reduction is unknown", got=reduction, allowed=", ".join(("none", *_REDUCTIONS)))
    return x.scatter_reduce(axis, indices, updates, _REDUCTIONS[reduction])


@operator("ScatterND")
def scatter_nd(node: NodeContext, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    depth = indices.shape[-1]
    indices = indices.to(torch.int64)
    reduction = node.get("reduction", "none")
    if reduction in ("none", "add"):
        return x.index_put(tuple(indices.unbind(-1)), updates, accumulate=reduction == "add")
    # Rows of the data that an index points at, numbered.
    rows = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
    for axis in range(depth):
        rows = rows * x.shape[axis] + positive(indices[..., axis], x.shape[axis])
    width = math.prod(x.shape[depth:])
    flat = x.reshape(-1, width)
    spread = rows.reshape(-1, 1).expand(-1, width)
    return scattered(node, flat, 0, spread, updates.reshape(-1, width)).reshape(x.shape)


@operator("TensorScatter")
def tensor_scatter(node: NodeContext, cache: Tensor, update: Tensor, starts: Tensor | None = None) -> Tensor:
    axis = node.axis(node["axis"], cache.ndim)
    size = cache.shape[axis]
    steps = torch.arange(update.shape[axis], device=cache.device)
    positions = steps.unsqueeze(0) if starts is None else starts.to(torch.int64).unsqueeze(1) + steps
    if node["mode"] == "circular":
        positions = positions % size
    shape = [1] * cache.ndim
    shape[0], shape[axis] = positions.shape[0], positions.shape[1]
    return cache.scatter(axis, positions.reshape(shape).expand(update.shape), update)
