"""ai.onnx.preview.training: gradients inside a graph; one step of an optimizer, as a function of its state."""

from __future__ import annotations

from typing import Any

import torch

from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor
DOMAIN = "ai.onnx.preview.training"


def _groups(node: NodeContext, values: tuple[Tensor, ...], parts: int) -> list[tuple[Tensor, ...]]:
    """The values of each optimized tensor: first all tensors, then all gradients, and so on."""
    count, rest = divmod(len(values), parts)
    if rest or not count:
        raise node.error(f"the inputs are not {parts} for each tensor", got=len(values))
    return [values[at::count] for at in range(count)]


def _columns(rows: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(value for column in zip(*rows, strict=True) for value in column)


@operator("Adagrad", domain=DOMAIN)
def adagrad(node: NodeContext, rate: Tensor, count: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    step = rate / (1 + count * node["decay_factor"])
    rows = []
    for x, gradient, squares in _groups(node, values, 3):
        g = node["norm_coefficient"] * x + gradient
        total = squares + g * g
        rows.append(((x - step * g / (total.sqrt() + node["epsilon"])).to(x.dtype), total))
    return _columns(rows)


@operator("Adam", domain=DOMAIN)
def adam(node: NodeContext, rate: Tensor, count: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    alpha, beta = node["alpha"], node["beta"]
    corrected = rate * torch.sqrt(1 - beta ** count.to(torch.float32)) / (1 - alpha ** count.to(torch.float32))
    step = torch.where(count > 0, corrected, rate)
    rows = []
    for x, gradient, mean, squares in _groups(node, values, 4):
        g = node["norm_coefficient"] * x + gradient
        mean = alpha * mean + (1 - alpha) * g
        squares = beta * squares + (1 - beta) * g * g
        new = x - step * mean / (squares.sqrt() + node["epsilon"])
        rows.append((((1 - node["norm_coefficient_post"]) * new).to(x.dtype), mean, squares))
    return _columns(rows)


@operator("Momentum", domain=DOMAIN)
def momentum(node: NodeContext, rate: Tensor, count: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    alpha, mode = node["alpha"], node["mode"]
    if mode not in ("standard", "nesterov"):
        raise node.error("an unknown mode", got=mode, allowed="standard, nesterov")
    beta = torch.where(count > 0, node["beta"], 1.0)
    rows = []
    for x, gradient, velocity in _groups(node, values, 3):
        g = node["norm_coefficient"] * x + gradient
        velocity = alpha * velocity + beta * g
        move = g + alpha * velocity if mode == "nesterov" else velocity
        rows.append(((x - rate * move).to(x.dtype), velocity.to(x.dtype)))
    return _columns(rows)


@operator("Gradient", domain=DOMAIN, note="by torch.autograd; runs as a module only")
def gradient(node: NodeContext, *values: Any) -> tuple[torch.Tensor, ...]:
    count = len(node["xs"])
    if list(node.input_names[:count]) != list(node["xs"]):
        raise node.error("the values to derive by must be the first inputs", got=node["xs"])
    with torch.enable_grad():
        leaves = [value.detach().clone().requires_grad_() for value in values]
        y = node.graphs["gradient"](*leaves)[0]
        found = torch.autograd.grad(y.sum(), leaves[:count], allow_unused=True)
    return tuple(torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=False))
