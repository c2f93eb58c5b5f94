"""Comparisons, booleans, bits, choices and casts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..dtypes import FLOAT8, NARROW, ONNX_TYPES, WIDE_UNSIGNED, torch_type
from ..node import NodeContext
from ..registry import operator
from .elementwise import legacy, widened

Tensor = torch.Tensor

_COMPARE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
}
_LOGIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}
_BITS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
}


def _biased(value: Tensor) -> Tensor:
    """uint64 as int64 in the same order."""
    return value.view(torch.int64) ^ torch.iinfo(torch.int64).min


@operator(*_COMPARE)
def compare(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    b = legacy(node, a, b)
    if a.dtype is torch.uint64:
        a, b = _biased(a), _biased(b)
    return widened(_COMPARE[node.op], a, b)


@operator(*_LOGIC)
def logic(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    return _LOGIC[node.op](a, legacy(node, a, b))


@operator("Not")
def not_(node: NodeContext, x: Tensor) -> Tensor:
    return torch.logical_not(x)


@operator(*_BITS)
def bits(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    return widened(_BITS[node.op], a, b)


@operator("BitwiseNot")
def bitwise_not(node: NodeContext, x: Tensor) -> Tensor:
    return widened(torch.bitwise_not, x)


@operator("IsNaN")
def is_nan(node: NodeContext, x: Tensor) -> Tensor:
    return torch.isnan(x.float() if x.dtype in FLOAT8 else x)


@operator("IsInf")
def is_inf(node: NodeContext, x: Tensor) -> Tensor:
    x = x.float() if x.dtype in FLOAT8 else x
    result = torch.isinf(x)
    if not node["detect_negative"]:
        result = result & (x > 0)
    if not node["detect_positive"]:
        result = result & (x < 0)
    return result


@operator("Where")
def where(node: NodeContext, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition, a, b)


_NO_INFINITY = (torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)


def converted(node: NodeContext, x: Tensor, code: int) -> Tensor:
    """Elements as another ONNX type, rounded and saturated as Cast wants it.

    Floats to integers cut the fraction off, integers wrap. To float8, ``saturate`` decides what becomes of what is
    too large: the largest finite value, or infinity (NaN in types that have none).
    """
    dtype = torch_type(code, node.where)
    if code in NARROW:
        return _narrow(x, *NARROW[code]).to(dtype)
    if dtype is torch.float8_e8m0fnu:
        return _power_of_two(node, x)
    if dtype in FLOAT8:
        x = x.to(torch.float32)
        if node.get("saturate", 1):
            limit = torch.finfo(dtype).max
            x = torch.clamp(x, -limit, limit)
        elif dtype is torch.float8_e4m3fn:
            # Some versions of torch saturate by themselves: what rounds beyond the largest value is NaN here.
            x = torch.where(torch.abs(x) > 464, math.nan, x)
        return x.to(dtype)
    if dtype is torch.bool:
        return (x.float() if x.dtype in FLOAT8 else x) != 0
    if x.dtype in FLOAT8:
        x = x.to(torch.float32)
    if x.dtype.is_floating_point and not dtype.is_floating_point and not dtype.is_complex:
        # By way of int64, so that what does not fit wraps alike on every machine.
        return x.to(torch.int64).to(dtype)
    return x.to(dtype)


def _narrow(x: Tensor, bits: int, low: int, high: int) -> Tensor:
    if x.dtype in FLOAT8:
        x = x.to(torch.float32)
    if x.dtype.is_floating_point:
        x = torch.round(x)
    wrapped = x.to(torch.int64) & (2**bits - 1)
    return torch.where(wrapped > high, wrapped - 2**bits, wrapped)


def _power_of_two(node: NodeContext, x: Tensor) -> Tensor:
    """float8e8m0: the exponent alone; ``round_mode`` up, down or nearest."""
    x = x.to(torch.float32)
    raw = x.contiguous().view(torch.int32)
    exponent = (raw >> 23) & 255
    fraction = raw & 0x7FFFFF
    mode = node.get("round_mode", "up")
    if mode == "up":
        step = (fraction > 0) & ((exponent > 0) | (fraction > 0x400000))
    elif mode == "nearest":
        step = (fraction > 0x400000) | ((fraction == 0x400000) & (exponent > 0))
    elif mode == "down":
        step = torch.zeros_like(fraction, dtype=torch.bool)
    else:
        raise node.error("a rounding mode is unknown", got=mode, allowed="up, down, nearest")
    exponent = torch.clamp(exponent + step.to(torch.int32), max=254 if node.get("saturate", 1) else 255)
    exponent = torch.where(torch.isnan(x), 255, exponent)
    return exponent.to(torch.uint8).view(torch.float8_e8m0fnu)


@operator("Cast")
def cast(node: NodeContext, x: Tensor) -> Tensor:
    to: Any = node["to"]
    if isinstance(to, str):  # opset 1 names the type
        from onnx import TensorProto

        to = TensorProto.DataType.Value(to)
    return converted(node, x, to)


@operator("CastLike")
def cast_like(node: NodeContext, x: Tensor, like: Tensor) -> Tensor:
    return converted(node, x, node.narrow[1] or ONNX_TYPES[like.dtype])


@operator("BitCast")
def bit_cast(node: NodeContext, x: Tensor) -> Tensor:
    dtype = torch_type(node["to"], node.where)
    if dtype.itemsize != x.dtype.itemsize:
        raise node.input_error(0, "a bit cast keeps the size", got=x.dtype, allowed=f"types as wide as {dtype}")
    if x.dtype in WIDE_UNSIGNED or dtype in WIDE_UNSIGNED:
        return x.contiguous().view(dtype)
    return x.view(dtype)
