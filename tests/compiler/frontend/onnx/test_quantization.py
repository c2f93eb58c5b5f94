"""Quantized models: integer weights reach the chip as constant matrices of small integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from lightloom.compiler.frontend.onnx import to_module
from lightloom.compiler.frontend.onnx.arrays import to_torch
from lightloom.compiler.frontend.onnx.backend import prepare
from lightloom.runtime.errors import InputError

ort = pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(11)
TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.int8): TensorProto.INT8,
}


def model_of(nodes: list, x: np.ndarray, weights: dict[str, Any], opset: int = 17) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", TYPES[x.dtype], ["n", *x.shape[1:]])],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def on_chip(model: onnx.ModelProto, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the ideal chip and onnxruntime say."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rep = prepare(model)
    (result,) = rep.run([x])
    assert rep.placement == "chip", rep.reason
    return result, session.run(None, {"x": x})[0]


def code(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape).astype(dtype)


SCALES = {"xs": np.float32(0.02), "xz": np.uint8(120), "ys": np.float32(0.3), "yz": np.uint8(90)}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("channels", [False, True])
def test_qlinear_conv(signed: bool, channels: bool) -> None:
    dtype = np.int8 if signed else np.uint8
    weights = {
        **SCALES,
        # onnxruntime's int8 kernels for processors without VNNI saturate sums of pairs: weights of seven bits do not.
        "w": (code(6, 3, 3, 3, dtype=dtype) // 2).astype(dtype) if signed else code(6, 3, 3, 3),
        "ws": np.abs(RNG.standard_normal(6)).astype(np.float32) / 20 if channels else np.float32(0.03),
        "wz": np.zeros(6, dtype) if channels else dtype(3),
        "b": RNG.integers(-500, 500, 6).astype(np.int32),
    }
    node = helper.make_node(
        "QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"], pads=[1, 0, 1, 2]
    )
    mine, theirs = on_chip(model_of([node], x := code(2, 3, 7, 7), weights), x)
    assert mine.dtype == theirs.dtype
    assert np.abs(mine.astype(int) - theirs.astype(int)).max() <= 1
    assert (mine == theirs).mean() > 0.99


def test_qlinear_matmul_and_integer_products() -> None:
    x, w = code(4, 24), code(24, 8)
    weights = {**SCALES, "w": w, "ws": np.float32(0.03), "wz": np.uint8(131)}
    node = helper.make_node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"])
    mine, theirs = on_chip(model_of([node], x, weights), x)
    assert np.abs(mine.astype(int) - theirs.astype(int)).max() <= 1
    node = helper.make_node("MatMulInteger", ["x", "w", "xz", "wz"], ["y"])
    mine, theirs = on_chip(model_of([node], x, weights), x)
    np.testing.assert_array_equal(mine, theirs)
    kernel = code(5, 2, 3, 3)
    node = helper.make_node("ConvInteger", ["x", "w", "xz", "wz"], ["y"])
    image = code(1, 2, 6, 6)
    mine, theirs = on_chip(model_of([node], image, {**weights, "w": kernel}), image)
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", [TensorProto.INT8, TensorProto.INT4, TensorProto.UINT4])
def test_dequantized_weights_are_constants_of_the_chip(kind: int) -> None:
    array_type = helper.tensor_dtype_to_np_dtype(kind)
    low, high = (-7, 7) if kind != TensorProto.UINT4 else (0, 15)
    x, values = RNG.standard_normal((3, 32)).astype(np.float32), RNG.integers(low, high, (32, 6))
    weights = {
        "w": values.astype(array_type),
        "ws": np.abs(RNG.standard_normal((2, 6))).astype(np.float32),
        "wz": np.full((2, 6), 1).astype(array_type),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["d"], axis=0, block_size=16),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    rep = prepare(model_of(nodes, x, weights, opset=21))
    wanted = x @ ((values - 1) * np.repeat(weights["ws"], 16, 0)).astype(np.float32)
    np.testing.assert_allclose(rep.run([x])[0], wanted, rtol=1e-4, atol=1e-4)
    assert rep.placement == "chip", rep.reason


def test_codes_saturate_and_round_half_to_even() -> None:
    x = np.float32([[-1e30, -1.25, 0.25, 0.75, 1e30]])
    weights = {"s": np.float32(0.5), "z": np.int8(10)}
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    (result,) = prepare(model_of([node], x, weights)).run([x])
    np.testing.assert_array_equal(result, [[-128, 8, 10, 12, 127]])


def test_scales_that_do_not_fit_are_named() -> None:
    x = RNG.standard_normal((2, 5)).astype(np.float32)
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], name="coder", axis=1)
    model = model_of([node], x, {"s": np.ones(4, np.float32), "z": np.zeros(4, np.uint8)})
    with torch.no_grad(), pytest.raises(InputError, match=r"'coder'.*input 1 's'.*5 of them"):
        to_module(model)(to_torch(x))
