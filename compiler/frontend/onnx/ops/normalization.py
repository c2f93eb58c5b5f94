"""Normalisation over batches, channels, groups and layers."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from ..dtypes import torch_type
from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor


def _channel(x: Tensor, value: Tensor) -> Tensor:
    return value.reshape(-1, *([1] * (x.ndim - 2)))


@operator("BatchNormalization", since=1)
def batch_normalization_before_7(
    node: NodeContext, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    if not node["is_test"]:
        raise node.error("batch norm in training mode", got="is_test=0", next_step="export the model in eval mode")
    return _batch_norm(node, x, scale, bias, mean, variance)


@operator("BatchNormalization", since=7)
def batch_normalization_before_14(
    node: NodeContext, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    if any(node.wants(output) for output in range(1, 5)):
        raise node.error("batch norm in training mode", got="more than one output", next_step="export in eval mode")
    return _batch_norm(node, x, scale, bias, mean, variance)


@operator("BatchNormalization", since=14)
def batch_normalization(
    node: NodeContext, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor | tuple[Tensor, ...]:
    if not node["training_mode"]:
        return _batch_norm(node, x, scale, bias, mean, variance)
    # Statistics of this very batch; nothing random, so it can be computed as it stands.
    axes = [axis for axis in range(x.ndim) if axis != 1]
    batch_mean, batch_variance = torch.mean(x, axes), torch.var(x, axes, correction=0)
    momentum = node["momentum"]
    new_mean = mean * momentum + batch_mean * (1 - momentum)
    new_variance = variance * momentum + batch_variance * (1 - momentum)
    y = _batch_norm(node, x, scale, bias, batch_mean, batch_variance)
    return y, new_mean.to(mean.dtype), new_variance.to(variance.dtype)


def _batch_norm(node: NodeContext, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    eps = node["epsilon"]
    if mean.ndim == 1 and node.get("spatial", 1) and x.ndim >= 2:
        if scale.dtype != x.dtype or mean.dtype != x.dtype:
            wide = F.batch_norm(
                x.to(mean.dtype), mean, variance, scale.to(mean.dtype), bias.to(mean.dtype), False, 0, eps
            )
            return wide.to(x.dtype)
        return F.batch_norm(x, mean, variance, scale, bias, False, 0.0, eps)
    return (scale * (x - mean) / torch.sqrt(variance + eps) + bias).to(x.dtype)


@operator("InstanceNormalization")
def instance_normalization(node: NodeContext, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    # A group of one channel each: the same numbers, and no flag that means training.
    return torch.group_norm(x, x.shape[1], scale, bias, node["epsilon"])


@operator("GroupNormalization", since=18)
def group_normalization_by_group(node: NodeContext, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = node["num_groups"]
    normal = torch.group_norm(x, groups, None, None, node["epsilon"])
    repeats = x.shape[1] // groups
    return normal * _channel(x, scale.repeat_interleave(repeats)) + _channel(x, bias.repeat_interleave(repeats))


@operator("GroupNormalization", since=21)
def group_normalization(node: NodeContext, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return torch.group_norm(x, node["num_groups"], scale, bias, node["epsilon"])


@operator("LayerNormalization")
def layer_normalization(
    node: NodeContext, x: Tensor, scale: Tensor, bias: Tensor | None = None
) -> Tensor | tuple[Tensor, ...]:
    axis = node.axis(node["axis"], x.ndim)
    sizes = list(x.shape[axis:])
    eps = node["epsilon"]
    stash = torch_type(node["stash_type"], node.where)
    fits = list(scale.shape) == sizes and (bias is None or list(bias.shape) == sizes)
    if fits and stash is torch.float32 and not node.wants(1) and not node.wants(2):
        return F.layer_norm(x, sizes, scale, bias, eps)
    wide = x.to(stash)
    axes = list(range(axis, x.ndim))
    mean = torch.mean(wide, axes, keepdim=True)
    centred = wide - mean
    inverse = torch.rsqrt(torch.mean(centred * centred, axes, keepdim=True) + eps)
    y = (centred * inverse).to(x.dtype) * scale
    return (y if bias is None else y + bias), mean, inverse


@operator("RMSNormalization")
def rms_normalization(node: NodeContext, x: Tensor, scale: Tensor) -> Tensor:
    axis = node.axis(node["axis"], x.ndim)
    stash = torch_type(node["stash_type"], node.where)
    if stash is x.dtype and list(scale.shape) == list(x.shape[axis:]):
        return F.rms_norm(x, list(scale.shape), scale, node["epsilon"])
    wide = x.to(stash)
    mean = torch.mean(wide * wide, list(range(axis, x.ndim)), keepdim=True)
    return (wide * torch.rsqrt(mean + node["epsilon"])).to(x.dtype) * scale


@operator("LRN")
def local_response_normalization(node: NodeContext, x: Tensor) -> Tensor:
    size = node["size"]
    if size < 1:
        raise node.error("a window must be positive", got=size)
    before = (size - 1) // 2
    node.check_size([x.shape[0], x.shape[1] + size, *x.shape[2:]])
    flat = (x * x).reshape(x.shape[0], 1, x.shape[1], -1)
    mean = F.avg_pool2d(F.pad(flat, (0, 0, before, size - 1 - before)), (size, 1), 1)
    return x / (node["bias"] + node["alpha"] * mean.reshape(x.shape)) ** node["beta"]


@operator("MeanVarianceNormalization")
def mean_variance_normalization(node: NodeContext, x: Tensor) -> Tensor:
    axes: Any = node["axes"]
    if axes is None:
        axes = [0, 2, 3] if not node.get("across_channels", 0) else [0, 1, 2, 3]
    axes = node.axes(axes, x.ndim)
    centred = x - torch.mean(x, axes, keepdim=True)
    deviation = torch.sqrt(torch.mean(centred * centred, axes, keepdim=True))
    return centred / (deviation + 1e-9)


@operator("LpNormalization")
def lp_normalization(node: NodeContext, x: Tensor) -> Tensor:
    p = node["p"]
    if p not in (1, 2):
        raise node.error("a norm is unknown", got=f"p={p}", allowed="1 or 2")
    norm = torch.linalg.vector_norm(x, p, node.axis(node["axis"], x.ndim), keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)
