"""Layers and networks around meshes."""

import pytest
import torch

from lightloom.models.pnn import Attenuators, Bias, Diagonal, MeshLinear, MeshNetwork, Photodetector
from lightloom.runtime.errors import InputError


def test_photodetector_is_power():
    assert Photodetector()(torch.tensor([3 + 4j, 0, -2])).tolist() == [25, 0, 4]


def test_attenuators_never_amplify():
    layer = Attenuators(3, start=0.25)
    torch.testing.assert_close(layer(torch.ones(3)), torch.full((3,), 0.25))
    with torch.no_grad():
        layer.angle.uniform_(-10, 10)
    assert (layer.amplitude <= 1).all()
    assert (layer.amplitude >= 0).all()
    with pytest.raises(InputError, match="0 to 1"):
        Attenuators(3, start=1.5)


def test_diagonal_and_bias_start_neutral():
    x = torch.randn(2, 3)
    assert torch.equal(Bias(3)(Diagonal(3)(x)), x)


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (3, 5), (4, 4), (1, 1)])
def test_mesh_linear_is_its_weight(inputs, outputs):
    torch.manual_seed(0)
    layer = MeshLinear(inputs, outputs)
    with torch.no_grad():
        layer.bias.normal_()
    x = torch.randn(7, inputs)
    torch.testing.assert_close(layer(x), x @ layer.weight().T + layer.bias, atol=1e-5, rtol=1e-5)
    assert MeshLinear(inputs, outputs, bias=False).bias is None


def test_mesh_linear_begins_as_large_as_a_linear_layer():
    torch.manual_seed(0)
    ours, theirs = MeshLinear(40, 30, seed=0).weight(), torch.nn.Linear(40, 30).weight
    assert 0.8 < (ours.std() / theirs.std()).item() < 1.25


def test_mesh_linear_learns_a_matrix():
    torch.manual_seed(0)
    layer, x = MeshLinear(4, 3, seed=1), torch.randn(256, 4)
    wanted = x @ torch.randn(4, 3)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(300):
        loss = (layer(x) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-2 * wanted.square().mean().item()


@pytest.mark.parametrize("topology", ["clements", "fldzhyan", "clements_bell", "fldzhyan_bell"])
def test_network_equations(topology):
    torch.manual_seed(0)
    network = MeshNetwork(8, 3, topology, bias=True, diagonal=True, input_gain=2.0)
    with torch.no_grad():
        network.diagonal.gain.uniform_()
        network.bias.offset.normal_()
    x = torch.rand(5, 6)
    fields = torch.nn.functional.pad(2 * x, (0, 2)).to(torch.complex64)
    first, second = network.first.transfer_matrix(), network.second.transfer_matrix()
    out = (fields @ first.T * network.diagonal.gain) @ second.T
    torch.testing.assert_close(network(x), out.abs().square()[:, :3] + network.bias.offset)


def test_without_bias_and_diagonal_only_phases_train():
    names = [name for name, _ in MeshNetwork(4, 3).named_parameters()]
    assert names == ["first.phases", "second.phases"]


def test_complaints():
    with pytest.raises(InputError, match="1 to 4"):
        MeshNetwork(4, 5)
    with pytest.raises(InputError, match=r"\(\.\.\., 4\)"):
        MeshNetwork(4, 3)(torch.ones(2, 5))
    with pytest.raises(InputError, match=r"\(\.\.\., 5\)"):
        MeshLinear(5, 3)(torch.ones(2, 4))
