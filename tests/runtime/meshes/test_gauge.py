"""The real gauge: theta and sign bits stand for every phase of a real mesh."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime.errors import InputError
from lightloom.runtime.fixedpoint import radians, turns32
from lightloom.runtime.meshes import mesh
from lightloom.runtime.meshes.gauge import expand, expand_radians, pack_signs, sign_bytes, unpack_signs
from lightloom.runtime.slicing.cpu import transfer_matrices


def real_product(layout, theta, signs):
    """The real orthogonal matrix of gauge settings, cell by cell as dense matrices (independent path)."""
    product = np.eye(layout.ports)
    for k, p in enumerate(layout.cell_ports):
        s, c = math.sin(theta[k] / 2), math.cos(theta[k] / 2)
        sign = -1.0 if signs[k] else 1.0
        cell = np.eye(layout.ports)
        cell[p : p + 2, p : p + 2] = [[s * sign, c], [c * sign, -s]]
        product = cell @ product
    return np.where(signs[layout.cells :], -1.0, 1.0)[:, None] * product


def draw(layout, tiles, seed):
    random = np.random.default_rng(seed)
    theta = random.integers(0, 2**31, (tiles, layout.cells), endpoint=True, dtype=np.uint32)
    return theta, random.random((tiles, layout.cells + layout.ports)) < 0.5


def distance_on_circle(a, b):
    return np.abs(np.angle(np.exp(1j * (a - b)))).max(initial=0)


def test_one_cell_by_hand():
    # psi starts at 0: phi = pi b, then psi = pi/2 + theta/2 on both ports, the screen takes it back
    layout = mesh("clements", 2)
    theta = np.array([[0x20000000]], dtype=np.uint32)  # pi/4
    phases = expand(layout, theta, pack_signs(np.array([[True, False, True]])))
    expected = [0x20000000, 0x80000000, -(0x40000000 + 0x10000000) % 2**32, 0x80000000 - 0x50000000]
    assert phases.dtype == np.uint32
    assert phases.tolist() == [expected]


def test_three_ports_by_hand():
    layout = mesh("clements", 3)
    turn = 2**32
    t0, t1, t2 = 0x10000000, 0x22222222, 0x7FFFFFFE
    signs = np.array([[False, True, False, True, False, False]])
    got = expand(layout, np.array([[t0, t1, t2]], dtype=np.uint32), pack_signs(signs))[0].tolist()
    quarter, half = turn // 4, turn // 2
    after0 = quarter + t0 // 2  # ports 0 and 1 after cell 0; port 2 is still at 0
    after1 = quarter + t1 // 2  # ports 1 and 2 after cell 1, counted from port 2
    after2 = after1 + quarter + t2 // 2  # ports 0 and 1 after cell 2, counted from port 1
    phi = [0, 0 - after0 + half, after1 - after0]
    screen = [half - after2, -after2, -after1]
    assert got == [t0, t1, t2, *(x % turn for x in phi), *(x % turn for x in screen)]


@pytest.mark.parametrize("ports", [1, 2, 3, 8, 13])
def test_expanded_meshes_are_the_real_products(ports):
    layout = mesh("clements", ports)
    theta, signs = draw(layout, 4, seed=ports)
    matrices = transfer_matrices(layout, radians(expand(layout, theta, pack_signs(signs))))
    expected = np.stack([real_product(layout, radians(t), s) for t, s in zip(theta, signs, strict=True)])
    assert np.abs(matrices - expected).max() < 1e-7
    floats = transfer_matrices(layout, expand_radians(layout, radians(theta), np.pi * signs))
    assert np.abs(floats - expected).max() < 1e-13


@settings(max_examples=40, deadline=None)
@given(ports=st.integers(1, 12), tiles=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_fixed_point_gauge_equals_the_float_gauge(ports, tiles, seed):
    layout = mesh("clements", ports)
    theta, signs = draw(layout, tiles, seed)
    fixed = radians(expand(layout, theta, pack_signs(signs)))
    exact = expand_radians(layout, radians(theta), np.pi * signs)
    # one rounding down of at most a word (odd psi of half a word); psi itself is exact
    assert distance_on_circle(fixed, exact) < 2 * np.pi / 2**32 * 0.5 + 1e-12


@settings(max_examples=30, deadline=None)
@given(ports=st.integers(1, 20), tiles=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_packed_signs_round_trip(ports, tiles, seed):
    layout = mesh("clements", ports)
    _, signs = draw(layout, tiles, seed)
    packed = pack_signs(signs)
    assert packed.shape == (tiles, sign_bytes(layout))
    assert packed.dtype == np.uint8
    assert np.array_equal(unpack_signs(layout, packed), signs)


def test_wrong_tables_are_refused():
    layout = mesh("clements", 3)
    theta, signs = draw(layout, 2, seed=0)
    with pytest.raises(InputError, match=r"theta.*uint32 \(T, 3\)"):
        expand(layout, theta[:, :2], pack_signs(signs))
    with pytest.raises(InputError, match="theta"):
        expand(layout, theta.astype(np.int64), pack_signs(signs))
    with pytest.raises(InputError, match="sign"):
        expand(layout, theta, signs)
    with pytest.raises(InputError, match="different tile counts; got 2 and 1"):
        expand(layout, theta, pack_signs(signs)[:1])
    with pytest.raises(InputError, match="delta_rad"):
        expand_radians(layout, radians(theta), np.zeros((2, 5)))


def test_theta_survives_as_it_is():
    layout = mesh("clements", 6)
    theta, signs = draw(layout, 3, seed=5)
    phases = expand(layout, theta, pack_signs(signs))
    assert np.array_equal(phases[:, : layout.cells], theta)
    assert np.array_equal(turns32(radians(phases)), phases)
