"""Sign encodings: what goes in comes out, within half a step."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightloom.runtime.errors import TargetError
from lightloom.runtime.optics.encoding import SIGNS, block_full_scale, encode, rails_of

numbers = st.floats(-1e6, 1e6, allow_subnormal=False, width=32)


def block(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def decode(codes, full_scale, sign, bits):
    """What codes stand for, written from the definition of the encodings."""
    fields = codes / (1 if bits is None else 2**bits - 1)
    scale = full_scale.unsqueeze(-1)
    if sign.startswith("differential"):
        return (fields[0] - fields[1]) * scale
    return fields[0] * scale if sign == "phase_sign" else (2 * fields[0] - 1) * scale


@given(values=st.lists(numbers, min_size=1, max_size=9), sign=st.sampled_from(SIGNS), bits=st.integers(1, 14))
def test_round_trip_is_within_half_a_step(values, sign, bits):
    x = block(values)
    scale = block_full_scale(x)
    codes, used = encode(x, scale, sign, bits)
    top = 2**bits - 1
    assert codes.shape == (rails_of(sign), len(values))
    assert torch.equal(codes, codes.round())
    assert codes.abs().max() <= top
    assert sign == "phase_sign" or codes.min() >= 0
    step = float(scale) / top * (2 if sign == "offset" else 1)
    assert (decode(codes, used, sign, bits) - x).abs().max() <= step / 2 * (1 + 1e-9)


@given(values=st.lists(numbers, min_size=1, max_size=9), sign=st.sampled_from(SIGNS))
def test_round_trip_without_converter(values, sign):
    x = block(values)
    codes, used = encode(x, block_full_scale(x), sign, None)
    assert (decode(codes, used, sign, None) - x).abs().max() <= 1e-15 * max(float(x.abs().max()), 1e-300) * 4


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("bits", [8, None])
def test_zero_block_is_dark(sign, bits):
    x = torch.zeros(2, 5)
    codes, scale = encode(x, block_full_scale(x), sign, bits)
    assert not codes.any()
    assert not scale.any()


def test_a_scale_too_small_to_divide_counts_as_zero():
    x = torch.full((1, 3), 1e-45)
    codes, scale = encode(x, block_full_scale(x), "differential", 8)
    assert not codes.any()
    assert float(scale[0]) == 0


def test_differential_rails_never_shine_together():
    codes, _ = encode(torch.randn(7, 5), torch.full((7,), 3.0), "differential", 6)
    assert not (codes[0] * codes[1]).any()


@pytest.mark.parametrize("sign", SIGNS)
def test_static_scale_clips(sign):
    x = block([5.0, -5.0, 0.5])
    for bits in (8, None):
        codes, scale = encode(x, torch.tensor(1.0, dtype=torch.float64), sign, bits)
        got = decode(codes, scale, sign, bits)
        torch.testing.assert_close(got[:2], block([1.0, -1.0]))


def test_rounding_is_half_to_even():
    codes, _ = encode(block([0.5, 1.5, 2.5, 3.0]), torch.tensor(3.0, dtype=torch.float64), "phase_sign", 2)
    assert codes[0].tolist() == [0, 2, 2, 3]


def test_unknown_encoding():
    with pytest.raises(TargetError, match=r"gray.*differential"):
        rails_of("gray")
