"""Multiply-accumulates and elements of ops, counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lightloom.compiler.ir import Graph, Node, Value
from lightloom.compiler.passes.costs import elements, is_view, macs, shape, size
from lightloom.compiler.pipeline import compile_model
from lightloom.runtime import targets
from lightloom.runtime.values import Ref, ScalarType, TensorType, TupleType


def test_symbolic_sizes_count_one_sample() -> None:
    assert [size(dim) for dim in (7, "s0", "4*s0", "s0 + 2")] == [7, 1, 4, 3]
    length = {"s0": 1, "length": 12, "S": 5}
    dims = ("length", "s0*length", "(length//5)", "Max(1, S)", "2*S - 1", "FloorDiv(length, 5)", "u7 + 1")
    assert [size(dim, length) for dim in dims] == [12, 12, 2, 5, 9, 2, 2]
    assert shape(TensorType("f32", ("s0", 3, "2*s0"))) == (1, 3, 2)
    pair = TupleType((TensorType("f32", ("s0", 3)), None, TensorType("i64", (2, 2))))
    assert elements(pair) == 3 + 1 + 4
    assert elements(ScalarType("int")) == 1


class Products(nn.Module):
    """One op of each kind that multiplies and accumulates."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(4, 6, 3, groups=2)
        self.conv2 = nn.Conv2d(2, 3, (3, 2), padding=1)
        self.up = nn.ConvTranspose1d(4, 2, 3, stride=2)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        square = x.unsqueeze(1).expand(-1, 2, -1, -1)
        heads = x.unsqueeze(1)
        return (
            self.conv1(x),
            self.conv2(square),
            self.up(x),
            self.fc(x),
            x @ x.transpose(1, 2),
            torch.baddbmm(torch.zeros(1, 4, 4), x, x.transpose(1, 2)),
            nn.functional.scaled_dot_product_attention(heads, heads, heads),
        )


def test_macs_by_hand() -> None:
    graph = compile_model(Products(), torch.zeros(2, 4, 8), targets.get("mzi16"), stop_after="place").graph
    counted = {node.origin.path or node.op: macs(node, graph) for node in graph.nodes if macs(node, graph)}
    expected = {
        "conv1": (6 * 6) * (2 * 3),
        "conv2": (3 * 4 * 9) * (2 * 3 * 2),
        "up": (4 * 8) * (2 * 3),
        "fc": (4 * 5) * 8,
        "aten.matmul.default": (4 * 4) * 8,
        "aten.baddbmm.default": (4 * 4) * 8,
        "aten.scaled_dot_product_attention.default": 2 * (4 * 4 * 8),
    }
    assert counted == expected


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], **options: bool) -> None:
        super().__init__()
        self.rnn = kind(3, 4, num_layers=2, **options)
        self.fc = nn.Linear(4 * (2 if options.get("bidirectional") else 1), 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.rnn(x)[0])


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_macs_by_hand(kind: type[nn.RNNBase], gates: int, bidirectional: bool) -> None:
    model = Recurrent(kind, batch_first=True, bidirectional=bidirectional).eval()
    graph = compile_model(model, torch.zeros(2, 5, 3), targets.get("mzi16"), stop_after="place").graph
    counted = [macs(node, graph) for node in graph.nodes if node.origin.path.startswith("rnn")]
    ways = 2 if bidirectional else 1
    first, second = gates * 4 * (3 + 4), gates * 4 * (4 * ways + 4)
    assert sum(counted) == 5 * ways * (first + second)


@pytest.mark.parametrize(
    ("op", "free"),
    [("aten.view.default", True), ("aten.sym_size.int", True), ("py.add", True), ("aten.slice.Tensor", True),
     ("aten.relu.default", False), ("aten.cat.default", False), ("aten.t.default", True), ("aten.tanh.default", False)],
)  # fmt: skip
def test_views_cost_nothing(op: str, free: bool) -> None:
    assert is_view(op) is free


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        keys = self.fc(x)
        return torch.softmax(keys @ keys.transpose(1, 2), -1) @ keys


def test_a_dynamic_length_counts_as_in_the_example() -> None:
    dynamic = torch.export.Dim.AUTO
    x = torch.zeros(3, 7, 6)
    exported = torch.export.export(Attending().eval(), (x,), dynamic_shapes=({0: dynamic, 1: dynamic},))
    graph = compile_model(exported, x, targets.get("mzi16"), stop_after="place").graph
    assert graph.inputs[0].type.shape[2] == 6
    assert all(isinstance(dim, str) for dim in graph.inputs[0].type.shape[:2])
    counted = [macs(node, graph) for node in graph.nodes if macs(node, graph)]
    assert counted == [7 * 4 * 6, 7 * 7 * 4, 7 * 7 * 4]
    body = compile_model(exported, x, targets.get("mzi16")).body
    assert body is not None
    (step,) = body.matrix_steps
    assert (body.costs[step.name].vectors, body.costs[step.name].elements) == (7, 28)


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5)), 2 * 3 * 4 * 5),
        ("bhqd,bhkd->bhqk", ((2, 3, 4, 5), (2, 3, 6, 5)), 2 * 3 * 4 * 5 * 6),
        ("bi,bi->b", ((2, 3), (2, 3)), 6),
        ("...i,ij->...j", ((2, 3, 4), (4, 5)), 2 * 3 * 4 * 5),
    ],
)
def test_einsum_counts_every_combination_of_labels(
    equation: str, shapes: tuple[tuple[int, ...], tuple[int, ...]], expected: int
) -> None:
    values = tuple(Value(name, TensorType("f32", dims)) for name, dims in zip("ab", shapes, strict=True))
    node = Node("y", "aten.einsum.default", (equation, (Ref("a"), Ref("b"))), TensorType("f32", ()))
    assert macs(node, Graph("nn", "g", values, (), (node,), (Ref("y"),))) == expected
