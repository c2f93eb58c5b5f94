"""Batch norms fold into the layer before them, and only where that changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import lightloom as ll


def settled(model: nn.Module) -> nn.Module:
    """Statistics and gains that make every norm matter."""
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.running_mean, module.weight, module.bias):
                if tensor is not None:
                    tensor.data.normal_()
            module.running_var.uniform_(0.2, 3.0)
    return model.eval()


def checked(model: nn.Module, x: Tensor) -> set[str]:
    """Host ops of the program of a model, which computes what the model does."""
    program = ll.compile(settled(model), x, target="mzi16")
    with torch.no_grad():
        wanted = model(x)
    pairs = zip(wanted, program.run(x, ideal=True), strict=True) if isinstance(wanted, tuple) else None
    for want, got in pairs or [(wanted, program.run(x, ideal=True))]:
        assert (got - want).abs().max() < 1e-4 * want.abs().max()
    return {op.op for op in program.explain().ops if op.where == "host"}


NORMS = {"batch_norm.default", "_native_batch_norm_legit_no_training.default"}


class Layers(nn.Module):
    def __init__(self, layer: nn.Module, norm: nn.Module, form: str) -> None:
        super().__init__()
        self.layer, self.norm, self.form = layer, norm, form

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        h = self.layer(x)
        y = self.norm(h)
        match self.form:
            case "plain":
                return y
            case "also read":
                return y + h
            case "also returned":
                return y, h
            case "twice":
                return y * torch.relu(y)
        raise ValueError(self.form)


PAIRS = {
    "linear": (lambda: nn.Linear(6, 8), lambda: nn.BatchNorm1d(8), (5, 6)),
    "without bias": (lambda: nn.Linear(6, 8, bias=False), lambda: nn.BatchNorm1d(8), (5, 6)),
    "without gain": (lambda: nn.Linear(6, 8), lambda: nn.BatchNorm1d(8, affine=False), (5, 6)),
    "conv": (lambda: nn.Conv2d(3, 8, 3), lambda: nn.BatchNorm2d(8), (2, 3, 7, 7)),
    "grouped": (lambda: nn.Conv2d(4, 8, 3, groups=2), lambda: nn.BatchNorm2d(8), (2, 4, 7, 7)),
    "conv 1-d": (lambda: nn.Conv1d(3, 8, 3), lambda: nn.BatchNorm1d(8), (2, 3, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 8, 3, groups=2), lambda: nn.BatchNorm2d(8), (2, 4, 5, 5)),
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("form", ["plain", "twice"])
def test_a_norm_of_its_own_layer_is_folded(pair: str, form: str) -> None:
    layer, norm, shape = PAIRS[pair]
    torch.manual_seed(0)
    assert not checked(Layers(layer(), norm(), form), torch.randn(shape)) & NORMS


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("form", ["also read", "also returned"])
def test_a_layer_that_is_read_besides_keeps_its_norm(pair: str, form: str) -> None:
    layer, norm, shape = PAIRS[pair]
    torch.manual_seed(0)
    assert checked(Layers(layer(), norm(), form), torch.randn(shape)) & NORMS


def test_channels_of_a_sequence_are_not_its_features() -> None:
    """On (N, C, L) a linear layer works on L, the norm on C: equal sizes do not make them one."""
    torch.manual_seed(0)
    assert checked(Layers(nn.Linear(8, 8), nn.BatchNorm1d(8), "plain"), torch.randn(4, 8, 8)) & NORMS


class Legit(nn.Module):
    """A norm as exporters decompose it: three results, of which one or more are read."""

    def __init__(self, reads: int) -> None:
        super().__init__()
        self.layer, self.norm, self.reads = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), reads

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        found = torch.ops.aten._native_batch_norm_legit_no_training(
            self.layer(x), norm.weight, norm.bias, norm.running_mean, norm.running_var, 0.1, norm.eps
        )
        return found[0] if self.reads == 1 else found[0] + found[1].sum()


def test_of_several_results_the_first_alone_is_folded() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 7, 7)
    assert not checked(Legit(1), x) & NORMS
    assert checked(Legit(2), x) & NORMS


def test_two_norms_of_one_layer_stay_two() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.one, self.other = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.BatchNorm1d(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.one(self.layer(x)) * self.other(self.layer(2 * x))

    torch.manual_seed(0)
    assert not checked(Two(), torch.randn(5, 6)) & NORMS
