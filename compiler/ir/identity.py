"""When two tensors are one: what a graph shares, and what a program must own.

A tensor's numbers follow from its memory, from how it walks through it (offset, strides), and from what torch does
lazily when it is read: conjugation and negation are bits of the tensor, not of the memory.
"""

from __future__ import annotations

import torch

Identity = tuple[object, ...]


def identity(tensor: torch.Tensor) -> Identity | None:
    """What two tensors share if and only if they are the same view of the same memory; None without elements."""
    if not tensor.numel():
        return None
    stride = tuple(step if size > 1 else 0 for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    lazy = tensor.is_conj(), tensor.is_neg()
    return tensor.device, tensor.dtype, tensor.data_ptr(), tuple(tensor.shape), stride, lazy


def same_memory(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors lie in one storage, as a weight and its transpose do."""
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr() and one.numel() > 0


class Owned:
    """Copies that nobody else can write to; views of one memory share one copy.

    A copy takes the memory that the tensor spans where it is no more than the tensor itself would take, so that an
    expanded constant stays as small as it was; else just the tensor.
    """

    def __init__(self) -> None:
        self._spans: dict[tuple[object, ...], torch.Tensor] = {}

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same numbers in memory of their own, plain: nothing left to be conjugated or negated."""
        tensor = tensor.detach()
        if not tensor.numel() or tensor.is_conj() or tensor.is_neg() or tensor.layout != torch.strided:
            return tensor.resolve_conj().resolve_neg().clone()
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        span = 1 + sum((size - 1) * step for size, step in steps)
        if span > tensor.numel():
            return tensor.clone(memory_format=torch.contiguous_format)
        key = tensor.device, tensor.dtype, tensor.data_ptr(), span
        if key not in self._spans:
            self._spans[key] = tensor.as_strided((span,), (1,)).clone()
        return self._spans[key].as_strided(tensor.shape, tensor.stride(), 0)
