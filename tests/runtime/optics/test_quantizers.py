"""Uniform quantizers."""

import numpy as np
import pytest
import torch

from lightloom.runtime.optics.quantizers import (
    converter_codes,
    dequantize_uniform,
    quantize_uniform,
    signed_levels,
    unsigned_levels,
)


def test_half_goes_to_even_in_every_library():
    values = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]
    expected = [-2, -2, 0, 0, 2, 2]
    assert [quantize_uniform(v, 1) for v in values] == expected
    np.testing.assert_array_equal(quantize_uniform(np.array(values), 1), expected)
    assert quantize_uniform(torch.tensor(values), 1).tolist() == expected


def test_dequantize_inverts():
    codes = np.arange(-127, 128)
    np.testing.assert_array_equal(quantize_uniform(dequantize_uniform(codes, 127.0), 127), codes)


def test_levels():
    assert [unsigned_levels(b) for b in (1, 8, 24)] == [1, 255, 2**24 - 1]
    assert [signed_levels(b) for b in (1, 2, 8)] == [1, 1, 127]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_converter_clips_and_reads_zero_where_it_is_dead(dtype):
    value = torch.tensor([0.5, -9.0, 9.0, 0.26, 3.0], dtype=dtype)
    step = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.0], dtype=dtype)
    codes = converter_codes(value, step, -7, 7)
    assert codes.tolist() == [5, -7, 7, 3, 0]
    assert codes.dtype == dtype
