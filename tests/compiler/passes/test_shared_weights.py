"""A weight that is used more than once is compiled once and placed once."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from lightloom.compiler.pipeline import compile_model
from lightloom.runtime import targets
from lightloom.runtime.executor import run
from lightloom.runtime.program import ProgramBody

TARGET = targets.get("mzi16")


def checked(model: nn.Module, x: torch.Tensor) -> ProgramBody:
    """The program of a model, which computes what the model does."""
    body = compile_model(model.eval(), x, TARGET).body
    assert body is not None
    want, got = model(x), run(body, (x,), ideal=True)
    assert float(((got - want).abs().max() / want.abs().max()).detach()) < 1e-5
    return body


class Tied(nn.Module):
    """Token embeddings that are also the weights of the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.wte = nn.Embedding(20, 8)
        self.body = nn.Linear(8, 8)
        self.lm_head = nn.Linear(8, 20, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.body(self.wte(tokens)))
        return self.lm_head(hidden) + hidden @ self.wte.weight.t()


def test_tied_embeddings_are_one_matrix() -> None:
    body = checked(Tied(), torch.randint(0, 20, (3, 7)))
    assert len(body.banks) == 2
    banks = [step.bank for step in body.matrix_steps]
    assert banks == ["body", "lm_head", "lm_head"]
    assert [name for name in body.constants if "wte" in name] == ["wte.weight"]


class Autoencoder(nn.Module):
    """A weight, twice, and its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(12, 5)
        self.again = nn.Linear(12, 5)
        self.again.weight = self.encode.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.encode(x) + self.again(x)) @ self.encode.weight


def test_a_transpose_is_another_matrix_and_says_so() -> None:
    body = checked(Autoencoder(), torch.randn(4, 12))
    assert {(bank.spec.rows, bank.spec.cols) for bank in body.banks.values()} == {(5, 12), (12, 5)}
    steps = body.matrix_steps
    assert steps[0].bank == steps[1].bank != steps[2].bank
    assert steps[2].reason.startswith("constant 12 x 5 weights, encode.weight seen another way: a matrix of its own")


class Twice(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.relu(self.layer(x)))


class Fused(nn.Module):
    """Projections that the model concatenates each time it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(8, 4) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = (torch.cat([getattr(part, name) for part in self.parts]) for name in ("weight", "bias"))
        return nn.functional.linear(x, weight * 0.5, bias)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(8, 8),
        parametrizations.weight_norm(nn.Linear(8, 8)),
        parametrizations.spectral_norm(nn.Linear(8, 8)),
        nn.utils.weight_norm(nn.Linear(8, 8)),
        Fused(),
        nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)),
    ],
    ids=["linear", "weight_norm", "spectral_norm", "old weight_norm", "fused", "batch norm"],
)
def test_a_layer_that_runs_twice_is_placed_once(layer: nn.Module) -> None:
    body = checked(Twice(layer), torch.randn(4, 8))
    assert len(body.banks) == 1
    assert len(body.matrix_steps) == 2
    assert not [step for step in body.steps if getattr(step, "op", "").startswith(("cat", "mul", "batch_norm", "mv"))]


def test_equal_weights_of_different_layers_stay_apart() -> None:
    one, other = nn.Linear(8, 8), nn.Linear(8, 8)
    other.load_state_dict(one.state_dict())
    assert len(checked(nn.Sequential(one, other), torch.randn(2, 8)).banks) == 2
