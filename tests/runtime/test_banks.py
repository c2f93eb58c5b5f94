"""From words to matrices: phases, errors, assembly, the cache."""

import numpy as np
import pytest
import torch

from lightloom.runtime import banks
from lightloom.runtime.banks import assembled_matrix, bank_phases, effective_matrices
from lightloom.runtime.errors import InputError
from lightloom.runtime.meshes import mesh
from lightloom.runtime.slicing import transfer_matrix

from .bankloop.toy import make_bank, make_target

FLAWS = {"splitter_error_rad": 0.02, "phase_error_rad": 0.01}


def by_hand(bank, exact: bool) -> torch.Tensor:
    """U diag(a) V^H through the torch reference."""
    layout = mesh(bank.spec.topology, bank.spec.ports)
    u, v = (transfer_matrix(layout, torch.from_numpy(bank_phases(bank, side, exact))) for side in banks.SIDES)
    return u @ (torch.from_numpy(banks.bank_attenuation(bank, exact))[:, :, None] * v)


@pytest.mark.parametrize("gauge", [True, False])
@pytest.mark.parametrize("ports", [1, 2, 5])
def test_ideal_matrices_are_the_exact_product(gauge, ports):
    bank = make_bank(7, 9, ports=ports, gauge=gauge, phase_bits=4, attenuator_bits=4)
    found = effective_matrices(bank, make_target(ports), ideal=True)
    torch.testing.assert_close(found, by_hand(bank, True).real, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", ["coherent", "intensity"])
def test_quantized_matrices_are_on_the_grid(kind):
    bank = make_bank(7, 9, ports=5, phase_bits=5, attenuator_bits=6)
    found = effective_matrices(bank, make_target(5, detection={"kind": kind}))
    expected = by_hand(bank, False)
    planes = torch.view_as_real(found) if kind == "intensity" else found
    assert torch.equal(planes * 2**32, (planes * 2**32).round())
    torch.testing.assert_close(found, expected if kind == "intensity" else expected.real, atol=2**-32, rtol=0)
    assert not torch.allclose(expected, by_hand(bank, True), atol=1e-3)


def test_real_gauge_makes_real_matrices():
    bank = make_bank(4, 4)
    assert by_hand(bank, True).imag.abs().max() < 1e-8


def test_chunks_do_not_matter(monkeypatch):
    bank = make_bank(30, 30, ports=5, phase_bits=8)
    target = make_target(5, mesh_=FLAWS)
    whole = effective_matrices(bank, target, seed=3)
    monkeypatch.setattr(banks, "CHUNK_BYTES", 64 * 25 * 5)
    assert torch.equal(effective_matrices(bank, target, seed=3), whole)
    assert torch.equal(effective_matrices(bank, target, seed=3, tiles=slice(4, 17)), whole[4:17])


def test_splitter_errors_belong_to_the_chip():
    bank = make_bank(8, 8)
    one, two = (make_target(4, mesh_={"splitter_error_rad": 0.02, "chip_seed": s}) for s in (1, 2))
    assert torch.equal(effective_matrices(bank, one, seed=0), effective_matrices(bank, one, seed=9))
    assert not torch.allclose(effective_matrices(bank, one), effective_matrices(bank, two), atol=1e-4)


def test_tiles_on_one_core_share_its_splitters():
    target = make_target(6, mesh_={"splitter_error_rad": 0.02, "cores": 2})
    bank = make_bank(12, 18, ports=6)
    for name in ("left.theta", "left.sign", "right.theta", "right.sign", "attenuation"):
        bank.columns[name][:] = bank.columns[name][0]
    found = effective_matrices(bank, target)
    assert torch.equal(found[0], found[2])
    assert not torch.allclose(found[0], found[1], atol=1e-4)
    moved = effective_matrices(bank, target, cores=np.array([1, 1, 0, 0, 1, 0]))
    assert torch.equal(moved[0], found[1])
    assert torch.equal(moved[2], found[0])


def test_phase_errors_belong_to_the_run():
    bank = make_bank(8, 8)
    target = make_target(4, mesh_={"phase_error_rad": 0.02})
    base = effective_matrices(bank, target, seed=1, bank_index=0)
    assert torch.equal(base, effective_matrices(bank, target, seed=1, bank_index=0))
    assert not torch.allclose(base, effective_matrices(bank, target, seed=2, bank_index=0), atol=1e-4)
    assert not torch.allclose(base, effective_matrices(bank, target, seed=1, bank_index=1), atol=1e-4)
    assert torch.equal(
        effective_matrices(bank, target, ideal=True), effective_matrices(bank, make_target(4), ideal=True)
    )


def test_errors_have_the_stated_spread():
    target = make_target(16, mesh_={"splitter_error_rad": 0.03, "phase_error_rad": 0.01})
    layout = mesh("clements", 16)
    phases = banks.phase_errors(target, 0, 0, "left", np.arange(100), layout.phases)
    assert phases.shape == (100, 256)
    assert phases.std() == pytest.approx(0.01, rel=0.02)
    splitters = np.stack([banks.splitter_errors(target, core, "right", layout) for core in range(50)])
    assert splitters.shape == (50, 120, 2)
    assert splitters.std() == pytest.approx(0.03, rel=0.04)
    assert abs(np.corrcoef(splitters[..., 0].ravel(), splitters[..., 1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("groups", [1, 3])
def test_assembly_places_every_tile(groups):
    bank = make_bank(6, 10, ports=4, groups=groups, skip=((0, 1, 2),))
    t = effective_matrices(bank, make_target(4), ideal=True)
    matrix = assembled_matrix(bank, t)
    assert matrix.shape == (groups, 6, 10)
    expected = np.zeros((groups, 8, 12))
    for tile in range(bank.spec.tiles):
        g, r, c = (int(bank.columns[name][tile]) for name in ("group", "row", "col"))
        expected[g, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4] = bank.columns["scale"][tile] * t[tile].numpy()
    np.testing.assert_allclose(matrix.numpy(), expected[:, :6, :10], rtol=1e-15)
    assert not matrix[0, 4:, 8:].any()


def test_assembly_takes_the_shift_off():
    bank = make_bank(4, 4, shift=True)
    t = effective_matrices(bank, make_target(4), ideal=True)
    expected = bank.columns["scale"][0] * t[0].numpy() - bank.columns["shift"][0]
    np.testing.assert_allclose(assembled_matrix(bank, t)[0].numpy(), expected)


def test_unknown_side():
    with pytest.raises(InputError, match="left or right"):
        bank_phases(make_bank(4, 4), "top")
