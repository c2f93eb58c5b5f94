"""The vectorised cosine and sine against numpy's."""

import numpy as np
import pytest

from lightloom.runtime.slicing._trig import cos_sin


@pytest.mark.parametrize("scale", [1e-300, 1.0, 10.0, 1e4, 1e8])
def test_equals_numpy_to_an_ulp(scale):
    angles = np.random.default_rng(0).uniform(-scale, scale, 20_000)
    cos, sin = np.empty_like(angles), np.empty_like(angles)
    cos_sin(angles, cos, sin)
    np.testing.assert_allclose(cos, np.cos(angles), rtol=0, atol=3e-16)
    np.testing.assert_allclose(sin, np.sin(angles), rtol=0, atol=3e-16)


def test_quadrants_and_what_is_not_finite():
    angles = np.array([0, 0.5, 1, 1.5, -0.5, -1, np.nan, np.inf]) * np.pi
    cos, sin = np.empty_like(angles), np.empty_like(angles)
    cos_sin(angles, cos, sin)
    np.testing.assert_allclose(cos, [1, 0, -1, 0, 0, -1, np.nan, np.nan], atol=2e-16)
    np.testing.assert_allclose(sin, [0, 1, 0, -1, -1, 0, np.nan, np.nan], atol=2e-16)
