"""Quantization: Q and DQ nodes, and operators on quantized values.

Integer products are computed on centred values (zero point subtracted) as floats, exact up to 2**24. Constant weights
are centred once while the model is built, so that the compiler sees a constant matrix of small integers, and the scales
stay what they are: factors on the host.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from ..dtypes import FLOAT8, NARROW, ONNX_TYPES, torch_type, type_name
from ..node import NodeContext
from ..registry import operator
from .convolution import convolved
from .logic import converted

Tensor = torch.Tensor
_QUANTIZED = frozenset({torch.uint8, torch.int8, torch.uint16, torch.int16})


def _spread(node: NodeContext, parameter: Tensor, x: Tensor, position: int) -> Tensor:
    """A scale or zero point in a shape that broadcasts over ``x``: for all of it, an axis, or blocks along an axis."""
    if parameter.numel() == 1:
        return parameter.reshape(())
    axis = node.axis(node.get("axis", 1), x.ndim)
    size, block = x.shape[axis], node.get("block_size", 0)
    if block < 0:
        raise node.error("a block needs at least one element", got=block)
    if block or (parameter.ndim == x.ndim and x.ndim > 1):
        parts = parameter.shape[axis] if parameter.ndim == x.ndim else 0
        block = block or -(-size // max(parts, 1))
        others = all(parameter.shape[at] == x.shape[at] for at in range(x.ndim) if at != axis) if parts else False
        if not others or parts != -(-size // block):
            raise node.input_error(
                position,
                "the shape does not fit the blocks",
                got=list(parameter.shape),
                allowed=f"shape {list(x.shape)} with blocks of {block} along axis {axis}",
            )
        return parameter.repeat_interleave(block, axis).narrow(axis, 0, size)
    if parameter.ndim != 1 or parameter.shape[0] != size:
        raise node.input_error(
            position,
            "the shape does not fit the axis",
            got=list(parameter.shape),
            allowed=f"one element, or {size} of them, one for each along axis {axis}",
        )
    return parameter.reshape([-1 if at == axis else 1 for at in range(x.ndim)])


def _limits(dtype: torch.dtype, code: int) -> tuple[int, int]:
    if code in NARROW:
        return NARROW[code][1], NARROW[code][2]
    info = torch.iinfo(dtype)
    return info.min, info.max


def _quantized(node: NodeContext, ratio: Tensor, zero: Tensor | None, code: int) -> Tensor:
    """``saturate(round(ratio) + zero)`` in the ONNX type ``code``."""
    dtype = torch_type(code, node.where)
    if dtype in FLOAT8:
        return converted(node, ratio, code)
    if dtype not in _QUANTIZED:
        raise node.error("not a type to quantize to", got=type_name(code), allowed="integers of up to 16 bits, float8")
    value = torch.round(ratio.to(torch.float32) if ratio.dtype is not torch.float64 else ratio)
    if zero is not None:
        value = value + zero.to(value.dtype)
    value = torch.clamp(value, *_limits(dtype, code))
    return value.to(torch.int32).to(dtype)


@operator("QuantizeLinear", since=10)
def quantize_linear(node: NodeContext, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    narrow = node.narrow[2] if len(node.narrow) > 2 else 0
    given = narrow or (ONNX_TYPES[zero.dtype] if zero is not None else 0)
    code = node.get("output_dtype", 0) or given or ONNX_TYPES[torch.uint8]
    if given and code != given:
        raise node.error(
            "the output type differs from the zero point's", got=f"{type_name(code)} and {type_name(given)}"
        )
    precision = node.get("precision", 0)
    dtype = torch_type(precision, node.where) if precision else scale.dtype
    if dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        dtype = torch.float32
    ratio = x.to(dtype) / _spread(node, scale, x, 1).to(dtype)
    return _quantized(node, ratio, None if zero is None else _spread(node, zero, x, 2), code)


@operator("DequantizeLinear", since=10)
def dequantize_linear(node: NodeContext, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    value = x.to(torch.float32)
    if zero is not None and zero.dtype not in FLOAT8:
        value = value - _spread(node, zero, x, 2).to(torch.float32)
    wanted = node.get("output_dtype", 0)
    result = value * _spread(node, scale, x, 1).to(torch.float32)
    return result.to(torch_type(wanted, node.where) if wanted else scale.dtype)


@operator("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(node: NodeContext, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low = torch.clamp(x.amin(), max=0.0)
    high = torch.clamp(x.amax(), min=0.0)
    scale = (high - low) / 255
    safe = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = torch.clamp(torch.round(-low / safe), 0, 255)
    quantized = torch.clamp(torch.round(x / safe) + zero, 0, 255).to(torch.uint8)
    return quantized, scale, zero.to(torch.uint8)


def dynamically_quantized(x: Tensor) -> Tensor:
    """The reals that eight-bit codes of a whole tensor stand for, as onnxruntime's dynamic quantization takes them."""
    low, high = torch.clamp(x.amin(), max=0.0), torch.clamp(x.amax(), min=0.0)
    scale = (high - low) / 255
    safe = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = torch.clamp(torch.round(-low / safe), 0, 255)
    return (torch.clamp(torch.round(x / safe) + zero, 0, 255) - zero) * scale


# Products ------------------------------------------------------------------------------------------------------------


def _rows(parameter: Tensor, rank: int) -> Tensor:
    """A scale or zero point per row, so that it broadcasts over the rows of a matrix."""
    if parameter.numel() == 1:
        return parameter.reshape(())
    return parameter.reshape(-1, 1) if parameter.ndim == 1 and rank > 1 else parameter


def _columns(parameter: Tensor) -> Tensor:
    return parameter.reshape(()) if parameter.numel() == 1 else parameter


def _centred(values: Tensor, zero: Tensor | None, dtype: torch.dtype) -> Tensor:
    result = values.to(dtype)
    return result if zero is None else result - zero.to(dtype)


def _hold_matrix(at: int, zero_at: int) -> Callable[[NodeContext], None]:
    """While the model is built: the constant right-hand matrix centred, as torch's linear wants it."""

    def prepare(node: NodeContext) -> None:
        given = len(node.input_names) > zero_at and node.input_names[zero_at] != ""
        zero = node.constants[zero_at] if given else None
        weight = node.constants[at]
        if weight is None or weight.ndim != 2 or (given and zero is None):
            return
        centred = _centred(weight, None if zero is None else _columns(zero), torch.float32)
        node.replace(at, centred.t().contiguous(), f"centred_{node.input_names[zero_at] if given else ''}")
        node.state["linear"] = True

    return prepare


def _product(node: NodeContext, a: Tensor, a_zero: Tensor | None, b: Tensor, b_zero: Tensor | None) -> Tensor:
    """The product of centred integers, as whole-numbered floats."""
    if node.state.get("linear"):
        left = _centred(a, None if a_zero is None else _rows(a_zero, a.ndim), torch.float32)
        return F.linear(left, b)
    left = _centred(a, None if a_zero is None else _rows(a_zero, a.ndim), torch.float64)
    return torch.matmul(left, _centred(b, None if b_zero is None else _columns(b_zero), torch.float64))


@operator("MatMulInteger", since=10, prepare=_hold_matrix(1, 3), note="a constant matrix: exact up to sums of 2**24")
def matmul_integer(
    node: NodeContext, a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None
) -> Tensor:
    return torch.round(_product(node, a, a_zero, b, b_zero)).to(torch.int64).to(torch.int32)


@operator("QLinearMatMul", since=10, prepare=_hold_matrix(3, 5))
def qlinear_matmul(
    node: NodeContext,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
) -> Tensor:
    product = _product(node, a, a_zero, b, b_zero)
    factor = _rows(a_scale, a.ndim).to(torch.float32) * _columns(b_scale).to(torch.float32)
    factor = factor / _rows(y_scale, a.ndim).to(torch.float32)
    code = (node.narrow[7] if len(node.narrow) > 7 else 0) or ONNX_TYPES[y_zero.dtype]
    return _quantized(node, product * factor, _rows(y_zero, a.ndim), code)


def _per_channel(parameter: Tensor, rank: int) -> Tensor:
    if parameter.numel() == 1:
        return parameter.reshape(())
    return parameter.reshape(-1, *([1] * (rank - 1)))


def _hold_kernel(at: int, zero_at: int) -> Callable[[NodeContext], None]:
    """While the model is built: the constant kernel centred."""

    def prepare(node: NodeContext) -> None:
        given = len(node.input_names) > zero_at and node.input_names[zero_at] != ""
        zero = node.constants[zero_at] if given else None
        weight = node.constants[at]
        if weight is None or weight.ndim < 3 or (given and zero is None):
            return
        zeros = None if zero is None else _per_channel(zero, weight.ndim)
        centred = _centred(weight, zeros, torch.float32)
        node.replace(at, centred, f"centred_{node.input_names[zero_at] if given else ''}")
        node.state["centred"] = True

    return prepare


def _convolution(node: NodeContext, x: Tensor, x_zero: Tensor | None, w: Tensor, w_zero: Tensor | None) -> Tensor:
    if node.state.get("centred"):
        left = _centred(x, None if x_zero is None else x_zero.reshape(()), torch.float32)
        return convolved(node, left, w, None)
    left = _centred(x, None if x_zero is None else x_zero.reshape(()), torch.float64)
    kernel = _centred(w, None if w_zero is None else _per_channel(w_zero, w.ndim), torch.float64)
    return convolved(node, left, kernel, None)


@operator("ConvInteger", since=10, prepare=_hold_kernel(1, 3), note="a constant kernel: exact up to sums of 2**24")
def conv_integer(
    node: NodeContext, x: Tensor, w: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None
) -> Tensor:
    return torch.round(_convolution(node, x, x_zero, w, w_zero)).to(torch.int64).to(torch.int32)


@operator("QLinearConv", since=10, prepare=_hold_kernel(3, 5))
def qlinear_conv(
    node: NodeContext,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    total = _convolution(node, x, x_zero, w, w_zero)
    if bias is not None:
        total = total + bias.to(total.dtype).reshape(1, -1, *([1] * (x.ndim - 2)))
    factor = x_scale.reshape(()) * _per_channel(w_scale, w.ndim - 1) / y_scale.reshape(())
    return _quantized(node, total * factor, y_zero.reshape(()), ONNX_TYPES[y_zero.dtype])
