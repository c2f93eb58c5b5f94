"""Random numbers: drawn when the module runs by itself, never part of a compiled program or of a folded constant."""

from __future__ import annotations

import torch

from ..dtypes import torch_type
from ..node import NodeContext
from ..registry import operator
from .control import tracing

Tensor = torch.Tensor


def _generator(node: NodeContext, *values: Tensor) -> torch.Generator:
    """A generator seeded by the node's ``seed``, or from torch's own.

    Raises:
        CaptureError: the model is being traced: a program that draws could not be repeated.
    """
    if tracing(*values):
        raise node.error(
            "the operator draws random numbers, which a compiled program cannot do",
            allowed="random numbers given as inputs of the model",
            next_step="make its output an input of the model, or run the module by itself: to_module(model)(...)",
        )
    generator = torch.Generator()
    seed = node["seed"]
    if seed is None:
        generator.manual_seed(int(torch.randint(0, 2**62, ()).item()))
    else:
        # The attribute is a float: its 32 bits are the seed, so that different seeds differ.
        generator.manual_seed(int(torch.tensor(seed, dtype=torch.float32).view(torch.int32).item()) & 0xFFFFFFFF)
    return generator


def _dtype(node: NodeContext, like: Tensor | None = None) -> torch.dtype:
    code = node["dtype"]
    if code:
        return torch_type(code, node.where)
    return torch.float32 if like is None else like.dtype


def _drawn(node: NodeContext, shape: list[int], dtype: torch.dtype, *values: Tensor) -> Tensor:
    node.check_size(shape)
    generator = _generator(node, *values)
    if node.op.startswith("RandomNormal"):
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        return (drawn * node["scale"] + node["mean"]).to(dtype)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
    return (drawn * (node["high"] - node["low"]) + node["low"]).to(dtype)


@operator("RandomNormal", "RandomUniform", random=True, note="not in compiled programs")
def random(node: NodeContext) -> Tensor:
    return _drawn(node, node["shape"], _dtype(node))


@operator("RandomNormalLike", "RandomUniformLike", random=True, note="not in compiled programs")
def random_like(node: NodeContext, like: Tensor) -> Tensor:
    return _drawn(node, list(like.shape), _dtype(node, like), like)


@operator("Bernoulli", since=15, random=True, note="not in compiled programs")
def bernoulli(node: NodeContext, p: Tensor) -> Tensor:
    drawn = torch.rand(p.shape, generator=_generator(node, p), dtype=torch.float64)
    return (drawn < p.to(torch.float64)).to(_dtype(node, p))


@operator("Multinomial", since=7, random=True, note="not in compiled programs")
def multinomial(node: NodeContext, logits: Tensor) -> Tensor:
    count = node["sample_size"]
    if logits.ndim != 2 or count < 1:
        raise node.input_error(0, "samples are drawn from rows of a matrix", got=f"{list(logits.shape)}, {count}")
    node.check_size([logits.shape[0], count])
    weights = torch.softmax(logits.to(torch.float64), 1)
    drawn = torch.multinomial(weights, count, replacement=True, generator=_generator(node, logits))
    return drawn.to(torch_type(node["dtype"] or 6, node.where))
