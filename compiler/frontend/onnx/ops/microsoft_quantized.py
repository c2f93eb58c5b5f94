"""com.microsoft: products with packed weights of few bits, and operators on eight-bit values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from ..dtypes import ONNX_TYPES
from ..node import NodeContext
from ..registry import operator
from .microsoft import DOMAIN, defaults
from .microsoft_attention import attention_of_projected
from .pooling import average_pool
from .quantization import (
    _centred,
    _columns,
    _hold_matrix,
    _product,
    _quantized,
    dequantize_linear,
    quantize_linear,
)

Tensor = torch.Tensor

operator("QuantizeLinear", domain=DOMAIN)(quantize_linear)
operator("DequantizeLinear", domain=DOMAIN)(dequantize_linear)


# Weights of few bits -------------------------------------------------------------------------------------------------


def bits_of(packed: Tensor, bits: int) -> Tensor:
    """Values of 2, 4 or 8 bits packed into bytes, lowest bits first: (..., bytes) to (..., values), as int32."""
    shifts = torch.arange(0, 8, bits, dtype=torch.int32, device=packed.device)
    return ((packed.to(torch.int32).unsqueeze(-1) >> shifts) & (2**bits - 1)).flatten(-2)


def _dequantized(
    node: NodeContext, packed: Tensor, scales: Tensor, zeros: Tensor | None, groups: Tensor | None
) -> Tensor:
    """The weight (N, K) of a MatMulNBits node.

    Raises:
        CaptureError: bits that are not packed evenly.
        InputError: the packed weight, scales or zero points do not fit N, K and block_size.
    """
    bits, block, rows, columns = node.get("bits", 4), node.get("block_size", 0), node.get("N", 0), node.get("K", 0)
    if bits not in (2, 4, 8):
        raise node.error("weights of this width have no torch form", got=f"{bits} bits", allowed="2, 4 or 8")
    if min(block, rows, columns) < 1:
        raise node.error("N, K and block_size must be positive", got=f"{rows}, {columns}, {block}")
    node.check_size([rows, columns])
    blocks = -(-columns // block)
    if packed.numel() != rows * blocks * (block * bits // 8):
        got, allowed = list(packed.shape), f"[{rows}, {blocks}, {block * bits // 8}]"
        raise node.input_error(1, "the packed weight does not fit N, K and block_size", got=got, allowed=allowed)
    if scales.numel() != rows * blocks:
        raise node.input_error(2, "the scales do not fit", got=list(scales.shape), allowed=f"[{rows}, {blocks}]")
    values = bits_of(packed.reshape(rows, -1), bits).to(torch.float32)[:, : blocks * block]
    scale = scales.reshape(rows, blocks).to(torch.float32)
    if zeros is None:
        zero = torch.full((rows, blocks), float(2 ** (bits - 1)), device=packed.device)
    elif zeros.dtype is torch.uint8:
        zero = bits_of(zeros.reshape(rows, -1), bits).to(torch.float32)[:, :blocks]
    else:
        zero = zeros.reshape(rows, blocks).to(torch.float32)
    if groups is not None:
        index = groups.to(torch.int64)[:columns]
        return (values[:, :columns] - zero[:, index]) * scale[:, index]
    spread = (values.reshape(rows, blocks, block) - zero.unsqueeze(2)) * scale.unsqueeze(2)
    return spread.reshape(rows, -1)[:, :columns]


def _hold_bits(node: NodeContext) -> None:
    """While the model is built: the packed constant as the matrix it stands for."""
    constants = (*node.constants, None, None, None, None, None)[:5]
    given = [position < len(node.input_names) and node.input_names[position] != "" for position in range(5)]
    if any(given[position] and constants[position] is None for position in (1, 2, 3, 4)):
        return
    weight = _dequantized(node, constants[1], constants[2], constants[3], constants[4])  # type: ignore[arg-type]
    names = "_".join(name for name in node.input_names[2:5] if name)
    node.replace(1, weight.to(constants[2].dtype), f"of_{node.get('bits', 4)}_bits_{names}")  # type: ignore[union-attr]
    node.state["linear"] = True


@operator("MatMulNBits", domain=DOMAIN, prepare=_hold_bits, note="2, 4 or 8 bits")
def matmul_n_bits(
    node: NodeContext,
    x: Tensor,
    packed: Tensor,
    scales: Tensor,
    zeros: Tensor | None = None,
    groups: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    if node.state.get("linear"):
        return F.linear(x, packed, bias)
    return F.linear(x, _dequantized(node, packed, scales, zeros, groups).to(x.dtype), bias)


# Integer products ----------------------------------------------------------------------------------------------------


@operator("MatMulIntegerToFloat", domain=DOMAIN, prepare=_hold_matrix(1, 5))
def matmul_integer_to_float(
    node: NodeContext,
    a: Tensor,
    b: Tensor,
    a_scale: Tensor,
    b_scale: Tensor,
    a_zero: Tensor | None = None,
    b_zero: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    y = (_product(node, a, a_zero, b, b_zero) * (_columns(a_scale) * _columns(b_scale))).to(a_scale.dtype)
    return y if bias is None else y + bias


@operator("DynamicQuantizeMatMul", domain=DOMAIN, prepare=_hold_matrix(1, 3))
def dynamic_quantize_matmul(
    node: NodeContext,
    x: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    low, high = torch.clamp(x.amin(), max=0.0), torch.clamp(x.amax(), min=0.0)
    scale = (high - low) / 255
    safe = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = torch.clamp(torch.round(-low / safe), 0, 255)
    codes = torch.clamp(torch.round(x / safe) + zero, 0, 255)
    y = (_product(node, codes, zero, b, b_zero) * (scale * _columns(b_scale))).to(x.dtype)
    return y if bias is None else y + bias


def _hold_gemm_matrix(node: NodeContext) -> None:
    if not node.get("transB", 0):
        _hold_matrix(3, 5)(node)  # type: ignore[operator]


@operator("QGemm", domain=DOMAIN, prepare=_hold_gemm_matrix)
def qgemm(
    node: NodeContext,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    c: Tensor | None = None,
    y_scale: Tensor | None = None,
    y_zero: Tensor | None = None,
) -> Tensor:
    a = a.t() if node.get("transA", 0) else a
    if node.get("transB", 0) and not node.state.get("linear"):
        b = b.t()
    alpha = node.get("alpha", 1.0)
    y = _product(node, a, a_zero, b, b_zero) * (a_scale * _columns(b_scale) * alpha)
    if c is not None:
        y = y + c.to(y.dtype) * (a_scale * _columns(b_scale) * alpha)
    if y_scale is None or y_zero is None:
        return y.to(torch.float32)
    return _quantized(node, y / y_scale, y_zero, ONNX_TYPES[y_zero.dtype])


def _hold_quantized_projection(node: NodeContext) -> None:
    zero_at = 7
    _hold_matrix(1, zero_at)(node)  # type: ignore[operator]


@operator("QAttention", domain=DOMAIN, prepare=_hold_quantized_projection)
def qattention(
    node: NodeContext,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    x_scale: Tensor,
    w_scale: Tensor,
    mask: Tensor | None = None,
    x_zero: Tensor | None = None,
    w_zero: Tensor | None = None,
    past: Tensor | None = None,
) -> tuple[Any, ...]:
    projected = (_product(node, x, x_zero, weight, w_zero) * (x_scale * _columns(w_scale))).to(bias.dtype) + bias
    return attention_of_projected(node, projected, mask, past, None)


# Eight-bit elements --------------------------------------------------------------------------------------------------


def _real(x: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
    return _centred(x, zero, torch.float32) * scale


def _code(node: NodeContext, y: Tensor, scale: Tensor, zero: Tensor | None, like: Tensor) -> Tensor:
    return _quantized(node, y / scale, zero, ONNX_TYPES[like.dtype])


@operator("QLinearAdd", "QLinearMul", domain=DOMAIN)
def qlinear_binary(
    node: NodeContext,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor | None,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor | None,
    c_scale: Tensor,
    c_zero: Tensor | None = None,
) -> Tensor:
    left, right = _real(a, a_scale, a_zero), _real(b, b_scale, b_zero)
    return _code(node, left + right if node.op == "QLinearAdd" else left * right, c_scale, c_zero, a)


def _unary(function: Callable[[NodeContext, Tensor], Tensor], *names: str) -> None:
    def apply(
        node: NodeContext,
        x: Tensor,
        x_scale: Tensor,
        x_zero: Tensor | None,
        y_scale: Tensor,
        y_zero: Tensor | None = None,
    ) -> Tensor:
        return _code(node, function(node, _real(x, x_scale, x_zero)), y_scale, y_zero, x)

    operator(*names, domain=DOMAIN)(apply)


def _softmax(node: NodeContext, x: Tensor) -> Tensor:
    axis = node.axis(node.get("axis", -1), x.ndim)
    if node.get("opset", 13) >= 13:
        return torch.softmax(x, axis)
    return torch.softmax(x.flatten(axis), -1).reshape(x.shape)


def _global_pool(node: NodeContext, x: Tensor) -> Tensor:
    last = node.get("channels_last", 0)
    return x.mean(list(range(1, x.ndim - 1)) if last else list(range(2, x.ndim)), keepdim=True)


def _average(node: NodeContext, x: Tensor) -> Tensor:
    defaults(node, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0)
    if node.get("channels_last", 0):
        return average_pool(node, x.movedim(-1, 1)).movedim(1, -1)
    return average_pool(node, x)


_unary(lambda node, x: torch.sigmoid(x), "QLinearSigmoid")
_unary(lambda node, x: F.leaky_relu(x, node.get("alpha", 0.01)), "QLinearLeakyRelu")
_unary(_softmax, "QLinearSoftmax")
_unary(_global_pool, "QLinearGlobalAveragePool")
_unary(_average, "QLinearAveragePool")


@operator("QLinearConcat", domain=DOMAIN)
def qlinear_concat(node: NodeContext, y_scale: Tensor, y_zero: Tensor, *values: Tensor) -> Tensor:
    if len(values) % 3:
        raise node.error("each part comes with a scale and a zero point", got=f"{len(values)} inputs")
    parts = [_real(values[at], values[at + 1], values[at + 2]) for at in range(0, len(values), 3)]
    joined = torch.cat(parts, node.axis(node.get("axis", 0), parts[0].ndim))
    return _code(node, joined, y_scale, y_zero, values[0])
