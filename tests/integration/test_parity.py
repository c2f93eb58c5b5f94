"""An ideal chip computes what eager PyTorch computes, to 1e-5 of the largest output."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.models import MLP, DigitsCNN, ResidualCNN
from lightloom.models.vision import torchvision_network


def relative_error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Largest absolute difference over the largest absolute wanted value."""
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    return float((got - wanted).abs().max() / wanted.abs().max())


def settled(model: nn.Module, *shape: int) -> nn.Module:
    """The model with batch-norm statistics from random data, in eval mode: folding has something to fold."""
    torch.manual_seed(1)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, *shape) * 2 + 0.3)
    return model.eval()


@pytest.fixture(scope="module", params=[DigitsCNN, MLP, ResidualCNN], ids=lambda kind: kind.__name__)
def compiled(request: pytest.FixtureRequest) -> tuple[nn.Module, ll.Program]:
    model = settled(request.param(), 1, 8, 8)
    return model, ll.compile(model, torch.zeros(1, 1, 8, 8), target="mzi16")


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_ideal_equals_eager(compiled: tuple[nn.Module, ll.Program], batch: int) -> None:
    model, program = compiled
    x = torch.randn(batch, 1, 8, 8)
    with torch.no_grad():
        assert relative_error(program.run(x, ideal=True), model(x)) <= 1e-5


def test_an_empty_batch_gives_an_empty_output(compiled: tuple[nn.Module, ll.Program]) -> None:
    _, program = compiled
    for ideal in (True, False):
        assert program.run(torch.zeros(0, 1, 8, 8), ideal=ideal).shape == (0, 10)


def test_the_ideal_preset_equals_eager_too() -> None:
    model = settled(DigitsCNN(), 1, 8, 8)
    program = ll.compile(model, torch.zeros(1, 1, 8, 8), target="ideal")
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        assert relative_error(program(x), model(x)) <= 1e-5


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 5, 3),
        nn.Conv2d(3, 5, (2, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
        nn.Conv2d(3, 6, 3, padding="same", groups=3, bias=False),
        nn.Conv2d(3, 4, (4, 2), padding="same"),
        nn.Conv2d(3, 4, 1, padding="valid", stride=3),
        nn.Conv2d(3, 3, 3, groups=3),
        nn.Conv2d(3, 2, 9),
        nn.Linear(9, 4),
        nn.Linear(9, 1, bias=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("ideal", [True, False])
def test_every_geometry(layer: nn.Module, ideal: bool) -> None:
    program = ll.compile(layer.eval(), torch.zeros(2, 3, 9, 9), target="mzi16" if ideal else "ideal")
    x = torch.randn(3, 3, 9, 9)
    with torch.no_grad():
        assert relative_error(program.run(x, ideal=ideal), layer(x)) <= 1e-5


def test_linear_on_vectors_and_sequences() -> None:
    layer = nn.Linear(7, 5)
    for shape in [(4, 7), (4, 3, 7), (4, 2, 3, 7)]:
        program = ll.compile(layer, torch.zeros(shape), target="mzi16")
        x = torch.randn(6, *shape[1:])
        with torch.no_grad():
            assert relative_error(program.run(x, ideal=True), layer(x)) <= 1e-5


def test_a_layer_left_on_the_host_still_computes_the_same() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 2, padding="same"), nn.ReLU(), nn.Conv2d(3, 2, 3, stride=2), nn.Flatten(), nn.Linear(8, 3)
    ).eval()
    x = torch.randn(4, 2, 5, 5)
    for exclude in ("0", ["2", "4"], "[02]"):
        program = ll.compile(model, x, target="mzi16", exclude=exclude)
        with torch.no_grad():
            assert relative_error(program.run(x, ideal=True), model(x)) <= 1e-5
    assert "excluded by the user: [02]" in str(program.explain())


class Structured(nn.Module):
    """Two inputs, a shared layer, outputs in a tree, a number among them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, object]:
        first = self.fc(a)
        return {"first": first, "rest": [self.fc(first + b), (b, a.shape[0])]}


def test_trees_of_outputs_and_shared_weights() -> None:
    model = Structured()
    program = ll.compile(model, (torch.zeros(2, 4), torch.zeros(2, 4)), target="mzi16")
    assert len(program.body.banks) == 1, "a shared layer is placed once"
    a, b = torch.randn(3, 4), torch.randn(3, 4)
    with torch.no_grad():
        wanted, got = model(a, b), program.run(a, b, ideal=True)
    assert relative_error(got["first"], wanted["first"]) <= 1e-5
    assert relative_error(got["rest"][0], wanted["rest"][0]) <= 1e-5
    assert torch.equal(got["rest"][1][0], b)
    assert got["rest"][1][1] == 3


def test_an_exported_program_compiles_like_its_module() -> None:
    model = settled(DigitsCNN(), 1, 8, 8)
    x = torch.randn(2, 1, 8, 8)
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    program = ll.compile(exported, target="mzi16")
    y = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        assert relative_error(program.run(y, ideal=True), model(y)) <= 1e-5


@pytest.fixture(scope="module")
def resnet18() -> tuple[nn.Module, ll.Program]:
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    model = settled(torchvision_network("resnet18"), 3, 64, 64)
    return model, ll.compile(model, torch.zeros(1, 3, 64, 64), target="mzi64")


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3, 17])
def test_resnet18(resnet18: tuple[nn.Module, ll.Program], batch: int) -> None:
    model, program = resnet18
    x = torch.randn(batch, 3, 64, 64)
    with torch.no_grad():
        assert relative_error(program.run(x, ideal=True), model(x)) <= 1e-5
