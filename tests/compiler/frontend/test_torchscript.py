"""TorchScript modules: scripted, traced, frozen, from a file; the layers they were made of, on the chip."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import pytest
import torch
from torch import Tensor, nn

import lightloom as ll


class Net(nn.Module):
    """Convolution, batch norm, branches on sizes and a loop over a list of layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        nn.init.uniform_(self.norm.weight, -1, 1)
        self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.norm(self.conv(x)).relu_()
        y = y.view(y.size(0), -1)
        for layer in self.layers:
            y = self.drop(layer(y)).sigmoid()
        if y.dim() == 2:
            y = y * 2 + torch.arange(8, dtype=torch.float32, device=x.device)
        return y.to(torch.float64), y.argmax(1)


class Words(nn.Module):
    """A recurrent layer over embedded numbers, an optional scale, and a dict of results."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(9, 4)
        self.loop = nn.LSTM(4, 3, batch_first=True)
        self.out = nn.Linear(3, 2)

    def forward(self, x: Tensor, scale: float = 2.0) -> dict[str, Tensor]:
        states, (last, _) = self.loop(self.embed(x))
        parts = []
        for step in range(3):
            parts.append(self.out(states[:, step]) * scale)
        return {"steps": torch.stack(parts, 1), "last": last.squeeze(0)}


def scripted(model: nn.Module, x: Tensor) -> torch.jit.ScriptModule:
    """By ``torch.jit.script``."""
    return torch.jit.script(model)


def traced(model: nn.Module, x: Tensor) -> torch.jit.ScriptModule:
    """By ``torch.jit.trace``."""
    return torch.jit.trace(model, x, strict=False)  # type: ignore[return-value]


def frozen(model: nn.Module, x: Tensor) -> torch.jit.ScriptModule:
    """Weights as constants, batch norms folded."""
    return torch.jit.freeze(torch.jit.script(model))


def stored(model: nn.Module, x: Tensor) -> torch.jit.ScriptModule:
    """Through a file."""
    file = BytesIO()
    torch.jit.save(torch.jit.script(model), file)
    file.seek(0)
    return torch.jit.load(file)


INPUTS: dict[type[nn.Module], Tensor] = {Net: torch.zeros(2, 1, 4, 4), Words: torch.zeros(2, 4, dtype=torch.int64)}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("made", [scripted, traced, frozen, stored])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_runs_as_the_module_does(kind: type[nn.Module], made: Callable[..., torch.jit.ScriptModule]) -> None:
    model = kind().eval()
    x = INPUTS[kind]
    program = ll.compile(made(model, x), x, "ideal")
    y = torch.randn(5, *x.shape[1:]) if x.is_floating_point() else torch.randint(0, 9, (5, *x.shape[1:]))
    with torch.no_grad():
        wanted = model(y)
    torch.testing.assert_close(program.run(y, ideal=True), wanted)
    assert len(program.body.banks) == 3
    if made is not frozen:
        layers = {"conv", "layers.0", "layers.1"} if kind is Net else {"loop.weight_ih_l0", "loop.weight_hh_l0", "out"}
        assert set(program.body.banks) == layers
        assert program.body.name == kind.__name__


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_inputs_by_name_and_what_trains() -> None:
    script = torch.jit.script(Words().eval())
    x = torch.randint(0, 9, (2, 4))
    program = ll.compile(script, {"x": x, "scale": 3.0}, "ideal")
    with torch.no_grad():
        torch.testing.assert_close(program.run(x=x, ideal=True), script(x, 3.0))
    model = Net().eval()
    model.drop.train()
    with pytest.raises(ll.CaptureError, match=r"training behaviour .*dropout.*train is on"):
        ll.compile(torch.jit.script(model), INPUTS[Net], "ideal")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_python_has_no_form_of_is_one_sentence() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) if bool(x.sum() > 0) else x

    with pytest.raises(ll.CaptureError, match="control flow depends on the values of tensors"):
        ll.compile(torch.jit.script(Branches().eval()), torch.randn(2, 4), "ideal")
