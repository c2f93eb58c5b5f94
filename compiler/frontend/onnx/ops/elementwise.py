"""Arithmetic on elements, with numpy's broadcasting (ONNX's own broadcasting before opset 7)."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch

from ..dtypes import WIDE_UNSIGNED
from ..known import Known
from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor


def widened(function: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """Apply a function to integers that torch stores but does not compute with, by way of int64.

    Sums, differences, products and bit operations come out right modulo the type's range; comparisons and quotients
    for uint64 only below 2**63.
    """
    dtype = values[0].dtype
    if dtype not in WIDE_UNSIGNED:
        return function(*values)
    result = function(*(value.to(torch.int64) if value.dtype in WIDE_UNSIGNED else value for value in values))
    return result.to(dtype) if result.dtype is torch.int64 else result


def legacy(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    """The second operand in the shape that opsets before 7 broadcast it to: aligned at an axis."""
    if not node.get("broadcast", 0) or node.opset >= 7:
        return b
    axis = node["axis"]
    if axis is None or b.ndim == 0:
        return b
    axis = node.axis(axis, a.ndim)
    return b.reshape((*b.shape, *([1] * (a.ndim - axis - b.ndim))))


_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Log": torch.log,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,  # half to even, as ONNX wants
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
}


@operator(*_UNARY)
def unary(node: NodeContext, x: Tensor) -> Tensor:
    if x.dtype in WIDE_UNSIGNED and node.op in ("Abs", "Neg", "Sign"):
        return widened(_UNARY[node.op], x)
    return _UNARY[node.op](x)


def _divide(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype.is_floating_point or a.dtype.is_complex:
        return torch.div(a, b)
    return torch.div(a, b, rounding_mode="trunc")


_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": _divide,
}


@operator(*_BINARY)
def binary(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    return widened(_BINARY[node.op], a, legacy(node, a, b))


@operator("Mod")
def mod(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    if not node["fmod"] and a.dtype.is_floating_point and node.opset < 13:
        raise node.error("the remainder of floats needs fmod=1")
    return widened(torch.fmod if node["fmod"] else torch.remainder, a, b)


@operator("Pow", host=(1,))
def pow_(node: NodeContext, base: Tensor, exponent: Tensor | Known) -> Tensor:
    if isinstance(exponent, Known):
        if exponent.array.ndim == 0 and exponent.is_concrete:
            number = exponent.item()
            if isinstance(number, float) and number.is_integer() and abs(number) < 64:
                number = int(number)
            if base.dtype.is_floating_point or (isinstance(number, int) and number >= 0):
                return widened(lambda x: torch.pow(x, number), base)
        exponent = exponent.tensor(base.device)
    exponent = legacy(node, base, exponent)
    if base.dtype.is_floating_point:
        return torch.pow(base, exponent.to(base.dtype))
    if exponent.dtype.is_floating_point:
        return torch.pow(base.to(torch.float64), exponent.to(torch.float64)).to(base.dtype)
    if exponent.dtype != base.dtype:
        exponent = exponent.to(torch.int64)
        return torch.pow(base.to(torch.int64), exponent).to(base.dtype)
    return widened(torch.pow, base, exponent)


_VARIADIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Max": torch.maximum,
    "Min": torch.minimum,
    "Sum": torch.add,
    "Mean": torch.add,
}


@operator(*_VARIADIC)
def variadic(node: NodeContext, *values: Tensor) -> Tensor:
    # One operand passes as it is, without an op of its own.
    result = reduce(lambda a, b: widened(_VARIADIC[node.op], a, b), values)
    return result / len(values) if node.op == "Mean" else result


_SHIFTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "LEFT": torch.bitwise_left_shift,
    "RIGHT": torch.bitwise_right_shift,
}


@operator("BitShift")
def bit_shift(node: NodeContext, x: Tensor, bits: Tensor) -> Tensor:
    shift = _SHIFTS.get(node["direction"])
    if shift is None:
        raise node.error("a shift goes nowhere", got=node["direction"], allowed="LEFT or RIGHT")
    if x.dtype is torch.uint64 and node["direction"] == "RIGHT":
        # int64 would shift the sign in: clear what came from it.
        amount = bits.to(torch.int64)
        mask = torch.where(amount == 0, -1, torch.bitwise_left_shift(torch.ones_like(amount), 64 - amount) - 1)
        return (torch.bitwise_right_shift(x.to(torch.int64), amount) & mask).to(x.dtype)
    return widened(shift, x, bits)


@operator("Clip", since=1)
def clip_attributes(node: NodeContext, x: Tensor) -> Tensor:
    low, high = node["min"], node["max"]
    return torch.clamp(x, low, high) if low is not None or high is not None else x


@operator("Clip", since=11, host=(1, 2))
def clip(node: NodeContext, x: Tensor, low: Tensor | Known | None = None, high: Tensor | Known | None = None) -> Tensor:
    if all((isinstance(limit, Known) and limit.is_concrete) or limit is None for limit in (low, high)):
        numbers = [None if limit is None else node.number(limit, 1) for limit in (low, high)]
        if numbers == [None, None]:
            return x
        return widened(lambda value: _clamped(value, *numbers), x)
    result = x
    for limit, bound in ((low, torch.maximum), (high, torch.minimum)):
        if limit is not None:
            tensor = limit.tensor(x.device) if isinstance(limit, Known) else limit
            result = widened(bound, result, tensor.reshape(()).to(x.dtype))
    return result


def _clamped(x: Tensor, low: float | None, high: float | None) -> Tensor:
    if low is not None and high is not None and low > high:
        return torch.full_like(x, high)
    return torch.clamp(x, low, high)


@operator("CumSum", host=(1,))
def cum_sum(node: NodeContext, x: Tensor, axis: Tensor | Known) -> Tensor:
    return _cumulated(node, x, node.axis(int(node.number(axis, 1)), x.ndim), torch.cumsum, 0)


@operator("CumProd", host=(1,))
def cum_prod(node: NodeContext, x: Tensor, axis: Tensor | Known) -> Tensor:
    return _cumulated(node, x, node.axis(int(node.number(axis, 1)), x.ndim), torch.cumprod, 1)


def _cumulated(node: NodeContext, x: Tensor, axis: int, function: Callable[..., Tensor], neutral: float) -> Tensor:
    if node["reverse"]:
        x = x.flip(axis)
    if node["exclusive"]:
        first = torch.full_like(x.narrow(axis, 0, 1), neutral)
        x = torch.cat([first, x.narrow(axis, 0, x.shape[axis] - 1)], axis)
    result = widened(lambda value: function(value, axis, dtype=value.dtype), x)
    return result.flip(axis) if node["reverse"] else result
