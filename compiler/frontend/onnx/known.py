"""Small values held as Python numbers: sizes, axes, pads, scales.

ONNX computes shapes with tensors (``Shape`` -> ``Gather`` -> ``Concat`` -> ``Reshape``). As tensors they would be
data-dependent while a model is traced; as Python numbers they are ints, or symbols where a dimension is symbolic, and
the batch stays symbolic through any shape arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

LIMIT = 1024
"""Elements up to which a value is also held as Python numbers."""

_KNOWABLE = frozenset({torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
                       torch.float16, torch.bfloat16, torch.float32, torch.float64})  # fmt: skip


class Known:
    """A small tensor whose elements are Python numbers or torch symbols.

    Attributes:
        array: Elements as a numpy array of Python objects, any rank.
        dtype: The torch type the tensor would have.
    """

    __slots__ = ("array", "dtype")

    def __init__(self, array: np.ndarray, dtype: torch.dtype) -> None:
        self.array = array
        self.dtype = dtype

    @classmethod
    def of(cls, values: object, dtype: torch.dtype = torch.int64) -> Known:
        """From a number or a flat sequence of numbers."""
        if isinstance(values, (list, tuple)):
            array = np.empty(len(values), dtype=object)
            array[:] = values
        else:
            array = np.empty((), dtype=object)
            array[()] = values
        return cls(array, dtype)

    @classmethod
    def from_tensor(cls, tensor: torch.Tensor) -> Known | None:
        """The value of a constant, or None where it is too large or of another type."""
        if tensor.dtype not in _KNOWABLE or tensor.numel() > LIMIT or tensor.is_meta:
            return None
        array = np.empty(tuple(tensor.shape), dtype=object)
        array.reshape(-1)[:] = tensor.detach().reshape(-1).tolist()
        return cls(array, tensor.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def is_concrete(self) -> bool:
        """Whether no element is a symbol."""
        return all(isinstance(item, (bool, int, float)) for item in self.array.flat)

    def tolist(self) -> list[Any]:
        """The elements, flat."""
        return list(self.array.flat)

    def item(self) -> Any:
        """The only element."""
        return self.array.reshape(-1)[0]

    def tensor(self, device: torch.device | None = None) -> torch.Tensor:
        """The value as a tensor; symbols stay symbolic under tracing."""
        items = self.tolist()
        if len(items) == 1:
            return torch.full(self.shape, items[0], dtype=self.dtype, device=device)
        if self.is_concrete:
            return literal(items, self.dtype, device).reshape(self.shape)
        parts = [torch.scalar_tensor(item, dtype=self.dtype, device=device) for item in items]
        return torch.stack(parts).reshape(self.shape)

    def __repr__(self) -> str:
        return f"Known({self.array.tolist()}, {self.dtype})"


def literal(values: Sequence[Any] | np.ndarray, dtype: torch.dtype, device: torch.device | None = None) -> torch.Tensor:
    """Numbers as a tensor that a trace takes for a constant (``torch.tensor`` would leave its own steps in it)."""
    array = np.asarray(values)
    if array.dtype == object or array.size == 0:
        return torch.tensor(list(values), dtype=dtype, device=device)
    return torch.from_numpy(np.ascontiguousarray(array)).to(dtype).to(device or "cpu")


Value = torch.Tensor | Known | list | None
"""What travels between operators: tensors, Python-held sizes, sequences (lists) and absent optionals."""


def rounded(value: Any, dtype: torch.dtype) -> Any:
    """A number as the type would store it; symbols stay as they are."""
    if dtype is torch.bool:
        return bool(value) if isinstance(value, (bool, int, float)) else value
    if dtype.is_floating_point:
        if not isinstance(value, (bool, int, float)):
            return torch.sym_float(value)
        if dtype is torch.float32 and math.isfinite(value):
            with np.errstate(over="ignore"):
                return float(np.float32(value))
        return float(value)
    if isinstance(value, float):
        return math.trunc(value) if math.isfinite(value) else 0
    return int(value) if isinstance(value, (bool, int)) else torch.sym_int(value)


def product(values: Sequence[Any]) -> Any:
    """Product of sizes, 1 for none."""
    result: Any = 1
    for value in values:
        result = result * value
    return result
