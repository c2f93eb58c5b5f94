"""Programming by search: any mesh, reported fidelity, and an error when the tolerance is out of reach."""

import numpy as np
import pytest
import torch

from lightloom.compiler.programming import RULES, program_numerically, program_unitaries
from lightloom.compiler.programming.descent import limited_memory
from lightloom.compiler.programming.jacobian import transfer_and_jacobian
from lightloom.runtime.errors import CompileError
from lightloom.runtime.meshes import TOPOLOGIES, mesh
from lightloom.runtime.slicing.cpu import transfer_matrices
from lightloom.runtime.slicing.reference import transfer_matrix

from .matrices import orthogonal, unitary


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("ports", [1, 4])
def test_jacobian_is_that_of_autograd(topology, ports):
    layout = mesh(topology, ports)
    phases = (
        2 * torch.pi * torch.rand(2, layout.phases, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )
    transfer, jacobian = transfer_and_jacobian(layout, phases)
    torch.testing.assert_close(transfer, transfer_matrix(layout, phases), atol=1e-14, rtol=0)
    for tile in range(2):
        parts = torch.autograd.functional.jacobian(
            lambda point: torch.view_as_real(transfer_matrix(layout, point)), phases[tile]
        )
        expected = torch.complex(parts[:, :, 0], parts[:, :, 1])
        torch.testing.assert_close(jacobian[tile], expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize(
    ("topology", "options"), [("fldzhyan", {"layers": 12}), ("fldzhyan_bell", {"layers": 12}), ("clements", {})]
)
@pytest.mark.parametrize("draw", [orthogonal, unitary])
def test_finds_haar_random_matrices(topology, options, draw):
    layout = mesh(topology, 4, **options)
    matrices = draw(np.random.default_rng(0), 5, 4)
    found = program_numerically(layout, matrices, tolerance=1e-10)
    assert np.abs(transfer_matrices(layout, found.phases_rad()) - matrices).max() < 1.1e-10
    assert (found.distance <= 1e-10).all()
    assert (found.fidelity > 1 - 1e-12).all()
    assert ((found.phases >= 0) & (found.phases <= 2 * np.pi)).all()
    assert found.columns("left")["left.phases"].shape == (5, layout.phases)


@pytest.mark.parametrize("topology", ["butterfly", "rectangular"])
def test_finds_what_a_small_mesh_can_hold(topology):
    layout = mesh(topology, 8)
    phases = np.random.default_rng(0).uniform(0, 6, (2, layout.phases))
    matrices = transfer_matrices(layout, phases)
    found = program_numerically(layout, matrices, tolerance=1e-9)
    assert np.abs(transfer_matrices(layout, found.phases_rad()) - matrices).max() < 1.1e-9


def test_degenerate_matrices():
    layout = mesh("fldzhyan", 3, layers=10)
    matrices = np.stack([np.eye(3), -np.eye(3), np.eye(3)[[2, 0, 1]], np.diag([1, -1, 1.0])])
    assert (program_numerically(layout, matrices, tolerance=1e-8).distance <= 1e-8).all()


def test_one_port():
    found = program_numerically(mesh("fldzhyan", 1), np.array([[[1j]]]))
    np.testing.assert_allclose(found.phases, [[np.pi / 2]], atol=1e-8)


def test_out_of_reach_says_how_far_it_came():
    layout = mesh("butterfly", 4)
    matrices = unitary(np.random.default_rng(0), 3, 4)
    with pytest.raises(
        CompileError, match=r"3 of 3 matrices.*butterfly of 4 ports.*fidelity 0\.\d+.*2 restarts.*1e-08.*12 phases"
    ):
        program_numerically(layout, matrices, restarts=2)
    best = program_numerically(layout, matrices, restarts=2, tolerance=None)
    one = program_numerically(layout, matrices, restarts=1, tolerance=None)
    assert (best.restarts == 2).all()
    assert ((best.fidelity > 0.2) & (best.fidelity < 0.999)).all()
    assert (best.distance <= one.distance).all()
    whole = transfer_matrices(layout, best.phases_rad())
    np.testing.assert_allclose(np.abs(whole - matrices).max(axis=(1, 2)), best.distance, atol=1e-12)
    overlap = np.abs(np.einsum("tij,tij->t", matrices.conj(), whole)) ** 2 / 16
    np.testing.assert_allclose(overlap, best.fidelity, atol=1e-12)


def test_seeds_and_batches():
    layout = mesh("fldzhyan", 4, layers=11)
    matrices = unitary(np.random.default_rng(2), 3, 4)
    found = program_numerically(layout, matrices, seed=7)
    again = program_numerically(layout, matrices, seed=7)
    other = program_numerically(layout, matrices, seed=8)
    np.testing.assert_array_equal(found.phases, again.phases)
    assert np.abs(found.phases - other.phases).max() > 0.1
    np.testing.assert_allclose(program_numerically(layout, matrices[:1], seed=7).phases[0], found.phases[0], atol=1e-6)


def test_progress_is_told():
    told = []
    program_numerically(mesh("fldzhyan", 3, layers=8), unitary(np.random.default_rng(0), 4, 3), progress=told.append)
    assert told[-1].reached == told[-1].tiles == 4
    assert told[-1].worst_fidelity > 1 - 1e-12
    assert [state.iteration for state in told if state.restart == 0][:3] == [1, 2, 3]
    program_numerically(mesh("fldzhyan", 2), np.eye(2)[None], progress=True)


def test_wide_meshes_go_through_limited_memory():
    layout = mesh("clements", 4)
    wanted = torch.from_numpy(unitary(np.random.default_rng(0), 2, 4))
    start = torch.from_numpy(program_unitaries("clements", wanted.numpy()).phases_rad()) + 0.2
    told = []
    phases, errors, close = limited_memory(layout, wanted, start, 1e-7, 600, lambda *now: told.append(now[0]))
    assert (errors <= 1e-7).all()
    assert (close > 1 - 1e-9).all()
    assert (transfer_matrix(layout, phases) - wanted).abs().max() <= 1e-7
    assert told[0] == 25


def test_refusals():
    layout = mesh("fldzhyan", 4)
    with pytest.raises(CompileError, match=r"do not fit the mesh.*\(T, 4, 4\)"):
        program_numerically(layout, np.eye(3)[None])
    with pytest.raises(CompileError, match="not unitary"):
        program_numerically(layout, 2 * np.eye(4)[None])
    for wrong in ({"restarts": 0}, {"iterations": 0}, {"tolerance": 0.0}, {"tolerance": float("nan")}):
        with pytest.raises(CompileError, match="A search needs"):
            program_numerically(layout, np.eye(4)[None], **wrong)


def test_empty_batch():
    assert program_numerically(mesh("butterfly", 4), np.empty((0, 4, 4))).phases.shape == (0, 12)


def test_families_without_a_rule_point_here():
    for topology in TOPOLOGIES.keys() - RULES.keys():
        with pytest.raises(CompileError, match="program_numerically"):
            program_unitaries(topology, np.eye(4)[None])
