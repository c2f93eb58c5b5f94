"""Shapes, seeds and layers of the reference networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lightloom.models import MLP, DigitsCNN, ResidualCNN

NETWORKS = [DigitsCNN, MLP, ResidualCNN]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("batch", [1, 3])
def test_ten_logits_a_sample(network, batch):
    logits = network().eval()(torch.rand(batch, 1, 8, 8))
    assert logits.shape == (batch, 10)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_seed_alone_decides_the_weights(network):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = network(seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    same, other = network(seed=3).state_dict(), network(seed=4).state_dict()
    assert all(torch.equal(tensor, same[name]) for name, tensor in one.items())
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("size", [(8, 8), (9, 5), (32, 32)])
def test_residual_network_takes_any_image(size):
    logits = ResidualCNN(channels=4, classes=3, inputs=2).eval()(torch.rand(2, 2, *size))
    assert logits.shape == (2, 3)


def test_residual_network_has_a_strided_shortcut():
    strided = [m for m in ResidualCNN().modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert [conv.stride for conv in strided] == [(2, 2)]


def test_mlp_widths():
    linear = [m for m in MLP((6, 5, 4)).modules() if isinstance(m, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(6, 5), (5, 4)]
    assert MLP((6, 5, 4))(torch.rand(2, 6)).min() < 0  # no ReLU after the last layer
