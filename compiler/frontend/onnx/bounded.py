"""A guard around constant folding: no value is made that is absurdly larger than what it is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .node import MAX_ELEMENTS, NodeContext


class Bounded(TorchDispatchMode):
    """Checks the size of results that broadcasting, products and indexing make, before memory is asked for."""

    def __init__(self, node: NodeContext) -> None:
        super().__init__()
        self.node = node

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        shape = _shape(func, args)
        if shape is not None and math.prod(shape) > MAX_ELEMENTS:
            raise self.node.error(
                "a constant would be too large", got=f"shape {list(shape)}", allowed=f"{MAX_ELEMENTS} elements"
            )
        return func(*args, **(kwargs or {}))


def _shape(func: Any, args: Sequence[Any]) -> Sequence[int] | None:
    """The shape of an op's result where it may be larger than its inputs."""
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    name = func._overloadpacket.__name__
    if torch.Tag.pointwise in func.tags:
        try:
            return torch.broadcast_shapes(*(tensor.shape for tensor in tensors))
        except RuntimeError:
            return None  # the op itself says what is wrong
    if name in ("mm", "bmm") and len(tensors) == 2 and tensors[0].ndim >= 2 <= tensors[1].ndim:
        return (*tensors[0].shape[:-1], tensors[1].shape[-1])
    if name == "clone" and tensors:
        return tensors[0].shape
    if name == "index_select" and len(tensors) == 2 and tensors[0].ndim:
        x = tensors[0]
        return (x.numel() // max(x.shape[args[1]], 1), tensors[1].numel())
    if name == "index" and tensors and isinstance(args[1], (list, tuple)):
        count = max([part.numel() for part in args[1] if isinstance(part, torch.Tensor)], default=1)
        rest = [size for size, part in zip(tensors[0].shape, args[1], strict=False) if part is None]
        return (count, *rest, *tensors[0].shape[len(args[1]) :])
    return None
