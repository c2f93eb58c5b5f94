"""The inner loops of the nulling kernels."""

import numpy as np
from numba import njit

from lightloom.compiler.programming._rotation import LANES, double_angle, rotate


def test_double_angle_is_twice_atan2():
    angle = np.concatenate((np.linspace(0, np.pi / 2, 9973), 10.0 ** -np.arange(1, 300, 7.0)))
    s, c = np.sin(angle), np.abs(np.cos(angle))
    found = np.array([_angle(*pair) for pair in zip(s, c, strict=True)])
    np.testing.assert_allclose(found, 2 * np.arctan2(s, c), rtol=5e-16, atol=0)
    assert _angle(0.0, 1.0) == 0.0
    assert _angle(1.0, 0.0) == np.pi
    assert found.max() <= np.pi


def test_rotate_turns_pairs_and_leaves_the_rest():
    rng = np.random.default_rng(0)
    a, angles = rng.standard_normal((4, 5, LANES)), rng.standard_normal((3, 3, LANES))
    s, c, w = angles[1]
    expected = a.copy()
    expected[1:4, 2] = s * (w * a[1:4, 2]) + c * a[1:4, 3]
    expected[1:4, 3] = c * (w * a[1:4, 2]) - s * a[1:4, 3]
    _turn(a.reshape(-1), 7 * LANES, LANES, 5 * LANES, 3, angles, 1)
    np.testing.assert_allclose(a, expected, rtol=1e-13, atol=1e-14)


@njit
def _angle(s, c):
    return double_angle(s, c)


@njit
def _turn(flat, first, gap, step, count, angles, cell):
    rotate(flat, first, gap, step, count, angles, cell)
