"""Worked examples of layers, end to end through compile and run (Photonic Matrix Computing, sections named)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lightloom as ll

EIGHT_BIT = {"encoding.dac_bits": 8, "detection.adc_bits": 8, "mesh.phase_bits": 12}


def linear(weight: list[list[float]], bias: list[float] | None = None) -> nn.Linear:
    """A linear layer with these weights, rows the outputs."""
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


@pytest.mark.parametrize("ports", [2, 3, 4])
def test_small_layer_end_to_end(ports: int) -> None:
    """Section 4.5."""
    layer = linear([[1, 0.5, -0.5], [0.25, -1, 0.75]])
    x = torch.tensor([[0.8, -0.4, 0.6], [0.2, 0.1, -0.3]])
    wanted = torch.tensor([[0.30, 1.05], [0.40, -0.275]])
    target = ll.targets.get("ideal").with_({"mesh.ports": ports})
    torch.testing.assert_close(ll.compile(layer, x, target)(x), wanted, atol=1e-6, rtol=0)
    eight = ll.compile(layer, x, target.with_(EIGHT_BIT))
    torch.testing.assert_close(eight(x), wanted, atol=0.02, rtol=0)


def test_dense_layer() -> None:
    """Section 11.1: y = X W + b."""
    layer = linear([[1, 0.5, 2], [-1, 1, 0]], [0.1, -0.2])
    x = torch.tensor([[1.0, 2.0, 0.0]])
    y = ll.compile(layer, x, ll.targets.get("ideal"))(x)
    torch.testing.assert_close(y, torch.tensor([[2.1, 0.8]]), atol=1e-6, rtol=0)


def test_convolution_as_patches() -> None:
    """Section 9.5: 27-element patches on a 32-port mesh, 25 of them, a 5 x 5 output."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3, padding=1)
    x = torch.randn(1, 3, 5, 5)
    program = ll.compile(layer, x, ll.targets.get("ideal").with_({"mesh.ports": 32}))
    (row,) = program.explain().layers
    spec = program.body.banks[row.bank].spec
    assert (spec.rows, spec.cols, spec.ports) == (4, 27, 32)
    assert (row.grid, row.tiles, row.vectors_per_sample) == ((1, 1), 1, 25)
    y = program(x)
    assert y.shape == (1, 4, 5, 5)
    torch.testing.assert_close(y, layer(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("outputs", "inputs", "ports", "grid", "tiles"),
    [(50, 34, 16, (4, 3), 12), (256, 256, 16, (16, 16), 256)],
    ids=["section 12.1", "section 12.5"],
)
def test_launches_of_a_layer(outputs: int, inputs: int, ports: int, grid: tuple[int, int], tiles: int) -> None:
    program = ll.compile(
        nn.Linear(inputs, outputs), torch.zeros(1, inputs), ll.targets.get("ideal").with_({"mesh.ports": ports})
    )
    (row,) = program.explain().layers
    assert (row.grid, row.tiles, row.zero_tiles) == (grid, tiles, 0)
    streams = [event for event in program.schedule.to_dict()["kind"] if event == "stream"]
    assert len(streams) == tiles
