"""The torch.compile backend: equal to ll.compile, graph breaks, changed weights, options."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.dynamo import Part


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


class Net(nn.Module):
    def __init__(self, breaks: bool = False) -> None:
        super().__init__()
        self.breaks = breaks
        self.first = nn.Linear(12, 20)
        self.norm = nn.BatchNorm1d(20)
        self.blocks = nn.ModuleList([nn.Linear(20, 20), nn.Linear(20, 5)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.first(x)).relu()
        if self.breaks:
            torch._dynamo.graph_break()
        return self.blocks[1](self.blocks[0](y).tanh())


def compiled(model: nn.Module, **options: object) -> tuple[object, list[Part]]:
    parts: list[Part] = []
    return torch.compile(model, backend="lightloom", options={"target": "mzi16", "parts": parts, **options}), parts


@pytest.mark.parametrize("breaks", [False, True])
def test_equals_the_ahead_of_time_program(breaks: bool) -> None:
    torch.manual_seed(0)
    model, x = Net(breaks).eval(), torch.randn(7, 12)
    fast, parts = compiled(model, ideal=True)
    y = fast(x)
    expected = ll.compile(_whole(model), x, target="mzi16").run(x, ideal=True)
    assert torch.allclose(y, expected, rtol=1e-6, atol=1e-6)
    assert torch.allclose(y, model(x), rtol=1e-5, atol=1e-5)
    assert len([part for part in parts if part.program]) == 1 + breaks


def _whole(model: Net) -> Net:
    whole = Net().eval()
    whole.load_state_dict(model.state_dict())
    return whole


def test_chip_run_equals_the_program_and_takes_other_batches() -> None:
    torch.manual_seed(1)
    model = Net().eval()
    fast, _ = compiled(model, seed=3)
    program = ll.compile(model, torch.zeros(2, 12), target="mzi16")
    for batch in (4, 9, 1, 6):
        x = torch.randn(batch, 12)
        assert torch.equal(fast(x), program.run(x, seed=3))


def test_layer_paths_are_the_users() -> None:
    fast, parts = compiled(Net().eval())
    fast(torch.randn(3, 12))
    assert list(parts[0].program.body.banks) == ["first", "blocks.0", "blocks.1"]


def test_exclude_reaches_the_graph_that_holds_the_layer() -> None:
    fast, parts = compiled(Net(breaks=True).eval(), exclude="blocks.0")
    fast(torch.randn(3, 12))
    assert [list(part.program.body.banks) for part in parts] == [["first"], ["blocks.1"]]


def test_weights_written_to_are_compiled_again() -> None:
    torch.manual_seed(2)
    model, x = Net().eval(), torch.randn(4, 12)
    fast, parts = compiled(model, ideal=True)
    before = fast(x)
    assert torch.equal(fast(x), before)
    assert parts[0].compiled == 1
    with torch.no_grad():
        model.first.weight.mul_(-2.0)
    after = fast(x)
    assert parts[0].compiled == 2
    assert torch.allclose(after, model(x), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(after, before)


def test_graph_without_matrices_runs_on_the_host() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Softmax(-1)).eval()
    fast, parts = compiled(model)
    x = torch.randn(3, 4)
    assert torch.equal(fast(x), model(x))
    assert parts[0].program is None


def test_unknown_option_is_refused() -> None:
    fast, _ = compiled(Net().eval(), tiles=3)
    with pytest.raises(Exception, match=r"(?s)unknown option.*tiles.*target"):
        fast(torch.randn(2, 12))


@pytest.mark.parametrize("model", [Net(), nn.Sequential(nn.Linear(12, 3), nn.Dropout())], ids=["norm", "dropout"])
def test_a_training_step_runs_on_the_host_and_says_so(model: nn.Module) -> None:
    x = torch.randn(4, 12)
    torch.manual_seed(7)
    with torch.no_grad():
        wanted = copy.deepcopy(model).train()(x)
    fast, parts = compiled(model.train())
    torch.manual_seed(7)
    with pytest.warns(ll.LightloomWarning, match="training mode"):
        got = fast(x)
    assert torch.equal(got, wanted)
    assert parts[0].program is None


def test_strict_makes_it_an_error() -> None:
    fast, _ = compiled(Net().train(), strict=True)
    with pytest.raises(ll.CaptureError, match="training mode"):
        fast(torch.randn(4, 12))


def test_residual_network_with_a_dynamic_batch() -> None:
    from lightloom.models import ResidualCNN

    torch.manual_seed(4)
    model = ResidualCNN().eval()
    fast, parts = compiled(model, ideal=True)
    for batch in (2, 3, 5):
        x = torch.randn(batch, 1, 16, 16)
        assert torch.allclose(fast(x), model(x), rtol=1e-4, atol=1e-5)
    assert len(parts) == 2  # a static batch, then a symbolic one for good


class Listener(nn.Module):
    def __init__(self, layer: nn.Module, features: int) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.deep = nn.ModuleDict({"loop": layer})
        self.last = nn.Linear(features, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.deep["loop"](self.first(x))
        return self.last(y[:, -1])


@pytest.mark.parametrize(
    ("layer", "features"),
    [
        (nn.LSTM(5, 7, num_layers=2, batch_first=True), 7),
        (nn.GRU(5, 7, batch_first=True, bidirectional=True, bias=False), 14),
        (nn.RNN(5, 7, batch_first=True), 7),
    ],
    ids=["lstm", "gru", "rnn"],
)
def test_recurrent_layers_land_on_the_chip(layer: nn.Module, features: int) -> None:
    torch.manual_seed(5)
    model = Listener(layer, features).eval()
    program = ll.compile(model, torch.zeros(2, 4, 6), target="mzi16")  # a trace before must not be in the way
    parts: list[Part] = []
    options = {"target": "mzi16", "parts": parts, "ideal": True}
    fast = torch.compile(model, backend="lightloom", options=options, fullgraph=True)
    x = torch.randn(3, 4, 6)
    y = fast(x)
    assert torch.allclose(y, model(x), rtol=1e-4, atol=1e-5)
    assert torch.allclose(y, program.run(x, ideal=True), rtol=1e-6, atol=1e-6)
    assert [list(part.program.body.banks) for part in parts if part.program] == [list(program.body.banks)]
    assert any(name.startswith("deep.loop.") for name in program.body.banks)


def test_dropout_between_recurrent_layers_is_refused_in_training() -> None:
    model = Listener(nn.LSTM(5, 7, num_layers=2, batch_first=True, dropout=0.5), 7).train()
    fast, _ = compiled(model, strict=True)
    with pytest.raises(ll.CaptureError, match=r"training behaviour .*deep\.loop"):
        fast(torch.randn(2, 4, 6))


def _data(model: nn.Module) -> None:
    model.first.weight.data = model.first.weight.data * -2


def _copy(model: nn.Module) -> None:
    model.first.weight.data.copy_(model.first.weight.data * -2)


def _numpy(model: nn.Module) -> None:
    array = model.first.weight.detach().numpy()
    np.multiply(array, -2, out=array)


def _step(model: nn.Module) -> None:
    optimiser = torch.optim.SGD(model.parameters(), 10.0)
    model.first.weight.grad = torch.ones_like(model.first.weight)
    optimiser.step()


def _state(model: nn.Module) -> None:
    model.load_state_dict(
        {name: value * -2 if value.ndim == 2 else value for name, value in model.state_dict().items()}
    )


def _buffer(model: nn.Module) -> None:
    model.norm.running_mean.data.add_(3.0)


def _one_element(model: nn.Module) -> None:
    model.first.bias.data.view(-1).numpy()[3] += 1


WRITES = [_data, _copy, _numpy, _step, _state, _buffer, _one_element]


@pytest.mark.parametrize("write", WRITES)
def test_weights_are_followed_however_they_are_written(write: Callable[[nn.Module], None]) -> None:
    torch.manual_seed(2)
    model, x = Net().eval(), torch.randn(4, 12)
    fast, _ = compiled(model, ideal=True)
    before = fast(x)
    write(model)
    after = fast(x)
    with torch.no_grad():
        assert torch.allclose(after, model(x), rtol=1e-4, atol=1e-5)
    assert (after - before).abs().max() > 1e-2


class Scaled(nn.Module):
    """A layer, and a number that changes from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 12)
        self.steps = 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor, factor: float = 1.0, count: int = 1) -> torch.Tensor:
        return self.layer(x) * factor + count


class Counts(Scaled):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        self.steps += 1
        return self.layer(x) * self.steps


class Writes(Scaled):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        self.seen += x.shape[0]
        return self.layer(x) + self.seen


class WritesInput(Scaled):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        x.add_(1)
        return self.layer(x)


class Draws(Scaled):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return self.layer(x) + torch.rand(12)


class Item(Scaled):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return self.layer(x) * x.sum().item()


class Lengths(Scaled):
    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return self.layer(x).cumsum(0)[: x.shape[0] // 2 + 1] / x.shape[0]


def _x(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, 12, generator=torch.Generator().manual_seed(sum(shape)))


CASES: dict[str, tuple[Callable[[], nn.Module], list[tuple]]] = {
    "float": (Scaled, [(_x(3), 0.5), (_x(3), 0.25), (_x(3), 2.0), (_x(3), 3.0), (_x(3), 0.5), (_x(3), 7.0)]),
    "int": (Scaled, [(_x(3), 1.0, count) for count in (1, 2, 3, 4, 5, 6, 7)]),
    "steps": (Counts, [(_x(3),)] * 7),
    "buffer": (Writes, [(_x(3),)] * 3),
    "input": (WritesInput, [(_x(3),)] * 3),
    "random": (Draws, [(_x(3),)] * 2),
    "item": (Item, [(_x(3),), (_x(4),)]),
    "lengths": (Lengths, [(_x(3),), (_x(4),), (_x(9),), (_x(1),), (_x(0),), (_x(6),)]),
    "ranks": (Scaled, [(_x(3),), (_x(3, 2),), (_x(),), (_x(2, 2, 2),)]),
}


@pytest.mark.filterwarnings("ignore::lightloom.runtime.errors.LightloomWarning")
@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("case", CASES)
def test_runs_wherever_the_eager_backend_runs(case: str, dynamic: bool | None) -> None:
    kind, calls = CASES[case]
    torch.manual_seed(3)
    model = kind().eval()
    twin = copy.deepcopy(model)
    fast = torch.compile(model, backend="lightloom", options={"target": "mzi16", "ideal": True}, dynamic=dynamic)
    plain = torch.compile(twin, backend="eager", dynamic=dynamic)
    for number, call in enumerate(calls):
        pairs = []
        for run in (fast, plain):
            mine = [value.clone() if isinstance(value, torch.Tensor) else value for value in call]
            torch.manual_seed(number)
            with torch.no_grad():
                pairs.append((run(*mine), mine[0]))
        (got, seen), (wanted, wanted_seen) = pairs
        assert got.shape == wanted.shape
        assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-5)
        assert torch.equal(seen, wanted_seen)
    assert model.steps == twin.steps
    assert torch.equal(model.seen, twin.seen)


def test_marked_dimensions_share_a_program() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3)).eval()
    fast, parts = compiled(model, ideal=True)
    for batch in (5, 6, 17):
        x = torch.randn(batch, 12)
        torch._dynamo.mark_dynamic(x, 0)
        assert torch.allclose(fast(x), model(x), rtol=1e-4, atol=1e-5)
    assert sum(part.compiled for part in parts) == 1


class Branched(nn.Module):
    """Layers in a checkpoint and on both sides of a branch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.utils.checkpoint.checkpoint(lambda x: self.a(x).relu() + x.abs(), x, use_reentrant=False)
        return torch.cond(y.sum() > 9, self.b, self.c, (y,))


def test_checkpoints_and_branches_reach_the_chip() -> None:
    model = Branched().eval()
    fast, parts = compiled(model, ideal=True)
    for x in (torch.zeros(3, 4), torch.ones(3, 4) * 5):
        with torch.no_grad():
            torch.testing.assert_close(fast(x), model(x))
    assert [set(part.program.body.banks) for part in parts] == [{"a", "b", "c"}]


def test_a_graph_that_cannot_be_traced_is_tried_once_though_its_weights_change() -> None:
    torch.manual_seed(0)
    model = Net().train()
    fast, parts = compiled(model)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            fast(torch.randn(4, 12))
            with torch.no_grad():
                model.first.weight.mul_(0.9)
    assert parts[0].compiled == 1
    assert sum("runs on the host" in str(item.message) for item in told) == 1
