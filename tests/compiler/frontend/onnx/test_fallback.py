"""An operator without a torch form runs by the reference implementation: alone, traced, compiled, saved and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper

import lightloom as ll
from lightloom.compiler.frontend.onnx import registry, to_module
from lightloom.runtime.errors import CaptureError, LightloomError

from .models import info, model

W = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> ModelProto:
    """A model with an operator that this package, for once, does not know."""
    registry.entries()
    monkeypatch.delitem(registry._TABLE, ("", "Trilu"))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Trilu", ["a"], ["b"], name="cut", upper=0),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    return model(nodes, [info("x", ["N", 4, 4])], ["y"], {"w": W})


def wanted(x: torch.Tensor) -> torch.Tensor:
    w = torch.from_numpy(W)
    return torch.tril(x @ w) @ w


def test_it_runs_in_the_module(cut: ModelProto) -> None:
    x = torch.randn(3, 4, 4)
    torch.testing.assert_close(to_module(cut)(x), wanted(x))


def test_it_is_an_opaque_host_op_of_the_program(cut: ModelProto, tmp_path: Path) -> None:
    program = ll.compile(cut, torch.randn(2, 4, 4), target="ideal")
    assert "lightloom_onnx.reference" in str(program.explain())
    assert "cut" in str(program.explain())
    path = tmp_path / "program.loom"
    program.save(path)
    x = torch.randn(5, 4, 4)
    for each in (program, ll.load(path)):
        torch.testing.assert_close(each.run(x, ideal=True), wanted(x), rtol=1e-4, atol=1e-5)


def test_strings_run_in_the_module_only() -> None:
    node = helper.make_node("StringConcat", ["a", "b"], ["y"], name="join")
    strings = [info("a", [2], TensorProto.STRING), info("b", [2], TensorProto.STRING)]
    module = to_module(model([node], strings, ["y"]))
    a, b = np.array(["x", "y"], dtype=object), np.array(["1", "2"], dtype=object)
    assert module(a, b).tolist() == ["x1", "y2"]
    with pytest.raises(LightloomError):
        ll.compile(module, (torch.zeros(2), torch.zeros(2)), target="ideal")


def test_an_operator_that_nothing_implements_is_refused() -> None:
    node = helper.make_node("CastMap", ["x"], ["y"], name="cast", domain="ai.onnx.ml")
    with pytest.raises(CaptureError, match=r"cannot be executed.*'cast'"):
        to_module(model([node], [info("x", [2, 2])], ["y"], domains={"ai.onnx.ml": 3}))
