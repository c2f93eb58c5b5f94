"""If, Loop, Scan, sequences: resolved where they are constant, selected where they depend on data, bounded always."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from lightloom.compiler.frontend.onnx import to_module
from lightloom.compiler.frontend.onnx.backend import prepare
from lightloom.runtime.errors import LightloomError

F, INT, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
RNG = np.random.default_rng(5)
W, V = (RNG.standard_normal((4, 4)).astype(np.float32) / 2 for _ in range(2))
X = RNG.standard_normal((3, 4)).astype(np.float32)


def graph(name: str, nodes: list, inputs: list, outputs: list[str], weights: dict | None = None) -> GraphProto:
    infos = [helper.make_tensor_value_info(*info) for info in inputs]
    made = [numpy_helper.from_array(np.asarray(value), key) for key, value in (weights or {}).items()]
    return helper.make_graph(nodes, name, infos, [onnx.ValueInfoProto(name=out) for out in outputs], made)


def model(body: GraphProto) -> ModelProto:
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def branches() -> dict[str, GraphProto]:
    return {
        "then_branch": graph("then", [helper.make_node("MatMul", ["x", "w"], ["t"])], [], ["t"]),
        "else_branch": graph("else", [helper.make_node("MatMul", ["x", "v"], ["e"])], [], ["e"]),
    }


@pytest.mark.parametrize("chosen", [True, False])
def test_a_constant_condition_leaves_one_branch(chosen: bool) -> None:
    body = graph("g", [helper.make_node("If", ["c"], ["y"], **branches())], [("x", F, [3, 4])], ["y"],
                 {"c": chosen, "w": W, "v": V})  # fmt: skip
    module = to_module(model(body))
    assert [type(child).__name__ for child in module.children()] == ["OnnxNode"]
    assert "OnnxNode(MatMul" in str(module)
    rep = prepare(model(body))
    np.testing.assert_allclose(rep.run([X])[0], X @ (W if chosen else V), rtol=1e-4, atol=1e-5)
    assert rep.placement == "chip"
    assert rep.reason.startswith("1 matrices")


def test_a_condition_on_data_selects() -> None:
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], **branches()),
    ]
    body = graph("g", nodes, [("x", F, [3, 4])], ["y"], {"zero": np.float32(0), "w": W, "v": V})
    rep = prepare(model(body))
    for x in (np.abs(X), -np.abs(X)):
        wanted = x @ (W if x.sum() > 0 else V)
        np.testing.assert_allclose(rep.run([x])[0], wanted, rtol=1e-4, atol=1e-5)
    assert rep.placement == "chip", rep.reason


def test_branches_of_different_shapes_need_a_constant_condition() -> None:
    uneven = branches()
    uneven["else_branch"].node[0].CopyFrom(helper.make_node("Flatten", ["x"], ["e"], axis=0))
    nodes = [helper.make_node("If", ["c"], ["y"], name="fork", **uneven)]
    body = graph("g", nodes, [("x", F, [3, 4]), ("c", B, [])], ["y"], {"w": W})
    rep = prepare(model(body))
    assert rep.run([X, np.array(False)])[0].shape == (1, 12)
    assert rep.placement == "host"
    assert "'fork'" in rep.reason
    assert "branches of one shape" in rep.reason


def loop(trips: int | None, condition: str, nodes: list | None = None) -> GraphProto:
    steps = nodes or [
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Tanh", ["m"], ["h_out"]),
        helper.make_node("Identity", ["go"], ["go_out"]),
        helper.make_node("ReduceSum", ["h_out"], ["seen"], keepdims=0),
    ]
    body = graph("body", steps, [("i", INT, []), ("go", B, []), ("h", F, [3, 4])], ["go_out", "h_out", "seen"])
    node = helper.make_node(
        "Loop", ["trips" if trips is not None else "", condition, "x"], ["y", "all"], name="round", body=body
    )
    weights = {"w": W, "always": True} | ({"trips": np.int64(trips)} if trips is not None else {})
    return graph("g", [node], [("x", F, [3, 4])], ["y", "all"], weights)


def test_a_constant_trip_count_is_written_out_on_one_matrix() -> None:
    rep = prepare(model(loop(3, "always")))
    state, seen = X, []
    for _ in range(3):
        state = np.tanh(state @ W)
        seen.append(state.sum())
    y, every = rep.run([X])
    np.testing.assert_allclose(y, state, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(every, seen, rtol=1e-4, atol=1e-4)
    assert rep.placement == "chip", rep.reason
    assert rep.reason.startswith("1 matrices")


def while_positive() -> GraphProto:
    nodes = [
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Abs", ["m"], ["a"]),
        helper.make_node("Sub", ["a", "half"], ["h_out"]),
        helper.make_node("ReduceSum", ["h_out"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["go_out"]),
    ]
    body = graph("body", nodes, [("i", INT, []), ("go", B, []), ("h", F, [3, 4])], ["go_out", "h_out"])
    node = helper.make_node("Loop", ["", "always", "x"], ["y"], name="until", body=body)
    weights = {"w": W, "always": True, "half": np.float32(0.2), "zero": np.float32(0)}
    return graph("g", [node], [("x", F, [3, 4])], ["y"], weights)


def test_an_end_on_data_runs_on_the_host() -> None:
    rep = prepare(model(while_positive()))
    state = X
    while True:
        state = np.abs(state @ W) - np.float32(0.2)
        if state.sum() <= 0:
            break
    np.testing.assert_allclose(rep.run([X])[0], state, rtol=1e-4, atol=1e-5)
    assert rep.placement == "host"
    assert "'until'" in rep.reason
    assert "constant trip count" in rep.reason


def test_an_end_on_data_within_a_constant_trip_count_is_masked() -> None:
    body = while_positive()
    body.node[0].input[0] = "most"
    body.initializer.append(numpy_helper.from_array(np.int64(6), "most"))
    rep = prepare(model(body))
    state = X
    for _ in range(6):
        state = np.abs(state @ W) - np.float32(0.2)
        if state.sum() <= 0:
            break
    np.testing.assert_allclose(rep.run([X])[0], state, rtol=1e-4, atol=1e-5)
    assert rep.placement == "chip", rep.reason


def test_a_loop_that_never_ends_is_stopped() -> None:
    steps = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in ("h", "go")]
    endless = loop(None, "always", [*steps, helper.make_node("Identity", ["i"], ["seen"])])
    with pytest.raises(LightloomError, match=r"'round'.*20000"):
        to_module(model(endless))(torch.from_numpy(X))


def test_a_scan_is_a_loop_over_its_input() -> None:
    nodes = [
        helper.make_node("MatMul", ["row", "w"], ["m"]),
        helper.make_node("Add", ["m", "h"], ["h_out"]),
        helper.make_node("Identity", ["h_out"], ["seen"]),
    ]
    body = graph("body", nodes, [("h", F, [4]), ("row", F, [4])], ["h_out", "seen"])
    node = helper.make_node("Scan", ["h0", "x"], ["y", "all"], body=body, num_scan_inputs=1, scan_output_directions=[1])
    rep = prepare(model(graph("g", [node], [("h0", F, [4]), ("x", F, [3, 4])], ["y", "all"], {"w": W})))
    y, every = rep.run([np.zeros(4, np.float32), X])
    sums = np.cumsum(X @ W, 0)
    np.testing.assert_allclose(y, sums[-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(every, sums[::-1], rtol=1e-4, atol=1e-5)
    assert rep.placement == "chip", rep.reason


def test_sequences_inside_a_compiled_model() -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x", "parts"], ["s"], axis=1),
        helper.make_node("SequenceAt", ["s", "one"], ["second"]),
        helper.make_node("SequenceErase", ["s", "one"], ["rest"]),
        helper.make_node("SequenceInsert", ["rest", "second"], ["turned"]),
        helper.make_node("ConcatFromSequence", ["turned"], ["joined"], axis=1),
        helper.make_node("MatMul", ["joined", "w"], ["y"]),
    ]
    weights = {"parts": np.array([1, 2, 1], np.int64), "one": np.int64(1), "w": W}
    rep = prepare(model(graph("g", nodes, [("x", F, [3, 4])], ["y"], weights)))
    np.testing.assert_allclose(rep.run([X])[0], X[:, [0, 3, 1, 2]] @ W, rtol=1e-4, atol=1e-5)
    assert rep.placement == "chip", rep.reason
