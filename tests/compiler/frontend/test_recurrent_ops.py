"""Recurrent layers traced as one op: any length, no trace that grows with it, and nothing left changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import rnn as packing

from lightloom.compiler.frontend.capture import capture
from lightloom.compiler.frontend.recurrent_ops import NAMES, whole_loops
from lightloom.runtime.errors import CaptureError


class Direct(nn.Module):
    """An LSTM called as ``torch.lstm``, as importers do."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(1, x.shape[0], 4)
        return torch.lstm(x, [state, state], list(self.rnn.parameters()), True, 1, 0.0, False, False, True)[0]


@pytest.mark.parametrize(
    "model", [nn.LSTM(3, 4, batch_first=True, proj_size=2), nn.GRU(3, 4, batch_first=True), Direct()]
)
def test_the_graph_holds_one_aten_op_of_any_length(model: nn.Module) -> None:
    name = "x" if isinstance(model, Direct) else "input"
    graph = capture(model.eval(), torch.zeros(2, 300, 3), {name: {1: "time"}}).graph
    ops = [node.op for node in graph.nodes]
    assert sum(op in NAMES.values() for op in ops) == 1
    assert graph.inputs[0].type.shape == ("s0", "time", 3)
    sequence = next(node for node in graph.nodes if node.op in NAMES.values()).type.items[0]
    assert sequence.shape[:2] == ("s0", "time")


@pytest.mark.parametrize("strict", [False, True])
def test_declared_shapes_are_those_of_a_run(strict: bool) -> None:
    model = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2).eval()
    x = torch.randn(5, 2, 3)
    with whole_loops():
        program = torch.export.export(model, (x,), strict=strict)
    for got, wanted in zip(program.module()(x)[1], model(x)[1], strict=True):
        torch.testing.assert_close(got, wanted)
    loop = next(node for node in program.graph.nodes if str(node.target) in NAMES)
    assert [tuple(value.shape) for value in loop.meta["val"]] == [(5, 2, 4), (4, 2, 2), (4, 2, 4)]


def test_nothing_stays_changed_even_after_an_error() -> None:
    before = nn.modules.rnn._VF, packing._VF, torch.lstm, torch.gru
    with whole_loops(), whole_loops():
        assert torch.lstm is not before[2]
        with pytest.raises(CaptureError, match="packed sequences cannot be compiled"):
            packing.pack_padded_sequence(torch.zeros(3, 1, 2), torch.tensor([3]))
    with pytest.raises(RuntimeError), whole_loops():
        raise RuntimeError
    assert (nn.modules.rnn._VF, packing._VF, torch.lstm, torch.gru) == before
    packed = packing.pack_sequence([torch.zeros(3, 2), torch.zeros(1, 2)])
    assert nn.GRU(2, 4)(packed)[0].data.shape == (4, 4)
