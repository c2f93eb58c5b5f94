"""The mesh module: Haar-random initialisation, shared phases, gradients measured in situ."""

import pytest
import torch

from lightloom.models.pnn import InSitu, Mesh
from lightloom.models.pnn.haar import sensitivity
from lightloom.runtime.errors import InputError
from lightloom.runtime.meshes import Mesh as Layout
from lightloom.runtime.meshes import mesh
from lightloom.runtime.slicing import Imperfections, transfer_matrix

FAMILIES = ["clements", "clements_bell", "reck", "diamond", "fldzhyan", "fldzhyan_bell", "butterfly"]


def test_forward_is_the_transfer_matrix():
    torch.manual_seed(0)
    module = Mesh(6, dtype=torch.float64)
    x = torch.randn(3, 6, dtype=torch.complex128)
    expected = x @ transfer_matrix(module.layout, module.phases).T
    torch.testing.assert_close(module(x), expected)
    torch.testing.assert_close(x @ module.transfer_matrix().T, expected)


def test_real_numbers_are_amplitudes():
    module = Mesh(4, seed=0)
    x = torch.rand(2, 4)
    assert torch.equal(module(x), module(x.to(torch.complex64)))
    assert torch.equal(module(torch.ones(4, dtype=torch.int64)), module(torch.ones(4)))


def test_seed_fixes_the_phases():
    assert torch.equal(Mesh(5, seed=3).phases, Mesh(5, seed=3).phases)
    assert not torch.equal(Mesh(5, seed=3).phases, Mesh(5, seed=4).phases)


def test_sensitivity_of_three_ports_by_hand():
    # cells on (0, 1), (1, 2), (0, 1): the middle one sees every input and output
    assert sensitivity(mesh("clements", 3)).tolist() == [1, 2, 1]


@pytest.mark.parametrize("family", ["clements", "clements_bell", "reck"])
def test_haar_moments(family):
    # E|U_ik|^2 = 1/n and E|U_ik|^4 = 2/(n(n+1)) for every element of a Haar-random unitary
    n, count = 5, 4000
    layout = mesh(family, n)
    from lightloom.models.pnn.haar import haar_phases

    generator = torch.Generator().manual_seed(0)
    phases = torch.stack([haar_phases(layout, generator) for _ in range(count)])
    power = transfer_matrix(layout, phases).abs().square()
    # five standard deviations of the mean
    assert (power.mean(0) - 1 / n).abs().max() < 5 * power.std() / count**0.5
    square = power.square()
    assert (square.mean(0) - 2 / (n * (n + 1))).abs().max() < 5 * square.std() / count**0.5


def test_uniform_phases_are_not_haar():
    n, count = 5, 2000
    layout = mesh("clements", n)
    phases = 2 * torch.pi * torch.rand(count, layout.phases, dtype=torch.float64)
    power = transfer_matrix(layout, phases).abs().square()
    assert (power.mean(0) - 1 / n).abs().max() > 0.05


def test_haar_needs_a_rule():
    with pytest.raises(InputError, match="clements_bell"):
        Mesh(4, "fldzhyan", haar=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_in_situ_gradient_is_exact_without_noise(family):
    torch.manual_seed(0)
    layout = mesh(family, 8)
    chip = Imperfections(
        0.05 * torch.randn(layout.cells, layout.cell_splitters, dtype=torch.float64),
        phase_error_rad=0.1 * torch.randn(layout.phases, dtype=torch.float64),
        phase_bits=8,
        crosstalk=(0.01,),
    )
    exact = Mesh(8, family, dtype=torch.float64, imperfections=chip)
    measured = exact.on(chip, InSitu())
    x = torch.randn(7, 8, dtype=torch.complex128, requires_grad=True)
    weights = torch.randn(7, 8, dtype=torch.complex128)
    results = []
    for module in (exact, measured):
        out = module(x)
        loss = (weights.real * out.abs() ** 2).sum() + (weights * out).real.sum()
        results.append(torch.autograd.grad(loss, [module.phases, x]))
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).norm() < 1e-10 * theirs.norm()


def test_in_situ_gradient_of_any_layout():
    # cells between distant ports, some without phi, a screen on some ports
    torch.manual_seed(0)
    layout = Layout("random", 5, ((0, 1), (0,), (1, 2)), ((3, 4), (2,), (3, 4)), "symmetric", (0, 3), (1, 4))
    module = Mesh(5, dtype=torch.float64)
    module.layout = layout
    module.phases = torch.nn.Parameter(torch.randn(layout.phases, dtype=torch.float64))
    measured = module.on(None, InSitu())
    x = torch.randn(4, 5, dtype=torch.complex128)
    ours, theirs = (torch.autograd.grad(one(x).abs()[:, 0].sum(), one.phases)[0] for one in (measured, module))
    assert (ours - theirs).norm() < 1e-10 * theirs.norm()


def test_in_situ_noise_is_seeded_and_unbiased():
    torch.manual_seed(0)
    module = Mesh(6, dtype=torch.float64)
    x = torch.randn(5, 6, dtype=torch.complex128)

    def gradient(one):
        return torch.autograd.grad(one(x).abs()[:, 0].sum(), one.phases)[0]

    exact = gradient(module)
    noisy = module.on(None, InSitu(0.01, seed=1))
    draws = torch.stack([gradient(noisy) for _ in range(400)])
    assert torch.equal(draws[0], gradient(module.on(None, InSitu(0.01, seed=1))))
    assert not torch.equal(draws[0], draws[1])
    error = draws.std(0)
    assert (error > 0).all()
    assert ((draws.mean(0) - exact).abs() < 5 * error / 400**0.5).all()


def test_a_dark_sample_has_no_gradient():
    module = Mesh(4, in_situ=InSitu(0.1))
    (gradient,) = torch.autograd.grad(module(torch.zeros(2, 4)).abs().square().sum(), module.phases)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("noise", [-0.1, float("inf"), float("nan")])
def test_noise_has_bounds(noise):
    with pytest.raises(InputError, match="0 or more"):
        InSitu(noise)


def test_in_situ_is_lossless():
    for losses in ({"cell_loss_db": 0.1}, {"cell_loss_db": torch.zeros(6), "bypass_loss_db": 0.0}):
        with pytest.raises(InputError, match="without losses"):
            Mesh(4, in_situ=InSitu(), imperfections=Imperfections(**losses))


def test_print_names_what_it_is():
    assert "'clements', depth=4, phases=16" in repr(Mesh(4))
    assert "measurement_noise=0.5" in repr(Mesh(4, in_situ=InSitu(0.5)))
