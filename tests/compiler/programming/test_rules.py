"""Every analytic rule: the programmed mesh is the matrix, through the slicing engine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.compiler.programming import RULES, GaugeSettings, PhaseSettings, program_unitaries
from lightloom.runtime.fixedpoint import radians
from lightloom.runtime.meshes import UNIVERSAL, mesh
from lightloom.runtime.slicing.cpu import tile_matrices, transfer_matrices

from .matrices import complex_cases, orthogonal, real_cases, unitary

SIZES = [1, 2, 3, 4, 7, 16, 33, 64]


def realised(program, n):
    """The mesh's matrix on the ports that carry it; the other ports of a diamond pass light straight on."""
    whole = transfer_matrices(program.mesh, program.phases_rad())
    rest = np.eye(program.mesh.ports - n)
    assert np.abs(whole[:, n:, n:] - rest).max(initial=0) < 1e-12
    return whole[:, :n, :n]


def error(topology, matrices):
    return np.abs(realised(program_unitaries(topology, matrices), matrices.shape[-1]) - matrices).max(initial=0)


@pytest.mark.parametrize("topology", RULES)
@pytest.mark.parametrize("n", SIZES)
def test_meshes_are_their_matrices(topology, n):
    for case in (*real_cases(n), *complex_cases(n)):
        assert error(topology, case) < 1e-12


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 14), tiles=st.integers(0, 10), seed=st.integers(0, 2**32 - 1))
def test_programming_reconstructs(n, tiles, seed):
    random = np.random.default_rng(seed)
    for topology in RULES:
        assert error(topology, orthogonal(random, tiles, n)) < 1e-12
        assert error(topology, unitary(random, tiles, n)) < 1e-12


@pytest.mark.parametrize("topology", sorted(UNIVERSAL))
@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_rank_deficient_tiles_through_their_svd(topology, rank, dtype):
    random, n = np.random.default_rng(rank), 6
    left, right = random.standard_normal((3, n, rank)).astype(dtype), random.standard_normal((3, rank, n))
    weights = left @ (right * np.exp(1j) if dtype == np.complex128 else right)
    weights[:, 2] = 0
    u, a, vh = np.linalg.svd(weights)
    scale = np.maximum(a[:, :1], 1e-300)
    settings_u, settings_vh = program_unitaries(topology, u), program_unitaries(topology, vh)
    tiles = tile_matrices(settings_u.mesh, settings_u.phases_rad(), a / scale, settings_vh.phases_rad())
    assert np.abs(tiles * scale[:, :, None] - weights).max() < 1e-12


@pytest.mark.parametrize("topology", RULES)
def test_columns_of_a_bank_hold_the_mesh(topology):
    matrices = orthogonal(np.random.default_rng(0), 3, 5)
    real, cplx = program_unitaries(topology, matrices), program_unitaries(topology, matrices.astype(complex))
    assert isinstance(cplx, PhaseSettings)
    # symmetric cells have no gauge of one word and one bit
    assert isinstance(real, PhaseSettings if topology == "clements_bell" else GaugeSettings)
    words = cplx.columns("left")["left.phases"]
    assert words.dtype == np.uint32
    assert np.abs(transfer_matrices(cplx.mesh, radians(words))[:, :5, :5] - matrices).max() < 1e-7


@pytest.mark.parametrize("topology", RULES)
def test_a_tile_is_programmed_the_same_in_any_batch(topology):
    matrices = unitary(np.random.default_rng(0), 11, 6)
    together = program_unitaries(topology, matrices).phases_rad()
    for tile in (0, 8, 10):
        alone = program_unitaries(topology, matrices[tile : tile + 1]).phases_rad()
        np.testing.assert_array_equal(together[tile], alone[0])


def test_reck_settings_by_hand():
    # a swap of ports 0 and 1 of 3: one crossing (cell 0 of the longer diagonal, or its return) and no other light moves
    swap = np.eye(3)[[1, 0, 2]][None]
    program = program_unitaries("reck", swap)
    # nulling the last row first finds nothing to do: (2, 0) and (2, 1) are zero, the bar state
    assert program.theta_rad[0].tolist() == [np.pi, np.pi, 0.0]


def test_diamond_leaves_its_lower_half_in_the_bar_state():
    program = program_unitaries("diamond", orthogonal(np.random.default_rng(1), 2, 4))
    assert program.mesh == mesh("diamond", 6)
    lower = program.mesh.cell_ports >= 3
    assert (program.theta_rad[:, lower] == np.pi).all()
    assert lower.sum() == 3
