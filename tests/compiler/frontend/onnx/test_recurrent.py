"""LSTM, GRU and RNN in their options against onnxruntime, with constant weights and weights that arrive as inputs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from lightloom.compiler.frontend.onnx import to_module
from lightloom.compiler.frontend.onnx.arrays import to_numpy, to_torch
from lightloom.compiler.frontend.onnx.backend import prepare

ort = pytest.importorskip("onnxruntime")
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, SIZE, HIDDEN = 5, 2, 4, 3


def model_of(op: str, constants: bool, states: bool = False, lengths: bool = False, peepholes: bool = False,
             bias: bool = True, **attributes: Any) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:  # fmt: skip
    rng = np.random.default_rng(3)

    def real(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    both = 2 if attributes.get("direction") == "bidirectional" else 1
    rows = GATES[op] * HIDDEN
    values = {"x": real(STEPS, BATCH, SIZE), "w": real(both, rows, SIZE), "r": real(both, rows, HIDDEN)}
    names = ["x", "w", "r"]
    optional = {
        "b": real(both, 2 * rows) if bias else None,
        "lengths": np.array([5, 3], np.int32) if lengths else None,
        "h": real(both, BATCH, HIDDEN) if states else None,
    }
    if op == "LSTM":
        optional["c"] = real(both, BATCH, HIDDEN) if states else None
        optional["p"] = real(both, 3 * HIDDEN) if peepholes else None
    for name, value in optional.items():
        names.append(name if value is not None else "")
        if value is not None:
            values[name] = value
    outputs = ["y", "yh", "yc"] if op == "LSTM" else ["y", "yh"]
    node = helper.make_node(op, names, outputs, name="layer", hidden_size=HIDDEN, **attributes)
    fixed = {name for name in ("w", "r", "b", "p") if constants and name in values}
    kinds = {"lengths": TensorProto.INT32}
    graph = helper.make_graph(
        [node],
        "recurrent",
        [
            helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), v.shape)
            for n, v in values.items()
            if n not in fixed
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(values[name], name) for name in fixed],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model, {name: value for name, value in values.items() if name not in fixed}


def check(op: str, **options: Any) -> None:
    for constants in (True, False):
        model, inputs = model_of(op, constants, **options)
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        wanted = session.run(None, inputs)
        with torch.no_grad():
            got = to_module(model)(*map(to_torch, inputs.values()))
        for mine, theirs in zip(got, wanted, strict=True):
            np.testing.assert_allclose(to_numpy(mine), theirs, rtol=1e-4, atol=1e-5)


DIRECTIONS = ("forward", "reverse", "bidirectional")


@pytest.mark.parametrize(("op", "direction"), list(itertools.product(GATES, DIRECTIONS)))
def test_directions_states_and_lengths(op: str, direction: str) -> None:
    for states, lengths, bias in itertools.product((False, True), repeat=3):
        check(op, states=states, lengths=lengths, bias=bias, direction=direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_gru_that_multiplies_before_it_resets(direction: str) -> None:
    check("GRU", direction=direction, linear_before_reset=1, states=True)
    check("GRU", direction=direction, linear_before_reset=1, lengths=True)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_lstm_with_peepholes_and_clip(direction: str) -> None:
    check("LSTM", direction=direction, peepholes=True)
    check("LSTM", direction=direction, clip=0.3)


def test_other_activations() -> None:
    check("RNN", activations=["Relu"])
    check("RNN", activations=["Relu", "Tanh"], direction="bidirectional")
    check("RNN", activations=["LeakyRelu"], activation_alpha=[0.2])
    check("LSTM", activations=["HardSigmoid", "Softsign", "Tanh"], activation_alpha=[0.3], activation_beta=[0.4])
    check("LSTM", activations=["sigmoid", "tanh", "tanh"])
    check("GRU", activations=["Sigmoid", "ScaledTanh"], activation_alpha=[0.8], activation_beta=[0.9])


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_the_batch_may_come_first(op: str) -> None:
    """onnxruntime lacks layout=1: compare with layout=0."""
    plain, inputs = model_of(op, True, states=True)
    first, _ = model_of(op, True, states=True, layout=1)
    swapped = {name: value.swapaxes(0, 1) for name, value in inputs.items()}
    for info in first.graph.input:
        for dim, size in zip(info.type.tensor_type.shape.dim, swapped[info.name].shape, strict=True):
            dim.dim_value = size
    with torch.no_grad():
        wanted = to_module(plain)(*map(to_torch, inputs.values()))
        got = to_module(first)(*(to_torch(value.copy()) for value in swapped.values()))
    torch.testing.assert_close(got[0], wanted[0].permute(2, 0, 1, 3))
    for mine, theirs in zip(got[1:], wanted[1:], strict=True):
        torch.testing.assert_close(mine, theirs.transpose(0, 1))


@pytest.mark.parametrize(
    ("op", "options"), [("LSTM", {}), ("GRU", {"linear_before_reset": 1}), ("GRU", {}), ("RNN", {})]
)
def test_constant_weights_run_on_the_chip(op: str, options: dict[str, Any]) -> None:
    model, inputs = model_of(op, True, direction="bidirectional", **options)
    rep = prepare(model)
    got = rep.run(list(inputs.values()))
    assert rep.placement == "chip", rep.reason
    with torch.no_grad():
        wanted = to_module(model)(*map(to_torch, inputs.values()))
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, to_numpy(theirs), rtol=1e-4, atol=1e-5)
