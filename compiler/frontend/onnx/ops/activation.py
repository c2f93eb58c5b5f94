"""Activations, and the normalised exponentials."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor


@operator("Relu")
def relu(node: NodeContext, x: Tensor) -> Tensor:
    return torch.relu(x)


@operator("Sigmoid")
def sigmoid(node: NodeContext, x: Tensor) -> Tensor:
    return torch.sigmoid(x)


@operator("Tanh")
def tanh(node: NodeContext, x: Tensor) -> Tensor:
    return torch.tanh(x)


@operator("LeakyRelu")
def leaky_relu(node: NodeContext, x: Tensor) -> Tensor:
    return F.leaky_relu(x, node["alpha"])


@operator("PRelu")
def prelu(node: NodeContext, x: Tensor, slope: Tensor) -> Tensor:
    if slope.numel() == 1 and x.dtype.is_floating_point:
        return F.prelu(x, slope.reshape(1))
    if node.opset < 7 and slope.ndim == 1 and x.ndim > 1:
        slope = slope.reshape(-1, *([1] * (x.ndim - 2)))
    # One slope a channel, as exporters write it: the form torch has an operator for.
    per_channel = x.ndim >= 2 and tuple(slope.shape) == (x.shape[1], *([1] * (x.ndim - 2)))
    if per_channel and x.dtype.is_floating_point:
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x < 0, x * slope, x)


@operator("Elu")
def elu(node: NodeContext, x: Tensor) -> Tensor:
    return F.elu(x, node["alpha"])


@operator("Selu")
def selu(node: NodeContext, x: Tensor) -> Tensor:
    # Opset 1 and 6 differ in the last digits of the defaults, and torch has a third pair: the attributes decide.
    alpha, gamma = node["alpha"], node["gamma"]
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(torch.clamp(x, max=0)))


@operator("Celu")
def celu(node: NodeContext, x: Tensor) -> Tensor:
    return F.celu(x, node["alpha"])


@operator("Gelu")
def gelu(node: NodeContext, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=node["approximate"])


@operator("Mish")
def mish(node: NodeContext, x: Tensor) -> Tensor:
    return F.mish(x)


@operator("Swish")
def swish(node: NodeContext, x: Tensor) -> Tensor:
    alpha = node["alpha"]
    return F.silu(x) if alpha == 1.0 else x * torch.sigmoid(alpha * x)


@operator("HardSigmoid")
def hard_sigmoid(node: NodeContext, x: Tensor) -> Tensor:
    alpha, beta = node["alpha"], node["beta"]
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5 and x.dtype.is_floating_point:
        return F.hardsigmoid(x)
    return torch.clamp(alpha * x + beta, 0, 1)


@operator("HardSwish")
def hard_swish(node: NodeContext, x: Tensor) -> Tensor:
    return F.hardswish(x)


@operator("Softplus")
def softplus(node: NodeContext, x: Tensor) -> Tensor:
    # torch's own softplus turns linear above a threshold; ONNX has none.
    return torch.clamp(x, min=0) + torch.log1p(torch.exp(-torch.abs(x)))


@operator("Softsign")
def softsign(node: NodeContext, x: Tensor) -> Tensor:
    return x / (1 + torch.abs(x))


@operator("ThresholdedRelu")
def thresholded_relu(node: NodeContext, x: Tensor) -> Tensor:
    return F.threshold(x, node["alpha"], 0.0)


@operator("Shrink")
def shrink(node: NodeContext, x: Tensor) -> Tensor:
    bias, lambd = node["bias"], node["lambd"]
    moved = torch.where(x > lambd, x - bias, torch.where(x < -lambd, x + bias, torch.zeros_like(x)))
    return moved.to(x.dtype)


def softmax(x: Tensor, axis: int) -> Tensor:
    """Softmax; in float16 rounded after every step, as ONNX's reference does, where torch rounds once."""
    if x.dtype is not torch.float16:
        return torch.softmax(x, axis)
    powers = torch.exp(x - torch.amax(x, axis, keepdim=True))
    return powers / torch.sum(powers, axis, keepdim=True)


@operator("Softmax", "LogSoftmax", "Hardmax", since=1)
def flattened(node: NodeContext, x: Tensor) -> Tensor:
    """Before opset 13: over everything from the axis on."""
    axis = node["axis"] + x.ndim if node["axis"] < 0 else node["axis"]
    if axis == x.ndim - 1:
        return _normalised(node, x, axis)
    return _normalised(node, x.flatten(axis), axis).reshape(x.shape)


@operator("Softmax", "LogSoftmax", "Hardmax", since=13)
def normalised(node: NodeContext, x: Tensor) -> Tensor:
    return _normalised(node, x, node.axis(node["axis"], x.ndim))


def _normalised(node: NodeContext, x: Tensor, axis: int) -> Tensor:
    if node.op == "Softmax":
        return softmax(x, axis)
    if node.op == "LogSoftmax":
        return torch.log_softmax(x, axis)
    largest = torch.argmax(x, axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, largest, 1)
