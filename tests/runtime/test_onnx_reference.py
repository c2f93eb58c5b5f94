"""ONNX nodes as opaque host ops: executed, traced with their sizes, and refused where they are more than a node."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch.export import Dim

from lightloom.runtime.errors import LightloomError
from lightloom.runtime.onnx_reference import encode, evaluate


def text(*nodes: onnx.NodeProto, opset: int = 20, **graph: object) -> str:
    names = [name for name in nodes[0].input if name] if nodes else []
    outputs = list(nodes[-1].output) if nodes else []
    body = helper.make_graph(
        list(nodes),
        "g",
        [onnx.ValueInfoProto(name=name) for name in names],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        **graph,  # type: ignore[arg-type]
    )
    return encode(helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)]))


TRILU = text(helper.make_node("Trilu", ["a"], ["b"], upper=0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool, torch.float16, torch.bfloat16])
def test_a_node_runs_in_every_type(dtype: torch.dtype) -> None:
    x = torch.arange(12).reshape(3, 4).to(dtype)
    (got,) = evaluate([x], TRILU)
    assert got.dtype == dtype
    assert torch.equal(got, torch.tril(x))


def test_strings_stay_arrays() -> None:
    node = text(helper.make_node("StringConcat", ["a", "b"], ["c"]))
    (got,) = evaluate([np.array(["a", "b"], dtype=object), np.array(["x"], dtype=object)], node)
    assert got.tolist() == ["ax", "bx"]


def test_a_traced_node_keeps_symbolic_sizes() -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.lightloom_onnx.reference([x + 1], TRILU)[0] * 2

    program = torch.export.export(Net(), (torch.randn(2, 3, 3),), dynamic_shapes=({0: Dim.DYNAMIC},))
    x = torch.randn(5, 3, 3)
    torch.testing.assert_close(program.module()(x), torch.tril(x + 1) * 2)


def test_an_operator_that_fails_is_named() -> None:
    product = text(helper.make_node("MatMul", ["a", "b"], ["c"]))
    with pytest.raises(LightloomError, match=r"at MatMul"):
        evaluate([torch.zeros(2, 3), torch.zeros(2, 3)], product)
    with pytest.raises(LightloomError, match="wrong number of inputs"):
        evaluate([], TRILU)


def graph_attribute() -> str:
    branch = helper.make_graph([helper.make_node("Identity", ["a"], ["r"])], "b", [], [onnx.ValueInfoProto(name="r")])
    return text(helper.make_node("If", ["a"], ["y"], then_branch=branch, else_branch=branch))


def file_attribute() -> str:
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=str(Path(__file__)))
    return text(helper.make_node("Constant", [], ["y"], value=tensor))


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("", "not one plain node"),
        ("not base 64!", "cannot be read"),
        (base64.b64encode(b"\xff\xff\xff garbage").decode(), "cannot be read"),
        (text(helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Relu", ["b"], ["c"])), "not one plain node"),
        (text(helper.make_node("Launch", ["a"], ["b"])), "unknown operator"),
        (text(helper.make_node("Relu", ["a"], ["b"], domain="acme")), "unknown operator"),
        (graph_attribute(), "graph or a file"),
        (file_attribute(), "graph or a file"),
    ],
)
def test_what_is_more_than_a_node_is_refused(node: str, said: str) -> None:
    with pytest.raises(LightloomError, match=said):
        evaluate([torch.zeros(2)], node)
