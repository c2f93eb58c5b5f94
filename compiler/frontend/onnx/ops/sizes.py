"""Shape arithmetic on Python numbers: what ONNX graphs compute with sizes, without tensors.

Each rule has the operator's meaning on :class:`..known.Known` values; NotImplemented leaves it to the tensor form.
"""

from __future__ import annotations

import math
import operator as op
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..dtypes import ONNX_TYPES, torch_type
from ..known import LIMIT, Known, product, rounded
from ..node import NodeContext
from ..registry import known, operator

_EXACT = frozenset({torch.bool, torch.int32, torch.int64, torch.float32, torch.float64})
"""Types that Python numbers compute with as torch does; others wrap or round at every step."""


def _made(array: np.ndarray | None, dtype: torch.dtype) -> Any:
    """Results rounded to their type; NotImplemented where the type's own arithmetic would wrap, or for too many."""
    if dtype not in _EXACT or array is None:
        return NotImplemented
    if not dtype.is_floating_point and dtype is not torch.bool:
        limits = torch.iinfo(dtype)
        if any(isinstance(item, int) and not limits.min <= item <= limits.max for item in array.flat):
            return NotImplemented
    result = np.empty(array.shape, dtype=object)
    result.reshape(-1)[:] = [rounded(item, dtype) for item in array.reshape(-1)]
    return Known(result, dtype)


def _map(function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray | None:
    """A function of elements, with broadcasting; None for more elements than are held as numbers."""
    broadcast = np.broadcast_arrays(*arrays)
    if broadcast[0].size > LIMIT:
        return None
    result = np.empty(broadcast[0].shape, dtype=object)
    result.reshape(-1)[:] = [function(*items) for items in zip(*(a.reshape(-1) for a in broadcast), strict=True)]
    return result


# Sizes of tensors ----------------------------------------------------------------------------------------------------


@operator("Shape", since=1)
def shape(node: NodeContext, data: torch.Tensor) -> Known:
    rank = data.ndim
    start, end = node.get("start", 0), node.get("end", rank)
    start, end = (min(max(item + rank if item < 0 else item, 0), rank) for item in (start, end))
    return Known.of(list(data.shape)[start:end])


@known("Shape")
def shape_of_known(node: NodeContext, data: Known | None) -> Any:
    return NotImplemented if data is None else shape(node, data.array)  # type: ignore[arg-type]


@operator("Size", since=1)
def size(node: NodeContext, data: torch.Tensor) -> Known:
    return Known.of(product(data.shape))


# Arithmetic ----------------------------------------------------------------------------------------------------------


def _quotient(dtype: torch.dtype) -> Callable[[Any, Any], Any]:
    if dtype.is_floating_point:
        return lambda a, b: math.nan if isinstance(b, (int, float)) and b == 0 else a / b

    def divide(a: Any, b: Any) -> Any:
        if isinstance(a, int) and isinstance(b, int):
            return -(-a // b) if (a < 0) != (b < 0) else a // b
        return a // b  # sizes are not negative

    return divide


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": op.add,
    "Sub": op.sub,
    "Mul": op.mul,
    "Max": torch.sym_max,
    "Min": torch.sym_min,
}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "Equal": op.eq,
    "Greater": op.gt,
    "GreaterOrEqual": op.ge,
    "Less": op.lt,
    "LessOrEqual": op.le,
    "And": lambda a, b: a and b,
    "Or": lambda a, b: a or b,
    "Xor": op.ne,
}


@known("Add", "Sub", "Mul", "Max", "Min")
def binary(node: NodeContext, *values: Known | None) -> Any:
    if any(value is None for value in values) or node.get("broadcast", 0):
        return NotImplemented
    result = values[0]
    for other in values[1:]:
        if result is NotImplemented:
            return result
        result = _made(_map(_BINARY[node.op], result.array, other.array), result.dtype)  # type: ignore[union-attr]
    return result


@known("Div")
def div(node: NodeContext, a: Known, b: Known) -> Any:
    if node.get("broadcast", 0):
        return NotImplemented
    if not a.dtype.is_floating_point and any(isinstance(item, int) and item == 0 for item in b.tolist()):
        raise node.input_error(1, "division by zero among sizes", got=b.tolist())
    return _made(_map(_quotient(a.dtype), a.array, b.array), a.dtype)


@known("Mod")
def mod(node: NodeContext, a: Known, b: Known) -> Any:
    if node["fmod"] or a.dtype.is_floating_point or any(isinstance(i, int) and i == 0 for i in b.tolist()):
        return NotImplemented
    return _made(_map(op.mod, a.array, b.array), a.dtype)


@known("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor")
def compare(node: NodeContext, a: Known, b: Known) -> Any:
    if node.get("broadcast", 0):
        return NotImplemented
    return _made(_map(_COMPARE[node.op], a.array, b.array), torch.bool)


@known("Where")
def where(node: NodeContext, condition: Known, a: Known, b: Known) -> Any:
    # A symbol's truth is decided for the traced sizes, and guarded.
    return _made(_map(lambda c, x, y: x if c else y, condition.array, a.array, b.array), a.dtype)


def _floor(value: Any) -> Any:
    return float(math.floor(value)) if isinstance(value, (int, float)) else torch.sym_float(math.floor(value))


def _ceil(value: Any) -> Any:
    return float(math.ceil(value)) if isinstance(value, (int, float)) else torch.sym_float(math.ceil(value))


_UNARY: dict[str, Callable[[Any], Any]] = {
    "Neg": op.neg,
    "Abs": abs,
    "Not": lambda a: not a,
    "Floor": _floor,
    "Ceil": _ceil,
    "Identity": lambda a: a,
}


@known("Neg", "Abs", "Not", "Floor", "Ceil", "Identity")
def unary(node: NodeContext, value: Known | None) -> Any:
    if value is None or (
        node.op in ("Floor", "Ceil") and not all(math.isfinite(i) for i in value.tolist() if isinstance(i, float))
    ):
        return NotImplemented
    return _made(_map(_UNARY[node.op], value.array), value.dtype)


@known("Clip")
def clip(node: NodeContext, value: Known | None, low: Known | None = None, high: Known | None = None) -> Any:
    if value is None:
        return NotImplemented
    least = low.item() if low is not None else node["min"]
    most = high.item() if high is not None else node["max"]
    array = value.array
    for limit, bound in ((least, torch.sym_max), (most, torch.sym_min)):
        if limit is not None and array is not None:
            array = _map(bound, array, Known.of(limit).array)
    return _made(array, value.dtype)


@known("Relu")
def relu(node: NodeContext, value: Known) -> Any:
    return _made(_map(torch.sym_max, value.array, Known.of(0).array), value.dtype)


@known("Pow")
def power(node: NodeContext, base: Known, exponent: Known) -> Any:
    # Whole powers only: of a symbol they are products.
    if not all(isinstance(item, (int, float)) and item in (1, 2, 3) for item in exponent.tolist()):
        return NotImplemented
    return _made(_map(lambda a, n: product([a] * int(n)), base.array, exponent.array), base.dtype)


@known("Sqrt")
def sqrt(node: NodeContext, value: Known) -> Any:
    if not value.is_concrete:
        return _made(_map(torch.sym_sqrt, value.array), value.dtype)  # type: ignore[attr-defined]
    return NotImplemented


@known("Cast")
def cast(node: NodeContext, value: Known) -> Any:
    if node["to"] not in ONNX_TYPES.values():
        return NotImplemented
    dtype = torch_type(node["to"], node.where)
    if dtype in (torch.int64, torch.int32, torch.float32, torch.float64, torch.bool):
        if value.is_concrete and (dtype is torch.int32 or not all(math.isfinite(item) for item in value.tolist())):
            return NotImplemented
        return _made(value.array, dtype)
    return NotImplemented


@known("ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin")
def reduce(node: NodeContext, value: Known, axes: Known | None = None) -> Any:
    given = node["axes"] if axes is None else axes.tolist()
    if not given and node.get("noop_with_empty_axes", 0):
        return value
    where = tuple(node.axes(given or None, value.array.ndim))
    if any(value.array.shape[axis] == 0 for axis in where):
        return NotImplemented
    ufunc = np.frompyfunc(
        {"ReduceProd": op.mul, "ReduceSum": op.add, "ReduceMax": torch.sym_max, "ReduceMin": torch.sym_min}[node.op],
        2,
        1,
    )
    result = value.array
    for axis in sorted(where, reverse=True):
        result = np.asarray(ufunc.reduce(result, axis=axis, keepdims=bool(node.get("keepdims", 1))), dtype=object)
    return _made(result, value.dtype)
