"""Clements programming: the programmed mesh is the matrix, through the slicing engine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.compiler.programming.clements import program_complex, program_real
from lightloom.runtime.fixedpoint import radians, turns32
from lightloom.runtime.meshes import mesh
from lightloom.runtime.meshes.gauge import expand, expand_radians, pack_signs
from lightloom.runtime.slicing.cpu import tile_matrices, transfer_matrices

from .matrices import complex_cases, orthogonal, real_cases, unitary

SIZES = [1, 2, 3, 4, 16, 33, 64]


def realise(theta, signs):
    n = signs.shape[1] - theta.shape[1]
    layout = mesh("clements", n)
    return transfer_matrices(layout, expand_radians(layout, theta, np.pi * signs))


@pytest.mark.parametrize("n", SIZES)
def test_real_meshes_are_their_matrices(n):
    for matrices in real_cases(n):
        theta, signs = program_real(matrices)
        assert theta.shape == (len(matrices), n * (n - 1) // 2)
        assert signs.dtype == np.bool_
        assert ((theta >= 0) & (theta <= np.pi)).all()
        assert np.abs(realise(theta, signs) - matrices).max() < 1e-12


@pytest.mark.parametrize("n", SIZES)
def test_real_meshes_in_fixed_point(n):
    layout = mesh("clements", n)
    for matrices in real_cases(n):
        theta, signs = program_real(matrices)
        phases = radians(expand(layout, turns32(theta), pack_signs(signs)))
        assert np.abs(transfer_matrices(layout, phases) - matrices).max() < 1e-7


@pytest.mark.parametrize("n", SIZES)
def test_complex_meshes_are_their_matrices(n):
    layout = mesh("clements", n)
    for matrices in complex_cases(n):
        phases = program_complex(matrices)
        assert phases.shape == (len(matrices), n * n)
        assert ((phases >= 0) & (phases <= 2 * np.pi)).all()
        assert np.abs(transfer_matrices(layout, phases) - matrices).max() < 1e-12


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 20), tiles=st.integers(0, 10), seed=st.integers(0, 2**32 - 1))
def test_programming_reconstructs(n, tiles, seed):
    random = np.random.default_rng(seed)
    real, cplx = orthogonal(random, tiles, n), unitary(random, tiles, n)
    assert np.abs(realise(*program_real(real)) - real).max(initial=0) < 1e-12
    matrices = transfer_matrices(mesh("clements", n), program_complex(cplx))
    assert np.abs(matrices - cplx).max(initial=0) < 1e-12


@pytest.mark.parametrize("n", [2, 5, 16])
@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_rank_deficient_tiles_through_their_svd(n, rank, dtype):
    random = np.random.default_rng(10 * n + rank)
    rank = min(rank, n)
    shapes = ((3, n, rank), (3, rank, n))
    left, right = (random.standard_normal(shape).astype(dtype) for shape in shapes)
    if dtype == np.complex128:
        left, right = left * np.exp(1j), right + 1j * random.standard_normal(shapes[1])
    weights = left @ right
    u, a, vh = np.linalg.svd(weights)
    scale = np.maximum(a[:, :1], 1e-300)
    layout = mesh("clements", n)

    def phases(matrices):
        if dtype == np.complex128:
            return program_complex(matrices)
        theta, signs = program_real(matrices)
        return expand_radians(layout, theta, np.pi * signs)

    # V^H is programmed as it is, not V
    tiles = tile_matrices(layout, phases(u), a / scale, phases(vh))
    assert np.abs(tiles * scale[:, :, None] - weights).max() < 1e-12


def plain_clements(matrix):
    """The algorithm of the paper on one matrix with dense cells of complex numbers: theta and phi by cell.

    Written apart from the kernels: cells are T = j e^{j theta/2} [[s e^{j phi}, c], [c e^{j phi}, -s]],
    factors are kept as matrices, and left factors pass the diagonal by solving for theta and phi again.
    """
    n = len(matrix)

    def cell(p, theta, phi):
        s, c, e = np.sin(theta / 2), np.cos(theta / 2), np.exp(1j * phi)
        dense = np.eye(n, dtype=complex)
        dense[p : p + 2, p : p + 2] = 1j * np.exp(0.5j * theta) * np.array([[s * e, c], [c * e, -s]])
        return dense

    u = matrix.astype(complex)
    found, left = {}, []
    for i in range(n - 1):
        for j in range(i + 1):
            if i % 2 == 0:
                p, row = i - j, n - 1 - j
                ratio = -u[row, p + 1] / u[row, p]
                theta, phi = 2 * np.arctan(np.abs(ratio)), -np.angle(ratio)
                u = u @ cell(p, theta, phi).conj().T
                found[j, p] = theta, phi
            else:
                p = n - 2 - i + j
                ratio = u[p, j] / u[p + 1, j]
                theta, phi = 2 * np.arctan(np.abs(ratio)), -np.angle(ratio)
                u = cell(p, theta, phi) @ u
                left.append((n - 1 - j, p, theta, phi))
    for window, p, theta, phi in reversed(left):
        moved = cell(p, theta, phi).conj().T @ u
        new_phi = np.angle(moved[p, p] / moved[p, p + 1])
        found[window, p] = theta, new_phi
        u = moved @ cell(p, theta, new_phi).conj().T
    order = sorted(found)
    return np.array([found[k][0] for k in order]), np.array([found[k][1] for k in order]), np.diagonal(u)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_kernels_find_the_settings_of_the_plain_algorithm(n):
    random = np.random.default_rng(n)
    layout = mesh("clements", n)
    real, cplx = orthogonal(random, 3, n), unitary(random, 3, n)
    theta, signs = program_real(real)
    for phases, matrices in (
        (program_complex(cplx), cplx),
        (expand_radians(layout, theta, np.pi * signs), real),
    ):
        for flat, matrix in zip(phases, matrices, strict=True):
            plain_theta, plain_phi, screen = plain_clements(matrix)
            got = np.split(flat, [layout.cells, 2 * layout.cells])
            np.testing.assert_allclose(got[0], plain_theta, atol=1e-10)
            np.testing.assert_allclose(np.exp(1j * got[1]), np.exp(1j * plain_phi), atol=1e-10)
            np.testing.assert_allclose(np.exp(1j * got[2]), screen, atol=1e-10)


def test_a_tile_is_programmed_the_same_in_any_batch():
    matrices = orthogonal(np.random.default_rng(0), 19, 7)
    theta, signs = program_real(matrices)
    for tile in (0, 7, 8, 18):
        one_theta, one_signs = program_real(matrices[tile : tile + 1])
        np.testing.assert_array_equal(theta[tile], one_theta[0])
        np.testing.assert_array_equal(signs[tile], one_signs[0])


def test_two_port_settings_by_hand():
    # [[s, c], [c, -s]] with theta = 2 atan(s / c); a column sign goes to the cell, row signs to the screen
    s, c = 0.6, 0.8
    plain = np.array([[s, c], [c, -s]])
    matrices = np.stack([plain, plain * [-1, 1], plain * [[-1], [1]]])
    theta, signs = program_real(matrices)
    np.testing.assert_allclose(theta, 2 * np.arctan2(s, c), atol=1e-15)
    assert signs.tolist() == [[False, False, False], [True, False, False], [False, True, False]]
