"""In-place ops are read as functional ones where nobody can tell, and traced anew where somebody could."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lightloom as ll
from lightloom.compiler.frontend import capture
from lightloom.compiler.frontend.functional import functional
from lightloom.compiler.pipeline import compile_model
from lightloom.runtime import targets
from lightloom.runtime.executor import Runner


class Net(nn.Module):
    def __init__(self, rest: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(4, 4)
        self.rest = rest

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(self.fc(x), x)


def twice(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    a = F.relu(h, inplace=True)
    a += x
    return h * 2 + a


def read_before(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    before = h + 1
    h.relu_()
    return h * before


def view_before(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    view = h.view(-1)
    h.mul_(2)
    return view.sum() + h


def view_between(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    a = h.relu_()
    view = h.t()
    a.add_(1)
    return view.t() * 3


def view_after(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return h.relu_().view(-1, 2).sum(1)


def through_view(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    h[:, 1:].mul_(0.5)
    return h


def dtype_kept(h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    h += x.double()
    return h


PLAIN = [twice, read_before, view_after]
SHARED = [view_before, view_between, through_view, dtype_kept]


@pytest.mark.parametrize("rest", PLAIN + SHARED, ids=lambda rest: rest.__name__)
def test_writes_compute_what_eager_computes(rest: Callable[..., torch.Tensor]) -> None:
    model = Net(rest).eval()
    x = torch.randn(3, 4)
    body = compile_model(model, x, targets.get("ideal")).body
    assert body is not None
    with torch.no_grad():
        wanted = model(x.clone())
    got = Runner(body).run((x,), ideal=True)
    assert got.dtype == wanted.dtype
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("rest", PLAIN + SHARED, ids=lambda rest: rest.__name__)
def test_only_plain_writes_are_read_as_they_stand(rest: Callable[..., torch.Tensor]) -> None:
    exported = torch.export.export(Net(rest).eval(), (torch.randn(3, 4),))
    program, in_place = functional(exported)
    assert (program is exported) is (rest in PLAIN)
    assert bool(in_place) is (rest in PLAIN)


def test_a_write_to_a_buffer_is_not_lost() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.register_buffer("kept", torch.zeros(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.relu_() + self.kept.add_(1))

    with pytest.raises(Exception, match=r"writes to its own state|cannot be traced"):
        capture(Writes(), torch.randn(2, 4))


class WritesToInput(nn.Module):
    """Writes into its input through an index and a view, and gives it back."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x[:, 0] = 1.0
        x.t().mul_(2)
        return self.fc(x), x


class WritesToBoth(nn.Module):
    """Writes into two inputs of a dict; one of them is read afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, d: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        d["a"].add_(d["b"])
        y = d["a"]
        d["b"].zero_()
        return {"y": self.fc(y), "b": d["b"]}


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)),
        nn.Sequential(nn.Unflatten(1, (2, 2)), nn.ReLU6(inplace=True), nn.Flatten(), nn.Linear(4, 4)),
        WritesToInput(),
        WritesToBoth(),
    ],
    ids=["first", "after a view", "index and view", "two"],
)
def test_a_model_that_writes_to_its_input_runs_on_a_copy(model: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4)
    given: Any = ({"a": x, "b": torch.ones(3, 4)},) if isinstance(model, WritesToBoth) else (x,)
    before = deepcopy(given)
    program = ll.compile(model.eval(), given, "ideal")
    with torch.no_grad():
        wanted = model(*deepcopy(given))
    torch.testing.assert_close(program.run(*given, ideal=True), wanted)
    torch.testing.assert_close(given, before, rtol=0, atol=0)


class Calls(nn.Module):
    """A layer between calls that train by an argument, not by the mode of a module."""

    def __init__(self, call: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(self.fc(x))


def attended(y: torch.Tensor, p: float) -> torch.Tensor:
    """Attention of a tensor to itself, with dropout."""
    return nn.functional.scaled_dot_product_attention(y[None], y[None], y[None], dropout_p=p)[0]


TRAINING = {
    "dropout": (lambda y, p: nn.functional.dropout(y, p), "aten.dropout.default: train is on"),
    "channels": (lambda y, p: nn.functional.dropout1d(y[None], p)[0], "feature_dropout.default: train is on"),
    "alpha": (lambda y, p: nn.functional.alpha_dropout(y, p, True), "alpha_dropout.default: train is on"),
    "attention": (attended, "scaled_dot_product_attention.default: dropout_p is on"),
}


@pytest.mark.parametrize("name", TRAINING)
def test_training_by_an_argument_is_found_when_compiling(name: str) -> None:
    call, message = TRAINING[name]
    with pytest.raises(ll.CaptureError, match=message):
        ll.compile(Calls(lambda y: call(y, 0.5)).eval(), torch.randn(3, 4), "ideal")
    model = Calls(lambda y: call(y, 0.0)).eval()
    x = torch.randn(3, 4)
    with torch.no_grad():
        torch.testing.assert_close(ll.compile(model, x, "ideal").run(x, ideal=True), model(x))


@pytest.mark.parametrize("p", [0.5, 0.0])
def test_a_module_left_in_training_mode(p: float) -> None:
    x = torch.randn(2, 3, 4)
    attention = nn.MultiheadAttention(4, 2, dropout=p, batch_first=True)
    model = Calls(lambda y: attention(y, y, y, need_weights=False)[0]).eval()
    model.attention = attention.train()
    lstm = nn.LSTM(4, 4, num_layers=2, dropout=p, batch_first=True).train()
    both = Calls(lambda y: lstm(y)[0]).eval()
    both.lstm = lstm.train()
    for found in (model, both, nn.Sequential(nn.Linear(4, 4), nn.Dropout(p))):
        if p:
            with pytest.raises(ll.CaptureError, match=r"training (behaviour|mode)"):
                ll.compile(found, x, "ideal")
        else:
            with torch.no_grad():
                torch.testing.assert_close(ll.compile(found, x, "ideal").run(x, ideal=True), found(x))


def test_dropout_between_layers_is_none_in_a_recurrent_network_of_one(recwarn: pytest.WarningsRecorder) -> None:
    lstm = nn.LSTM(4, 4, dropout=0.5, batch_first=True).train()
    model = Calls(lambda y: lstm(y)[0]).eval()
    model.lstm = lstm.train()
    x = torch.randn(2, 3, 4)
    with torch.no_grad():
        torch.testing.assert_close(ll.compile(model, x, "ideal").run(x, ideal=True), model(x))
