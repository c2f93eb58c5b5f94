"""Fixed-point words of phases and attenuations, and the codes of drivers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lightloom.runtime import fixedpoint as fp
from lightloom.runtime.errors import InputError, TargetError

WORDS = st.integers(0, 2**32 - 1)
BITS = st.integers(1, 32)


def test_words_of_known_phases():
    phases = [0, math.pi, math.pi / 2, 2 * math.pi, -math.pi / 2, 6 * math.pi, -1e-12]
    assert fp.turns32(phases).tolist() == [0, 2**31, 2**30, 0, 3 * 2**30, 0, 0]
    assert fp.turns32(phases).dtype == np.uint32
    assert fp.radians(np.uint32(2**31)) == math.pi


@given(WORDS, st.integers(-8, 8))
def test_phase_words_round_trip_on_every_turn(word, turn):
    phase = fp.radians(np.uint32(word)) + 2 * math.pi * turn
    assert int(fp.turns32(phase)) == word


@given(WORDS, BITS)
def test_phase_codes_are_the_nearest_level_half_up(word, bits):
    step = Fraction(2**32, 2**bits)
    expected = math.floor(word / step + Fraction(1, 2)) % 2**bits
    code = fp.phase_codes(np.uint32(word), bits)
    assert int(code) == expected
    error = fp.realised_phase_rad(code, bits) - fp.radians(np.uint32(word))
    assert abs(math.remainder(error, 2 * math.pi)) <= math.pi / 2**bits + 1e-15


def test_phase_codes_by_hand():
    # 5 bits: step pi/16, worst error pi/32 rad
    words = fp.turns32(np.array([0.0, math.pi / 32 - 1e-6, math.pi / 32, 2 * math.pi - math.pi / 32, math.pi]))
    assert fp.phase_codes(words, 5).tolist() == [0, 0, 1, 0, 16]
    assert fp.realised_phase_rad(np.uint32(1), 5) == math.pi / 16
    assert int(fp.phase_codes(np.uint32(2**32 - 1), 1)) == 0
    assert fp.phase_codes(words, None).tolist() == words.tolist()
    assert fp.realised_phase_rad(words, None).tolist() == fp.radians(words).tolist()


@given(WORDS, BITS)
@example(word=4_294_967_293, bits=30)
def test_attenuator_codes_are_the_nearest_level(word, bits):
    exact = Fraction(word * (2**bits - 1), 2**32 - 1)
    code = int(fp.attenuator_codes(np.uint32(word), bits))
    assert code == round(exact)
    realised = float(fp.realised_attenuation(np.uint32(code), bits))
    assert 0 <= realised <= 1
    assert abs(realised - word / (2**32 - 1)) <= 0.5 / (2**bits - 1) + 1e-15


@given(WORDS)
def test_attenuation_words_round_trip(word):
    assert int(fp.attenuator32(fp.realised_attenuation(np.uint32(word), None))) == word


def test_attenuations_by_hand():
    assert fp.attenuator32([0.0, 1.0]).tolist() == [0, 2**32 - 1]
    assert fp.attenuator_codes(fp.attenuator32([0.0, 0.5, 1.0, 0.2]), 2).tolist() == [0, 2, 3, 1]
    assert fp.realised_attenuation(np.uint32([0, 3]), 2).tolist() == [0, 1]


@pytest.mark.parametrize("value", [1.0000001, -1e-9, math.nan, math.inf])
def test_impossible_attenuations(value):
    with pytest.raises(InputError, match="attenuator"):
        fp.attenuator32([0.5, value])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_impossible_phases(value):
    with pytest.raises(InputError, match="NaN or infinite"):
        fp.turns32([0.0, value])


@pytest.mark.parametrize("bits", [0, -1, 33])
@pytest.mark.parametrize(
    "function", [fp.phase_codes, fp.realised_phase_rad, fp.attenuator_codes, fp.realised_attenuation]
)
def test_impossible_resolutions(function, bits):
    with pytest.raises(TargetError, match=f"{bits} bits"):
        function(np.zeros(2, dtype=np.uint32), bits)


def test_empty_tables_stay_empty():
    empty = np.empty((0, 4))
    assert fp.turns32(empty).shape == fp.attenuator32(empty).shape == (0, 4)
