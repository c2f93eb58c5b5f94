"""The verifier names every broken rule and the nodes involved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import lightloom as ll
from lightloom.compiler.ir import Graph, Matrix, Node, Placement, Value, verify
from lightloom.compiler.passes.tile import describe
from lightloom.runtime.errors import VerifyError
from lightloom.runtime.program import BankSpec, TileBank
from lightloom.runtime.values import Ref, TensorType

VECTOR = TensorType("f32", ("s0", 4))
HOST = Placement("host", "no weights")
CHIP = Placement("photonic", "constant weights")


def good() -> Graph:
    """A correct tile graph of one 4 x 4 matrix on 2-port tiles."""
    mvm = Node("y", "ll.mvm", (Ref("x"), None), VECTOR, (("matrix", "fc"), ("kind", "linear")), placement=CHIP)
    relu = Node("z", "aten.relu.default", (Ref("y"),), VECTOR, placement=HOST)
    weight = Value("fc.weight", TensorType("f32", (4, 4)))
    place = np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1]], dtype=np.int32)
    bank = TileBank(BankSpec("fc", "clements", 2, 1, 4, 4, 4), dict(zip(("group", "row", "col"), place, strict=True)))
    return Graph(
        "tile",
        "good",
        (Value("x", VECTOR),),
        (weight,),
        (mvm, relu),
        (Ref("z"),),
        (Matrix("fc", "fc.weight", 1, 4, 4),),
        (describe(bank),),
        store={"fc.weight": torch.ones(4, 4)},
        tables={"fc": bank},
    )


def with_columns(graph: Graph, **columns: list[int]) -> Graph:
    bank = graph.tables["fc"]
    changed = {name: np.array(values, dtype=np.int32) for name, values in columns.items()}
    return replace(graph, tables={"fc": TileBank(bank.spec, {**bank.columns, **changed})})


def test_a_correct_graph_passes() -> None:
    verify(good())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda g: replace(g, stage="nm"), "unknown stage 'nm'"),
        (
            lambda g: replace(g, nodes=(g.nodes[1], g.nodes[0])),
            r"%z .* reads %y, which is defined only after",
        ),
        (lambda g: replace(g, nodes=g.nodes[1:]), r"%z .* reads %y, which nothing defines"),
        (lambda g: replace(g, nodes=(*g.nodes, g.nodes[1])), "%z .* has the name of an earlier node"),
        (lambda g: replace(g, inputs=(*g.inputs, g.inputs[0])), "input %x has the name"),
        (lambda g: replace(g, outputs=(Ref("q"),)), "output reads %q"),
        (lambda g: replace(g, store={"other": torch.ones(1)}), "constant %fc.weight has no tensor"),
        (lambda g: replace(g, store={"fc.weight": torch.ones(4)}), "constant %fc.weight is torch.float32"),
        (
            lambda g: replace(g, stage="mvm", nodes=(replace(g.nodes[0], op="ll.linear"), g.nodes[1])),
            "does not belong",
        ),
        (lambda g: replace(g, nodes=(g.nodes[0], replace(g.nodes[1], op="sys.exit"))), "unknown op sys.exit"),
        (lambda g: replace(g, nodes=(g.nodes[0], replace(g.nodes[1], placement=None))), "has no placement"),
        (
            lambda g: replace(g, nodes=(g.nodes[0], replace(g.nodes[1], placement=CHIP))),
            r"only ll\.\* ops run on the chip",
        ),
        (
            lambda g: replace(g, nodes=(replace(g.nodes[0], kwargs=(("matrix", "no"),)), g.nodes[1])),
            "@no, which is not declared",
        ),
        (
            lambda g: replace(g, nodes=(replace(g.nodes[0], type=TensorType("f32", ("s0", 5))), g.nodes[1])),
            "yields 5 rows, matrix @fc has 4",
        ),
        (lambda g: replace(g, matrices=(Matrix("fc", "fc.weight", 1, 4, 5),)), "not as many elements"),
        (lambda g: replace(g, matrices=(Matrix("fc", "x", 1, 4, 4),)), "%x is not a constant"),
        (lambda g: replace(g, matrices=(Matrix("fc", "fc.weight", 1, 4, 4, 3),)), "4 x 4 has no 3 equal blocks"),
        (lambda g: replace(g, matrices=(Matrix("fc", "fc.weight", 1, 8, 4, 2),)), "bank @fc is 1 x 4 x 4, its"),
        (lambda g: replace(g, banks=()), "differ"),
        (lambda g: with_columns(g, row=[0, 0, 1, 2]), "outside the grid"),
        (lambda g: with_columns(g, col=[0, 0, 0, 1]), "repeated or not sorted"),
        (lambda g: with_columns(g, col=[1, 0, 0, 1]), "repeated or not sorted"),
        (lambda g: with_columns(g, col=[0, 1, 0]), "3 rows for 4 tiles"),
        (lambda g: replace(g, stage="nn", nodes=()), "declares no matrices"),
    ],
)
def test_each_broken_rule_is_named(broken, message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        verify(broken(good()), "some_pass")


def test_all_faults_are_listed_at_once_with_the_pass() -> None:
    graph = replace(good(), outputs=(Ref("q"), Ref("r")))
    with pytest.raises(VerifyError, match=r"2 rule\(s\) after pass 'fold'"):
        verify(graph, "fold")


class Multiplies(torch.nn.Module):
    """A loop over time with a projection, and a product of two computed values."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = torch.nn.LSTM(4, 6, proj_size=3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.loop(x)[0]
        return y.mT @ y


@pytest.fixture(scope="module")
def computed() -> Graph:
    return ll.lower(Multiplies().eval(), torch.zeros(2, 5, 4), stop_after="lower", dynamic_matmul="photonic")


def changed(graph: Graph, op: str, **fields: object) -> Graph:
    """The graph with the fields of its node of an op replaced; ``attributes`` are merged into its own."""
    attributes = fields.pop("attributes", {})
    nodes = tuple(
        replace(node, kwargs=tuple({**dict(node.kwargs), **attributes}.items()), **fields) if node.op == op else node  # type: ignore[arg-type, dict-item]
        for node in graph.nodes
    )
    assert nodes != graph.nodes
    return replace(graph, nodes=nodes)


def with_matrix(graph: Graph, which: str, **fields: object) -> Graph:
    chosen = next(m for m in graph.matrices if which in m.name or (which == "dynamic" and m.dynamic))
    return replace(graph, matrices=tuple(replace(m, **fields) if m is chosen else m for m in graph.matrices))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda g: changed(g, "ll.product", attributes={"matrix": "nowhere"}), "@nowhere, .* declared as dynamic"),
        (lambda g: with_matrix(g, "dynamic", dynamic=False), "not declared as dynamic"),
        (lambda g: changed(g, "ll.product", type=TensorType("f32", ("s0", 3, 7))), "matrix @.* has 3 rows"),
        (lambda g: with_matrix(g, "dynamic", rows=7), "its value %|has 7 rows"),
        (lambda g: with_matrix(g, "dynamic", cols=7), "dynamic matrix @.*: its value %"),
        (lambda g: changed(g, "ll.recurrence", attributes={"matrix": "nowhere"}), "@nowhere, which is not declared"),
        (lambda g: changed(g, "ll.recurrence", attributes={"projection": "nowhere"}), "@nowhere, .* declared"),
        (lambda g: changed(g, "ll.recurrence", attributes={"kind": "clock"}), "an ll.recurrence of clock"),
        (lambda g: changed(g, "ll.recurrence", attributes={"kind": "rnn_tanh"}), "units, matrix @.* keeps"),
        (lambda g: changed(g, "ll.recurrence", attributes={"projection": None}), "units, matrix @.* keeps"),
        (lambda g: changed(g, "ll.recurrence", type=TensorType("f32", ("s0", 5, 3))), "yields .sequence, h"),
    ],
)  # fmt: skip
def test_each_rule_of_loops_and_products_is_named(computed: Graph, broken, message: str) -> None:
    verify(computed)
    with pytest.raises(VerifyError, match=message):
        verify(broken(computed), "some_pass")
