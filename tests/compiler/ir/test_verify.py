"""The verifier names every broken rule and the nodes involved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

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
