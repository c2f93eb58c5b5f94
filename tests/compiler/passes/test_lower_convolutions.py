"""The text of convolutions that are lowered with views around them, and what packing does to shared kernels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.compiler.ir import parse, show, verify


class Kinds(nn.Module):
    """Every way of laying out a convolution, on sizes that are small and all different."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Conv1d(4, 4, 3, padding=1, groups=2)
        self.volume = nn.Conv3d(1, 2, (2, 3, 3), stride=(2, 1, 1), padding=1, dilation=(2, 1, 1), bias=False)
        self.up_line = nn.ConvTranspose1d(4, 4, 3, stride=2, padding=1, output_padding=1, groups=4)
        self.late = nn.ConvTranspose2d(2, 1, 2, dilation=2, padding=1, output_padding=1)
        self.up_volume = nn.ConvTranspose3d(2, 1, 2, stride=2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        volume = self.volume(x.view(-1, 1, 4, 3, 5))
        return self.line(x), self.up_line(x), self.late(volume[:, :, 0]), self.up_volume(volume)


def test_text_of_lowered_convolutions(golden: Callable[[str], None]) -> None:
    graph = ll.lower(Kinds().eval(), torch.zeros(2, 4, 15), "mzi16", stop_after="lower")
    verify(graph)
    text = show(graph)
    assert parse(text) == graph
    golden(text)


def test_forward_kernels_are_never_copied() -> None:
    model = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.Conv3d(2, 1, 3)).eval()
    graph = ll.lower(model, torch.zeros(2, 1, 4, 4, 4), "mzi16", stop_after="tile")
    parameters = {name: tensor.data_ptr() for name, tensor in model.named_parameters()}
    assert {matrix.weight: graph.store[matrix.weight].data_ptr() for matrix in graph.matrices} == {
        name: address for name, address in parameters.items() if name.endswith("weight")
    }


def test_a_transposed_kernel_without_groups_is_a_view() -> None:
    layer = nn.ConvTranspose2d(3, 4, 2).eval()
    graph = ll.lower(layer, torch.zeros(2, 3, 4, 4), "mzi16", stop_after="tile")
    (matrix,) = graph.matrices
    assert (matrix.rows, matrix.cols) == (16, 3)
    assert graph.store[matrix.weight].data_ptr() == layer.weight.data_ptr()


@pytest.mark.parametrize("pack", [True, False])
def test_packing_leaves_macs_and_weights_alone(pack: bool) -> None:
    layer = nn.Conv2d(12, 24, 3, groups=12).eval()
    graph = ll.lower(layer, torch.zeros(2, 12, 5, 5), "mzi16", stop_after="tile", pack=pack)
    (matrix,), (bank,) = graph.matrices, graph.banks
    assert bank.spec.weights == layer.weight.numel()
    assert (matrix.groups * matrix.blocks, matrix.rows // matrix.blocks, matrix.cols // matrix.blocks) == (12, 2, 9)
    assert (matrix.blocks > 1) is pack
