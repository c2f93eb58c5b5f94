"""Recurrent layers expanded: one product and one loop a direction; what stays whole, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import lightloom as ll
from lightloom.compiler.ir import Graph, parse, show, verify
from lightloom.compiler.passes import Options
from lightloom.compiler.pipeline import compile_model
from lightloom.runtime import targets
from lightloom.runtime.errors import CaptureError, CompileError


class Tagger(nn.Module):
    """An LSTM with a projection, in both directions, between two linear layers; its last state is not used."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Linear(4, 6)
        self.rnn = nn.LSTM(6, 5, bidirectional=True, proj_size=3, **options)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(x))[0])


def lowered(model: nn.Module, *inputs: Tensor, stop_after: str = "expand_recurrent", **options: Any) -> Graph:
    graph = compile_model(
        model.eval(), inputs, targets.get("mzi16"), options=Options(**options), stop_after=stop_after
    ).graph
    verify(graph)
    return graph


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


@pytest.mark.parametrize("name", ["expand_recurrent", "lower", "tile"])
def test_text_after_pass(name: str, golden: Callable[[str], None]) -> None:
    graph = lowered(Tagger(batch_first=True), torch.zeros(2, 7, 4), stop_after=name)
    text = show(graph)
    assert parse(text) == graph
    golden(text)


def test_the_graph_does_not_grow_with_time() -> None:
    sizes = [len(lowered(Tagger(batch_first=True), torch.zeros(2, times, 4)).nodes) for times in (3, 50)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("exclude", ["rnn", "r*"])
def test_an_excluded_layer_stays_whole_on_the_host(exclude: str) -> None:
    model = Tagger(batch_first=True)
    assert "aten.lstm.input" in ops(lowered(model, torch.zeros(2, 3, 4), exclude=(exclude,)))
    x = torch.randn(2, 3, 4)
    program = ll.compile(model.eval(), x, target="mzi16", exclude=[exclude])
    torch.testing.assert_close(program.run(x, ideal=True), model(x).detach(), rtol=0, atol=1e-5)
    row = next(op for op in program.explain().ops if op.op == "lstm.input")
    assert (row.where, row.macs) == ("host", 3 * 2 * (20 * 6 + 20 * 3 + 3 * 5))


def test_input_weights_alone_may_stay_on_the_host() -> None:
    graph = lowered(Tagger(), torch.zeros(2, 3, 4), stop_after="place", exclude=("rnn.weight_ih*",))
    where = {node.origin.path: node.placement.where for node in graph.nodes if node.placement and node.op[:3] == "ll."}
    assert where["rnn.weight_ih_l0"] == where["rnn.weight_ih_l0_reverse"] == "host"
    assert where["rnn.weight_hh_l0"] == where["embed"] == "photonic"


@pytest.mark.parametrize("exclude", ["rnn.weight_hh_l0", "rnn.weight_hr*"])
def test_a_loop_is_not_taken_apart(exclude: str) -> None:
    with pytest.raises(CompileError, match=r"cannot be taken apart.*Exclude 'rnn'"):
        lowered(Tagger(), torch.zeros(2, 3, 4), exclude=(exclude,))


def test_overrides_reach_the_loop_and_its_projection() -> None:
    program = ll.compile(
        Tagger().eval(), torch.zeros(2, 3, 4), target="mzi16", overrides={"rnn.weight_hh*": {"encoding.dac_bits": 4}}
    )
    assert set(program.body.layer_targets) == {
        "rnn.weight_hh_l0", "rnn.weight_hr_l0", "rnn.weight_hh_l0_reverse", "rnn.weight_hr_l0_reverse",
    }  # fmt: skip


def test_weights_computed_at_run_time_stay_on_the_host() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 3)
            self.weights = nn.ParameterList([torch.randn(9, 3), torch.randn(9, 3)])

        def forward(self, x: Tensor, scale: Tensor) -> Tensor:
            weights = [weight * scale for weight in self.weights]
            state = x.new_zeros(1, 2, 3)
            return torch._VF.gru(self.head(x), state, weights, False, 1, 0.0, False, False, False)[0]

    assert "aten.gru.input" in ops(lowered(Scaled(), torch.zeros(4, 2, 3), torch.ones(())))


def test_dropout_left_on_is_refused() -> None:
    model = nn.LSTM(3, 4, 2, dropout=0.5)
    with pytest.raises(CaptureError, match=r"training behaviour .*train is on.*Call model.eval"):
        compile_model(model, torch.zeros(3, 2, 3), targets.get("mzi16"), stop_after="expand_recurrent")
    lowered(model, torch.zeros(3, 2, 3))


def test_one_layer_called_twice_is_placed_once() -> None:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4, batch_first=True)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.rnn(left)[1] - self.rnn(right)[1]

    program = ll.compile(Siamese().eval(), (torch.zeros(1, 3, 3), torch.zeros(1, 5, 3)), target="mzi16")
    assert set(program.body.banks) == {"rnn.weight_ih_l0", "rnn.weight_hh_l0"}
    schedule = program.schedule_for(1, "weight")
    assert (schedule.kind == 0).sum() == 2, "both calls find their tiles where they were"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell tanh", "RNNCell relu"])
def test_cells(kind: str, bias: bool) -> None:
    name, _, nonlinearity = kind.partition(" ")

    class Loop(nn.Module):
        """A loop of the user's own: two time steps that share their weights."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            options = {"nonlinearity": nonlinearity} if nonlinearity else {}
            self.cell = getattr(nn, name)(3, 4, bias=bias, **options)

        def forward(self, x: Tensor, h: Tensor) -> Any:
            state = (h, h * 0.5) if name == "LSTMCell" else h
            for time in range(2):
                state = self.cell(x[:, time], state)
            return state

    model = Loop().eval()
    inputs = torch.randn(3, 2, 3), torch.randn(3, 4)
    program = ll.compile(model, inputs, target="mzi16")
    assert set(program.body.banks) == {"cell.weight_ih", "cell.weight_hh"}
    assert program.explain().photonic_macs == program.explain().macs
    for mine, theirs in zip(tree_leaves(program.run(*inputs, ideal=True)), tree_leaves(model(*inputs)), strict=True):
        torch.testing.assert_close(mine, theirs.detach(), rtol=0, atol=1e-5)


def test_packed_sequences_are_refused_with_a_way_out() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(3, 4, batch_first=True)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return self.rnn(packed)[1][0]

    with pytest.raises(CaptureError, match="packed sequences cannot be compiled"):
        lowered(Packed(), torch.zeros(2, 3, 3), torch.tensor([3, 2]))


@pytest.mark.parametrize("role", ["weight_hh_l0", "weight_hr_l0", "bias_hh_l0"])
def test_weights_that_are_no_numbers_are_named(role: str) -> None:
    model = Tagger()
    with torch.no_grad():
        getattr(model.rnn, role)[0] = torch.nan
    with pytest.raises(CompileError, match=r"rnn.weight_hh_l0 .*NaN or inf"):
        lowered(model, torch.zeros(2, 3, 4), stop_after="place")
