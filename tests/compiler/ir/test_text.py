"""The IR's text: it prints deterministically and reads back as the same graph."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.compiler.ir import (
    Bank,
    Column,
    Graph,
    Matrix,
    Node,
    Origin,
    ParseError,
    Placement,
    Value,
    parse,
    show,
)
from lightloom.runtime.program import BankSpec
from lightloom.runtime.values import Ref, ScalarType, TensorType, Token, TupleType

names = st.text(min_size=1, max_size=8)
words = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(lambda w: w not in ("none", "true", "false"))
dims = st.one_of(st.integers(0, 10**12), st.sampled_from(["s0", "s1", "2*s0 + 1", "Max(1, s0)"]))
tensor_types = st.builds(
    TensorType, st.sampled_from(["f32", "bf16", "i64", "bool"]), st.lists(dims, max_size=4).map(tuple)
)
types = st.recursive(
    st.one_of(tensor_types, st.builds(ScalarType, st.sampled_from(["int", "float", "bool"]))),
    lambda inner: st.builds(TupleType, st.lists(st.none() | inner, max_size=3).map(tuple)),
    max_leaves=4,
)
literals = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.builds(Ref, names),
    st.builds(Token, st.sampled_from(["float32", "strided", "cpu", "cuda:0", "channels_last"])),
)
args = st.recursive(literals, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
nodes = st.builds(
    Node,
    name=names,
    op=st.sampled_from(["aten.relu.default", "ll.mvm", "py.add"]),
    args=st.lists(args, max_size=3).map(tuple),
    type=types,
    kwargs=st.lists(st.tuples(words, args), max_size=3, unique_by=lambda pair: pair[0]).map(tuple),
    origin=st.builds(Origin, st.text(max_size=8), st.lists(words, max_size=2).map(tuple)),
    placement=st.none() | st.builds(Placement, st.sampled_from(["host", "photonic"]), st.text(max_size=8)),
)
sizes = st.integers(0, 10**6)
banks = st.builds(
    Bank,
    st.builds(BankSpec, names, words, sizes, sizes, sizes, sizes, sizes, st.none() | sizes, st.none() | sizes),
    st.lists(st.builds(Column, words, st.just("u32"), st.lists(sizes, max_size=2).map(tuple)), max_size=2).map(tuple),
)
graphs = st.builds(
    Graph,
    stage=st.sampled_from(["nn", "mvm", "tile"]),
    name=st.text(max_size=8),
    inputs=st.lists(st.builds(Value, names, tensor_types), max_size=2).map(tuple),
    constants=st.lists(st.builds(Value, names, tensor_types), max_size=2).map(tuple),
    nodes=st.lists(nodes, max_size=4).map(tuple),
    outputs=st.lists(args, max_size=2).map(tuple),
    matrices=st.lists(st.builds(Matrix, names, names, sizes, sizes, sizes), max_size=2).map(tuple),
    banks=st.lists(banks, max_size=2).map(tuple),
)


@settings(max_examples=300, deadline=None)
@given(graphs)
def test_parse_reads_back_what_show_prints(graph: Graph) -> None:
    assert parse(show(graph)) == graph


def test_a_line_of_every_kind_reads_well() -> None:
    node = Node(
        "y",
        "ll.conv2d",
        (Ref("x"), Ref("0.weight"), None),
        TensorType("f32", ("s0", 8, "2*s1", 5)),
        (("stride", (1, 2)), ("dtype", Token("float32")), ("eps", 1e-05)),
        Origin("net.0", ("capture", "place")),
        Placement("photonic", 'a "good" reason'),
    )
    graph = Graph("nn", "Net", (), (), (node,), (Ref("y"),))
    line = show(graph).splitlines()[1]
    assert line == (
        '  %y: f32[s0, 8, "2*s1", 5] = ll.conv2d(%x, %0.weight, none, stride=[1, 2], dtype=!float32, eps=1e-05)'
        ' on photonic because "a \\"good\\" reason" from "net.0" via capture, place'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends too early"),
        ('what "x" {\n return\n}', "unknown stage"),
        ('nn "x" {\n  input %a f32[1]\n}', "line 2"),
        ('nn "x" {\n  return %a\n} more', "end of the text"),
        ('nn "x" {\n  ? }', "unreadable character"),
        ('tile "x" {\n  bank @a(prts=1) {}\n  return\n}', "wrong fields"),
    ],
)
def test_faulty_text_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse(text)
