"""Quantize and dequantize: the ops of ``quantized_decomposed`` and ``torchao``, in plain functional torch.

Both libraries register their ops when imported; a program runs without either. The arithmetic is theirs, operation
by operation, so that integer codes come out the same: ``q = clamp(round(x / scale) + zero, low, high)``, with the
division a multiplication by ``1 / scale``, and ``x = scale * (q - zero)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import LightloomError, complaint

_LOW_PRECISION = (torch.float16, torch.bfloat16)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype in _LOW_PRECISION else x


def quantize_per_tensor(x: Tensor, scale: Any, zero: Any, low: Any, high: Any, dtype: torch.dtype) -> Tensor:
    """One scale and zero point for all of ``x``; integers of ``dtype`` between ``low`` and ``high``."""
    codes = torch.round(_widened(x) * (1.0 / _number(scale))) + _number(zero)
    return torch.clamp(codes, _number(low), _number(high)).to(dtype)


def dequantize_per_tensor(
    codes: Tensor,
    scale: Any,
    zero: Any,
    low: Any,
    high: Any,
    dtype: torch.dtype,
    *,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """What the codes stand for, in ``out_dtype`` (float32 by default)."""
    del low, high, dtype
    return (codes.to(out_dtype or torch.float32) - _number(zero)) * _number(scale)


def _along(values: Tensor, rank: int, axis: int) -> Tensor:
    """A vector shaped to broadcast along one axis."""
    return values.reshape([-1 if place == axis % rank else 1 for place in range(rank)])


def quantize_per_channel(
    x: Tensor, scales: Tensor, zeros: Tensor, axis: int, low: int, high: int, dtype: torch.dtype
) -> Tensor:
    """A scale and zero point for each index along ``axis``."""
    scales, zeros = _along(scales, x.ndim, axis), _along(zeros, x.ndim, axis)
    return torch.clamp(torch.round(_widened(x) * (1.0 / scales)) + zeros, low, high).to(dtype)


def dequantize_per_channel(
    codes: Tensor,
    scales: Tensor,
    zeros: Tensor | None,
    axis: int,
    low: int,
    high: int,
    dtype: torch.dtype,
    *,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """What the codes stand for, in ``out_dtype`` (float32 by default)."""
    del low, high, dtype
    # wide integers: in the codes' own dtype, code - zero could wrap around
    wide = codes.long() if zeros is None else codes.long() - _along(zeros, codes.ndim, axis)
    return (wide * _along(scales, codes.ndim, axis)).to(out_dtype or torch.float32)


def quantize_per_token(x: Tensor, scales: Tensor, zeros: Tensor, low: int, high: int, dtype: torch.dtype) -> Tensor:
    """A scale and zero point for each vector along the last axis."""
    return x.mul(1.0 / scales).add(zeros).round().clamp(low, high).to(dtype)


def dequantize_per_token(
    codes: Tensor, scales: Tensor, zeros: Tensor, low: int, high: int, dtype: torch.dtype, output_dtype: torch.dtype
) -> Tensor:
    """What the codes stand for, in ``output_dtype``."""
    del low, high, dtype
    return ((codes.to(scales.dtype) - zeros) * scales).to(output_dtype)


def choose_qparams_per_token(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Symmetric int8 scales of each vector along the last axis, and zero points of 0."""
    if dtype != torch.int8:
        raise LightloomError(complaint("quantization of a vector with scales of its own", got=dtype, allowed="int8"))
    scales = _widened(x).abs().amax(dim=-1, keepdim=True).clamp(min=1e-5).div(127)
    return scales, torch.zeros_like(scales)


def dequantize_per_channel_group(
    codes: Tensor,
    scales: Tensor,
    zeros: Tensor | None,
    low: int,
    high: int,
    dtype: torch.dtype,
    group_size: int = 128,
    output_dtype: torch.dtype = torch.float32,
) -> Tensor:
    """A scale and zero point for each ``group_size`` weights of a row (rows, columns)."""
    del low, high, dtype
    grouped = codes.reshape(-1, min(group_size, codes.shape[-1]))
    wide = grouped.to(scales.dtype) - (0 if zeros is None else zeros.reshape(-1, 1))
    return (wide * scales.reshape(-1, 1)).reshape(codes.shape).to(output_dtype)


def _blocks(shape: Sequence[int], block: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """The shape with every axis split into (blocks, block), the axes inside blocks, and the shape of one value each."""
    split = [size for whole, part in zip(shape, block, strict=True) for size in (whole // part, part)]
    inside = list(range(1, len(split), 2))
    return split, inside, [1 if axis % 2 else size for axis, size in enumerate(split)]


def quantize_affine(
    x: Tensor,
    block_size: Sequence[int],
    scale: Tensor,
    zero_point: Tensor | None,
    output_dtype: torch.dtype,
    quant_min: float,
    quant_max: float,
) -> Tensor:
    """A scale and zero point for each block of ``block_size``."""
    split, _, one = _blocks(x.shape, block_size)
    zeros = zero_point.reshape(one) if zero_point is not None and zero_point.numel() else 0
    codes = torch.round(x.reshape(split) * (1.0 / scale.reshape(one))) + zeros
    return torch.clamp(codes, quant_min, quant_max).reshape(x.shape).to(output_dtype)


def dequantize_affine(
    codes: Tensor,
    block_size: Sequence[int],
    scale: Tensor,
    zero_point: Tensor | None,
    input_dtype: torch.dtype,
    quant_min: float | None = None,
    quant_max: float | None = None,
    output_dtype: torch.dtype = torch.float32,
) -> Tensor:
    """What the codes stand for, in ``output_dtype``."""
    del input_dtype, quant_min, quant_max
    split, _, one = _blocks(codes.shape, block_size)
    values = codes.reshape(split).to(output_dtype)
    if zero_point is not None and zero_point.numel():
        values = values - zero_point.reshape(one).to(output_dtype)
    return (values * scale.reshape(one)).reshape(codes.shape).to(output_dtype)


def choose_qparams_affine(
    x: Tensor,
    mapping_type: str,
    block_size: Sequence[int],
    target_dtype: torch.dtype,
    quant_min: float,
    quant_max: float,
    eps: float | None = None,
    scale_dtype: torch.dtype | None = None,
    zero_point_dtype: torch.dtype | None = None,
    keepdim: bool = False,
) -> tuple[Tensor, Tensor]:
    """The scales and zero points of each block that its smallest and largest value ask for."""
    del target_dtype
    kept = [
        size // part for size, part in zip(x.shape, block_size, strict=True) if keepdim or part == 1 or part != size
    ]
    split, inside, _ = _blocks(x.shape, block_size)
    x = x.reshape(split)
    lowest, highest = torch.clamp(x.amin(inside), max=0), torch.clamp(x.amax(inside), min=0)
    eps = torch.finfo(x.dtype).smallest_normal if eps is None else eps
    span = float(quant_max - quant_min)
    if mapping_type == "ASYMMETRIC":
        scale = torch.clamp((highest - lowest) / span, min=eps)
        zero = torch.clamp(quant_min - torch.round(lowest / scale), quant_min, quant_max)
    elif mapping_type in ("SYMMETRIC", "SYMMETRIC_NO_CLIPPING_ERR"):
        if mapping_type == "SYMMETRIC":
            scale = torch.maximum(-lowest, highest) / (span / 2)
        else:
            scale = torch.maximum(lowest / float(quant_min), highest / float(quant_max))
        zero = torch.full_like(scale, int((quant_max + quant_min + 1) / 2))
        scale = torch.clamp(scale, min=eps)
    else:
        raise LightloomError(
            complaint("unknown way to choose scales", got=mapping_type, allowed="ASYMMETRIC, SYMMETRIC")
        )
    return scale.reshape(kept).to(scale_dtype or x.dtype), zero.reshape(kept).to(zero_point_dtype or torch.int32)


_PER_TENSOR = ("default", "tensor", "tensor2")
_LIBRARY = "quantized_decomposed"

QUANTIZE: dict[str, Callable[..., Any]] = {
    **{f"{_LIBRARY}.quantize_per_tensor.{overload}": quantize_per_tensor for overload in _PER_TENSOR},
    f"{_LIBRARY}.quantize_per_channel.default": quantize_per_channel,
    f"{_LIBRARY}.quantize_per_token.default": quantize_per_token,
    "torchao.quantize_affine.default": quantize_affine,
}
"""Ops that make integers of reals."""

DEQUANTIZE: dict[str, Callable[..., Any]] = {
    **{f"{_LIBRARY}.dequantize_per_tensor.{overload}": dequantize_per_tensor for overload in _PER_TENSOR},
    f"{_LIBRARY}.dequantize_per_channel.default": dequantize_per_channel,
    f"{_LIBRARY}.dequantize_per_token.default": dequantize_per_token,
    f"{_LIBRARY}.dequantize_per_channel_group.default": dequantize_per_channel_group,
    "torchao.dequantize_affine.default": dequantize_affine,
}
"""Ops that make reals of integers."""

QUANTIZED: dict[str, Callable[..., Any]] = {
    **QUANTIZE,
    **DEQUANTIZE,
    f"{_LIBRARY}.choose_qparams_per_token.default": choose_qparams_per_token,
    "torchao.choose_qparams_affine.default": choose_qparams_affine,
}
"""Every op of the two libraries that a host step may name."""
