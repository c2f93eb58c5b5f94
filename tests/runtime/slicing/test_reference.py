"""The torch engine: shapes, losses, gradients, refusals."""

import numpy as np
import pytest
import torch

from lightloom.runtime.errors import InputError
from lightloom.runtime.meshes import Mesh, mesh
from lightloom.runtime.slicing.reference import propagate, transfer_matrix


def draw(layout, *lead, seed=0):
    generator = torch.Generator().manual_seed(seed)
    phases = 2 * torch.pi * torch.rand(*lead, layout.phases, generator=generator, dtype=torch.float64)
    errors = 0.1 * torch.randn(*lead, layout.cells, 2, generator=generator, dtype=torch.float64)
    return phases, errors


@pytest.mark.parametrize("ports", [1, 2, 3, 7, 16])
def test_lossless_meshes_are_unitary(ports):
    layout = mesh("clements", ports)
    matrices = transfer_matrix(layout, *draw(layout, 3))
    assert matrices.shape == (3, ports, ports)
    assert (matrices.mH @ matrices - torch.eye(ports)).abs().max() < 1e-14


def test_tiles_and_vectors_broadcast():
    layout = mesh("clements", 5)
    phases, errors = draw(layout, 3)
    fields = torch.randn(3, 4, 5, dtype=torch.complex128)
    out = propagate(layout, phases[:, None], fields, errors[:, None])
    expected = torch.einsum("tik,tbk->tbi", transfer_matrix(layout, phases, errors), fields)
    torch.testing.assert_close(out, expected, atol=1e-14, rtol=0)
    shared = propagate(layout, phases[:, None], fields[0])
    assert shared.shape == (3, 4, 5)


def test_empty_batches():
    layout = mesh("clements", 4)
    phases, _ = draw(layout, 0)
    assert transfer_matrix(layout, phases).shape == (0, 4, 4)
    out = propagate(layout, draw(layout)[0], torch.empty(0, 4, dtype=torch.complex64))
    assert out.shape == (0, 4)
    assert out.dtype == torch.complex64


def test_single_precision_follows_the_double():
    layout = mesh("clements", 16)
    phases, errors = draw(layout)
    single = transfer_matrix(layout, phases.float(), errors.float())
    assert single.dtype == torch.complex64
    assert (single - transfer_matrix(layout, phases, errors)).abs().max() < 1e-5


def test_uniform_loss_scales_the_matrix():
    layout = mesh("clements", 6)
    phases, _ = draw(layout)
    lossy = transfer_matrix(layout, phases, cell_loss_db=0.3)
    expected = transfer_matrix(layout, phases) * 10 ** (-0.3 * layout.depth / 20)
    torch.testing.assert_close(lossy, expected, atol=1e-14, rtol=0)


def test_losses_by_cell_and_bypass():
    # three ports, all cells in the bar state: port 0 meets cells 0 and 2, port 1 all, port 2 cell 1
    layout = mesh("clements", 3)
    phases = torch.tensor([torch.pi] * 3 + [0.0] * 6, dtype=torch.float64)
    losses = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    power = transfer_matrix(layout, phases, cell_loss_db=losses, bypass_loss_db=0.5).abs().square()
    db = -10 * power.diagonal().log10()
    torch.testing.assert_close(db, torch.tensor([5.5, 7.0, 3.0], dtype=torch.float64))


@pytest.mark.parametrize("ports", [2, 3, 4])
def test_gradients_in_everything(ports):
    layout = mesh("clements", ports)
    phases, errors = draw(layout, 2)
    fields = torch.randn(2, ports, dtype=torch.complex128, requires_grad=True)
    losses = torch.rand(2, layout.cells, dtype=torch.float64, requires_grad=True)
    bypass = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    inputs = (phases.requires_grad_(), fields, errors.requires_grad_(), losses, bypass)
    assert torch.autograd.gradcheck(lambda *parts: propagate(layout, *parts), inputs)


def test_any_windows_go_through_the_same_code():
    # a triangle of cells, with an empty window
    layout = Mesh("custom", 4, ((2,), (1,), (), (0, 2)))
    phases, errors = draw(layout)
    product = torch.eye(4, dtype=torch.complex128)
    two = mesh("clements", 2)
    for cell, port in enumerate(layout.cell_ports.tolist()):
        pick = [cell, layout.cells + cell]
        dense = torch.eye(4, dtype=torch.complex128)
        block = transfer_matrix(two, torch.cat([phases[pick], torch.zeros(2)]), errors[cell : cell + 1])
        dense[port : port + 2, port : port + 2] = block
        product = dense @ product
    product = torch.exp(1j * phases[2 * layout.cells :])[:, None] * product
    torch.testing.assert_close(transfer_matrix(layout, phases, errors), product, atol=1e-14, rtol=0)


def test_refusals():
    layout = mesh("clements", 4)
    phases, errors = draw(layout)
    fields = torch.ones(4, dtype=torch.complex128)
    with pytest.raises(InputError, match=r"fields.*float64 \(4,\).*complex \(\.\.\., 4\)"):
        propagate(layout, phases, torch.ones(4, dtype=torch.float64))
    with pytest.raises(InputError, match="fields"):
        propagate(layout, phases, fields[:3])
    with pytest.raises(InputError, match=r"phases_rad.*real \(\.\.\., 16\)"):
        propagate(layout, phases[:-1], fields)
    with pytest.raises(InputError, match=r"splitter_error_rad.*\(\.\.\., 6, 2\)"):
        propagate(layout, phases, fields, errors[:-1])
    with pytest.raises(InputError, match="bypass_loss_db"):
        propagate(layout, phases, fields, cell_loss_db=torch.zeros(6))


def test_results_do_not_depend_on_the_batch():
    layout = mesh("clements", 8)
    phases, errors = draw(layout, 5)
    whole = transfer_matrix(layout, phases, errors).numpy()
    parts = [transfer_matrix(layout, phases[i], errors[i]).numpy() for i in range(5)]
    np.testing.assert_array_equal(whole, np.stack(parts))
