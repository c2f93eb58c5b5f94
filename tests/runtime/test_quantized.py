"""The quantized ops give, bit for bit, what the libraries give that they are named after."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.ao.quantization.fx import _decomposed  # registers the ops  # noqa: F401

from lightloom.runtime.errors import LightloomError
from lightloom.runtime.hostops import is_allowed, resolve
from lightloom.runtime.quantized import QUANTIZED

torch.manual_seed(5)
X = torch.randn(6, 8) * 3
SCALES, ZEROS = torch.rand(6) * 0.05 + 0.01, torch.arange(6) - 3
TOKENS = torch.rand(6, 1) * 0.05 + 0.01
CODES = torch.randint(-128, 128, (6, 8), dtype=torch.int8)
INT8 = (-128, 127, torch.int8)

CASES: dict[str, tuple[object, ...]] = {
    "quantize_per_tensor.default": (X, 0.0213, 3, *INT8),
    "quantize_per_tensor.tensor": (X, torch.tensor(0.0213), torch.tensor(-7), *INT8),
    "dequantize_per_tensor.default": (CODES, 0.0213, 3, *INT8),
    "dequantize_per_tensor.tensor": (CODES, torch.tensor(0.0213), torch.tensor(3), *INT8),
    "quantize_per_channel.default": (X, SCALES, ZEROS, 0, *INT8),
    "dequantize_per_channel.default": (CODES, SCALES, ZEROS, 0, *INT8),
    "quantize_per_token.default": (X, TOKENS, torch.zeros(6, 1), *INT8),
    "dequantize_per_token.default": (CODES, TOKENS, torch.zeros(6, 1), *INT8, torch.float32),
    "choose_qparams_per_token.default": (X, torch.int8),
    "dequantize_per_channel_group.default": (CODES, SCALES.repeat(2).reshape(6, 2), None, *INT8, 4, torch.float32),
}


@pytest.mark.parametrize("name", CASES)
def test_as_quantized_decomposed(name: str) -> None:
    packet, overload = name.split(".")
    theirs = getattr(getattr(torch.ops.quantized_decomposed, packet), overload)(*CASES[name])
    ours = resolve(f"quantized_decomposed.{name}")(*CASES[name])
    for got, want in zip(*((value if isinstance(value, tuple) else (value,)) for value in (ours, theirs)), strict=True):
        assert got.dtype == want.dtype
        torch.testing.assert_close(got, want, rtol=0, atol=0)


def test_channels_along_the_last_axis() -> None:
    scales, zeros = torch.rand(8) + 0.1, torch.arange(8)
    codes = resolve("quantized_decomposed.quantize_per_channel.default")(X, scales, zeros, 1, *INT8)
    want = torch.ops.quantized_decomposed.quantize_per_channel(X, scales, zeros, 1, *INT8)
    assert torch.equal(codes, want)


def test_a_dtype_may_be_asked_for() -> None:
    wide = resolve("quantized_decomposed.dequantize_per_tensor.default")(CODES, 0.1, 2, *INT8, out_dtype=torch.float64)
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide, (CODES.double() - 2) * 0.1)


AFFINE: dict[str, Callable[[], tuple[object, ...]]] = {
    "by row": lambda: ([1, 8], (6,)),
    "by block": lambda: ([2, 4], (3, 2)),
    "by element of a row": lambda: ([6, 1], (8,)),
    "all of it": lambda: ([6, 8], ()),
}


@pytest.mark.parametrize("mapping", ["SYMMETRIC", "ASYMMETRIC", "SYMMETRIC_NO_CLIPPING_ERR"])
@pytest.mark.parametrize("name", AFFINE)
def test_blocks_keep_values_within_half_a_step(name: str, mapping: str) -> None:
    """A block's scale is the smallest that its values fit: they come back to within half a step, or one at the edge."""
    block, shape = AFFINE[name]()
    scale, zero = resolve("torchao.choose_qparams_affine.default")(X, mapping, block, torch.int8, -128, 127)
    assert tuple(scale.shape) == tuple(zero.shape) == shape
    codes = resolve("torchao.quantize_affine.default")(X, block, scale, zero, *INT8[2:], *INT8[:2])
    back = resolve("torchao.dequantize_affine.default")(codes, block, scale, zero, *INT8[2:], *INT8[:2])
    rows, columns = block
    split = X.reshape(6 // rows, rows, 8 // columns, columns)
    steps = scale.reshape(6 // rows, 1, 8 // columns, 1).expand_as(split).reshape(6, 8)
    assert bool(((back - X).abs() <= 1.01 * steps).all())
    assert float(((back - X).abs() <= 0.501 * steps).float().mean()) > 0.9
    widest = split.abs().amax((1, 3)) / steps.reshape(split.shape).amax((1, 3))
    assert float(widest.min()) > 60


def test_scales_of_a_vector_are_for_int8() -> None:
    with pytest.raises(LightloomError, match="int8"):
        resolve("quantized_decomposed.choose_qparams_per_token.default")(X, torch.int16)
    with pytest.raises(LightloomError, match="unknown way to choose scales"):
        resolve("torchao.choose_qparams_affine.default")(X, "ODD", [1, 8], torch.int8, -128, 127)


def test_only_listed_ops_of_the_libraries_are_allowed() -> None:
    assert all(is_allowed(name) for name in QUANTIZED)
    assert not is_allowed("quantized_decomposed.convert_element_type.no_fuse")
    assert not is_allowed("torchao.quantize_affine")
