"""The physics conventions, pinned by settings worked out by hand and without symmetry.

Every case goes through the torch reference and the CPU kernel.
"""

import cmath
import math

import numpy as np
import pytest
import torch

from lightloom.runtime.fixedpoint import phase_codes, realised_phase_rad, turns32
from lightloom.runtime.meshes import mesh
from lightloom.runtime.slicing.cpu import transfer_matrices
from lightloom.runtime.slicing.reference import propagate, transfer_matrix

PI = math.pi


def reference(layout, phases, errors=None):
    errors = None if errors is None else torch.tensor(errors, dtype=torch.float64)
    return transfer_matrix(layout, torch.tensor(phases, dtype=torch.float64), errors).numpy()


def kernel(layout, phases, errors=None):
    errors = None if errors is None else np.array([errors], dtype=np.float64)
    return transfer_matrices(layout, np.array([phases], dtype=np.float64), errors)[0]


both = pytest.mark.parametrize("matrix", [reference, kernel])


@both
def test_two_ports_elements_by_hand(matrix):
    # theta = pi/2, phi = pi/2: j e^{j pi/4} / sqrt2 = (-1 + j)/2, times [[j, 1], [j, -1]];
    # then the screen turns port 0 by pi/2 and port 1 not at all
    got = matrix(mesh("clements", 2), [PI / 2, PI / 2, PI / 2, 0])
    expected = [[(1 - 1j) / 2, (-1 - 1j) / 2], [(-1 - 1j) / 2, (1 - 1j) / 2]]
    np.testing.assert_allclose(got, expected, atol=1e-15)


@both
def test_bar_and_cross_states(matrix):
    layout = mesh("clements", 2)
    phase = cmath.exp(0.7j)
    bar = [[-phase, 0], [0, 1]]
    cross = [[0, 1j], [1j * phase, 0]]
    np.testing.assert_allclose(matrix(layout, [PI, 0.7, 0, 0]), bar, atol=1e-15)
    np.testing.assert_allclose(matrix(layout, [0, 0.7, 0, 0]), cross, atol=1e-15)


@both
def test_three_ports_by_hand(matrix):
    # cells in order: (0, 1) cross, (1, 2) cross, (0, 1) bar, phi a, b, c; screen d0, d1, d2.
    # light of port 0: down (j e^ja), down (j e^jb), passes -> port 2
    # light of port 1: up (j), passes, upper arm of the bar (-e^jc) -> port 0
    # light of port 2: passes, up (j), lower arm of the bar (1) -> port 1
    a, b, c, d0, d1, d2 = 0.3, 0.5, 0.9, 0.11, 0.22, 0.44
    got = matrix(mesh("clements", 3), [0, 0, PI, a, b, c, d0, d1, d2])
    expected = np.zeros((3, 3), dtype=complex)
    expected[2, 0] = -cmath.exp(1j * (a + b + d2))
    expected[0, 1] = -1j * cmath.exp(1j * (c + d0))
    expected[1, 2] = 1j * cmath.exp(1j * d1)
    np.testing.assert_allclose(got, expected, atol=1e-15)


@both
def test_splitter_errors_add_to_the_angle_first_splitter_first(matrix):
    layout = mesh("clements", 2)
    first, second = 0.2, -0.05
    total, difference = first + second, second - first
    leak = 1j * math.sin(difference)
    # theta = 0: the two splitters are one of angle pi/2 + total
    cross = [[-math.sin(total), 1j * math.cos(total)], [1j * math.cos(total), -math.sin(total)]]
    np.testing.assert_allclose(matrix(layout, [0, 0, 0, 0], [[first, second]]), cross, atol=1e-15)
    # theta = pi: the second undoes the first; light of port 1 leaks up with +j sin(second - first)
    bar = [[-math.cos(difference), leak], [-leak, math.cos(difference)]]
    np.testing.assert_allclose(matrix(layout, [PI, 0, 0, 0], [[first, second]]), bar, atol=1e-15)


@both
def test_a_splitter_of_no_angle_lets_light_pass(matrix):
    # first splitter at angle 0, second at pi/2: straight, then across; phi and theta both on the upper arm
    got = matrix(mesh("clements", 2), [0.4, 0.25, 0, 0], [[-PI / 4, PI / 4]])
    np.testing.assert_allclose(got, [[0, 1j], [1j * cmath.exp(0.65j), 0]], atol=1e-15)


@both
def test_hadamard_transform(matrix):
    """Worked example 2.4: (1, 1) -> (sqrt2, 0), (1, -1) -> (0, sqrt2)."""
    common = PI / 2 + PI / 4
    hadamard = matrix(mesh("clements", 2), [PI / 2, 0, -common, -common])
    np.testing.assert_allclose(hadamard @ [1, 1], [math.sqrt(2), 0], atol=1e-15)
    np.testing.assert_allclose(hadamard @ [1, -1], [0, math.sqrt(2)], atol=1e-15)


@pytest.mark.parametrize(("phase", "intensity"), [(PI, 0.0400), (PI + 0.1, 0.0480)])
def test_interference_residual(phase, intensity):
    """Worked example 2.1: fields 1 and 0.8 that meet at a phase of pi, then pi + 0.1 rad."""
    phases = torch.tensor([PI / 2, phase, 0, 0], dtype=torch.float64)
    fields = torch.tensor([1, 0.8], dtype=torch.complex128)
    out = propagate(mesh("clements", 2), phases, fields)
    assert float(2 * out[0].abs() ** 2) == pytest.approx(intensity, abs=5e-5)


def test_five_bit_phase_shifter():
    """Worked example 6.1: step pi/16, worst error pi/32, residual of a destructive port 0.00241."""
    wanted = turns32(PI + PI / 32) - np.uint32(1)
    driven = realised_phase_rad(phase_codes(wanted, 5), 5)
    error = float(driven) - (PI + PI / 32)
    assert error == pytest.approx(-PI / 32)
    assert error == pytest.approx(-0.0982, abs=5e-5)
    crossed = kernel(mesh("clements", 2), [PI + error, 0, 0, 0])[1, 0]
    assert abs(crossed) ** 2 == pytest.approx(0.00241, abs=5e-6)
