"""com.microsoft operators against onnxruntime, with weights as constants and as inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from lightloom.compiler.frontend.onnx import to_module
from lightloom.compiler.frontend.onnx.arrays import to_numpy, to_torch
from lightloom.compiler.frontend.onnx.backend import prepare

ort = pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def code(*shape: int, dtype: type = np.uint8, low: int = 0, high: int = 255) -> np.ndarray:
    return RNG.integers(low, high, shape).astype(dtype)


def scalar(value: float, dtype: type = np.float32) -> np.ndarray:
    return np.array(value, dtype=dtype)


@dataclass
class Case:
    """One node; inputs after the first ``free`` may be constants of the model."""

    op: str
    inputs: Sequence[np.ndarray | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    domain: str = "com.microsoft"
    free: int = 1
    rtol: float = 1e-4
    atol: float = 1e-5
    off_by_one: bool = False
    compared: Sequence[int] | None = None
    name: str = ""


def packed_weight(rows: int, columns: int, block: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    blocks = -(-columns // block)
    return code(rows, blocks, block * bits // 8), np.abs(real(rows, blocks)) * 0.1 + 0.01


def n_bits(bits: int, zeros: str = "", columns: int = 48, bias: bool = False) -> Case:
    packed, scales = packed_weight(24, columns, 16, bits)
    blocks = packed.shape[1]
    zero: np.ndarray | None = None
    if zeros == "packed":
        zero = code(24, -(-blocks * bits // 8))
    elif zeros == "real":
        zero = np.abs(real(24, blocks)) * 3
    inputs: list[np.ndarray | None] = [real(5, columns), packed, scales, zero]
    if bias:
        inputs += [None, real(24)]
    attributes = {"K": columns, "N": 24, "bits": bits, "block_size": 16}
    return Case(
        "MatMulNBits", inputs, attributes, rtol=1e-3, atol=1e-3, name=f"MatMulNBits_{bits}_{zeros}_{columns}_{bias}"
    )


MASK2 = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=np.int32)
COS, SIN = np.cos(real(16, 4)), np.sin(real(16, 4))

CASES = [
    Case("Gelu", [real(3, 4)]),
    Case("BiasGelu", [real(3, 4), real(4)]),
    Case("FastGelu", [real(3, 4), real(4)], atol=1e-4),
    Case("FastGelu", [real(3, 4)], atol=1e-4, name="FastGelu_plain"),
    Case("QuickGelu", [real(3, 4)], {"alpha": 1.5}),
    Case("FusedMatMul", [real(2, 3, 4), real(4, 5)], {"alpha": 0.5}),
    Case("FusedMatMul", [real(2, 4, 3), real(5, 4)], {"transA": 1, "transB": 1}, name="FusedMatMul_trans"),
    Case("FusedMatMul", [real(4, 2, 3), real(3, 2, 5)], {"transBatchA": 1, "transBatchB": 1}, name="FusedMatMul_batch"),
    Case("FusedGemm", [real(3, 4), real(4, 5), real(5)], {"activation": "Relu"}),
    Case(
        "FusedGemm",
        [real(3, 4), real(5, 4), real(5)],
        {"activation": "LeakyRelu", "activation_alpha": 0.3, "transB": 1},
        name="FusedGemm_leaky",
    ),
    Case("FusedConv", [real(1, 3, 6, 6), real(4, 3, 3, 3), real(4)], {"activation": "Relu", "pads": [1, 1, 1, 1]}),
    Case(
        "FusedConv",
        [real(1, 3, 6, 6), real(4, 3, 3, 3), real(4)],
        {"activation": "Clip", "activation_params": [-0.5, 0.5]},
        name="FusedConv_clip",
    ),
    Case("SimplifiedLayerNormalization", [real(2, 3, 8), real(8)], {"epsilon": 1e-4, "axis": -1}, domain=""),
    Case(
        "SkipLayerNormalization",
        [real(2, 3, 8), real(2, 3, 8), real(8), real(8), real(8)],
        outputs=4,
        free=2,
        compared=[0, 3],
    ),
    Case(
        "SkipLayerNormalization", [real(2, 3, 8), real(2, 3, 8), real(8)], {"epsilon": 1e-3}, free=2, name="Skip_plain"
    ),
    Case(
        "SkipSimplifiedLayerNormalization",
        [real(2, 3, 8), real(2, 3, 8), real(8), real(8)],
        outputs=4,
        free=2,
        compared=[0, 3],
    ),
    Case(
        "EmbedLayerNormalization",
        [
            code(2, 5, dtype=np.int32, high=9),
            code(2, 5, dtype=np.int32, high=2),
            real(10, 8),
            real(7, 8),
            real(2, 8),
            real(8),
            real(8),
            MASK2,
        ],
        {"epsilon": 1e-5},
        outputs=2,
        free=2,
    ),
    Case("Attention", [real(2, 5, 8), real(8, 24), real(24)], {"num_heads": 2}),
    Case("Attention", [real(2, 5, 8), real(8, 24), real(24), MASK2], {"num_heads": 2}, name="Attention_mask"),
    Case(
        "Attention",
        [real(2, 5, 8), real(8, 24), real(24), np.array([3, 5], np.int32)],
        {"num_heads": 2},
        name="Attention_lengths",
    ),
    Case(
        "Attention",
        [real(2, 5, 8), real(8, 24), real(24)],
        {"num_heads": 2, "unidirectional": 1, "scale": 0.3},
        name="Attention_causal",
    ),
    Case(
        "Attention",
        [real(2, 5, 8), real(8, 24), real(24), None, real(2, 2, 2, 3, 4)],
        {"num_heads": 2, "unidirectional": 1},
        outputs=2,
        name="Attention_past",
    ),
    Case(
        "Attention",
        [real(2, 5, 8), real(8, 20), real(20)],
        {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]},
        name="Attention_sizes",
    ),
    Case("MultiHeadAttention", [real(2, 5, 8), real(2, 6, 8), real(2, 6, 8)], {"num_heads": 2}, free=3),
    Case(
        "MultiHeadAttention",
        [real(2, 5, 8), real(2, 5, 8), real(2, 5, 8), real(24), MASK2],
        {"num_heads": 2},
        free=3,
        name="MHA_bias_mask",
    ),
    Case(
        "MultiHeadAttention",
        [real(2, 5, 8), real(2, 5, 8), real(2, 5, 8), None, None, real(1, 2, 5, 8), real(2, 2, 3, 4), real(2, 2, 3, 4)],
        {"num_heads": 2},
        outputs=3,
        free=3,
        name="MHA_past",
    ),
    Case(
        "GroupQueryAttention",
        [
            real(2, 4, 64),
            real(2, 4, 32),
            real(2, 4, 32),
            np.zeros((2, 2, 0, 16), np.float32),
            np.zeros((2, 2, 0, 16), np.float32),
            np.array([3, 3], np.int32),
            np.array(4, np.int32),
        ],
        {"num_heads": 4, "kv_num_heads": 2},
        outputs=3,
        free=7,
    ),
    Case(
        "GroupQueryAttention",
        [
            real(2, 1, 64),
            real(2, 1, 32),
            real(2, 1, 32),
            real(2, 2, 6, 16),
            real(2, 2, 6, 16),
            np.array([6, 6], np.int32),
            np.array(7, np.int32),
            np.cos(real(16, 8)),
            np.sin(real(16, 8)),
        ],
        {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1},
        outputs=3,
        free=7,
        name="GQA_step",
    ),
    Case(
        "GroupQueryAttention",
        [
            real(2, 4, 128),
            None,
            None,
            np.zeros((2, 2, 0, 16), np.float32),
            np.zeros((2, 2, 0, 16), np.float32),
            np.array([3, 3], np.int32),
            np.array(4, np.int32),
            np.cos(real(16, 8)),
            np.sin(real(16, 8)),
        ],
        {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1, "local_window_size": 2, "softcap": 5.0},
        outputs=3,
        free=7,
        name="GQA_packed_window",
    ),
    Case("RotaryEmbedding", [real(2, 3, 16), np.array([0], np.int64), COS, SIN]),
    Case(
        "RotaryEmbedding",
        [real(2, 3, 16), code(2, 3, dtype=np.int64, high=16), COS, SIN],
        {"interleaved": 1},
        name="Rotary_interleaved",
    ),
    Case("RotaryEmbedding", [real(2, 2, 3, 8), np.array([4], np.int64), COS, SIN], name="Rotary_rank4"),
    n_bits(4),
    n_bits(4, "packed"),
    n_bits(4, "real"),
    n_bits(4, "packed", 40),
    n_bits(8),
    n_bits(8, "packed"),
    n_bits(4, "packed", 48, True),
    Case(
        "MatMulIntegerToFloat",
        [code(3, 8), code(8, 5), scalar(0.1), scalar(0.2), scalar(120, np.uint8), scalar(130, np.uint8), real(5)],
    ),
    Case("DynamicQuantizeMatMul", [real(3, 8), code(8, 5), scalar(0.2), scalar(130, np.uint8), real(5)], rtol=1e-3),
    Case(
        "QGemm",
        [
            code(3, 8),
            scalar(0.1),
            scalar(120, np.uint8),
            code(8, 5),
            scalar(0.2),
            scalar(130, np.uint8),
            None,
            scalar(1.5),
            scalar(10, np.uint8),
        ],
        off_by_one=True,
    ),
    Case(
        "QLinearAdd",
        [
            code(3, 8),
            scalar(0.1),
            scalar(12, np.uint8),
            code(3, 8),
            scalar(0.2),
            scalar(13, np.uint8),
            scalar(0.3),
            scalar(5, np.uint8),
        ],
        off_by_one=True,
    ),
    Case(
        "QLinearMul",
        [
            code(3, 8),
            scalar(0.1),
            scalar(12, np.uint8),
            code(3, 8),
            scalar(0.2),
            scalar(13, np.uint8),
            scalar(2.3),
            scalar(5, np.uint8),
        ],
        off_by_one=True,
    ),
    Case(
        "QLinearSigmoid",
        [code(3, 8), scalar(0.02), scalar(120, np.uint8), scalar(0.004), scalar(0, np.uint8)],
        off_by_one=True,
    ),
    Case(
        "QLinearLeakyRelu",
        [code(3, 8), scalar(0.02), scalar(120, np.uint8), scalar(0.02), scalar(60, np.uint8)],
        {"alpha": 0.2},
        off_by_one=True,
    ),
    Case(
        "QLinearGlobalAveragePool",
        [code(1, 3, 4, 4), scalar(0.02), scalar(120, np.uint8), scalar(0.02), scalar(100, np.uint8)],
        off_by_one=True,
    ),
    Case(
        "QLinearAveragePool",
        [code(1, 3, 6, 6), scalar(0.02), scalar(120, np.uint8), scalar(0.02), scalar(100, np.uint8)],
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        off_by_one=True,
    ),
    Case(
        "QLinearConcat",
        [
            scalar(0.1),
            scalar(3, np.uint8),
            code(2, 3),
            scalar(0.2),
            scalar(9, np.uint8),
            code(2, 4),
            scalar(0.05),
            scalar(7, np.uint8),
        ],
        {"axis": 1},
        off_by_one=True,
        free=8,
    ),
    Case(
        "QAttention",
        [
            code(2, 5, 8),
            code(8, 24),
            real(24),
            scalar(0.02),
            scalar(0.03),
            None,
            scalar(120, np.uint8),
            scalar(130, np.uint8),
        ],
        {"num_heads": 2},
        rtol=1e-3,
        atol=1e-3,
    ),
    Case("QuantizeLinear", [real(3, 4) * 5, np.abs(real(4)) + 0.1, code(4)], {"axis": 1}),
    Case("ExpandDims", [real(3, 4), np.array(1, np.int32)]),
    Case("Trilu", [real(3, 4), np.array(1, np.int64)], {"upper": 1}),
    Case("Inverse", [real(3, 3) + 3 * np.eye(3, dtype=np.float32)]),
    Case("CDist", [real(3, 4), real(5, 4)], {"metric": "euclidean"}, rtol=1e-3, atol=1e-3),
]


def model_of(case: Case, constants: bool) -> tuple[onnx.ModelProto, list[np.ndarray]]:
    names = [f"x{at}" if value is not None else "" for at, value in enumerate(case.inputs)]
    outputs = [f"y{at}" for at in range(case.outputs)]
    node = helper.make_node(case.op, names, outputs, domain=case.domain, name="it", **case.attributes)
    free, fixed = [], []
    for at, (name, value) in enumerate(zip(names, case.inputs, strict=True)):
        if value is not None:
            (fixed if constants and at >= case.free else free).append((name, value))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in free],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in fixed],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9), [value for _, value in free]


@pytest.mark.parametrize("constants", [True, False], ids=["constants", "inputs"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name or case.op)
def test_equals_onnxruntime(case: Case, constants: bool) -> None:
    model, inputs = model_of(case, constants)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = session.run(None, {info.name: value for info, value in zip(session.get_inputs(), inputs, strict=True)})
    with torch.no_grad():
        result = to_module(model)(*map(to_torch, inputs))
    got = [to_numpy(value) for value in (result if isinstance(result, tuple) else (result,))]
    for at in case.compared if case.compared is not None else range(case.outputs):
        assert got[at].shape == wanted[at].shape
        assert got[at].dtype == wanted[at].dtype
        if case.off_by_one:
            assert np.abs(got[at].astype(np.int32) - wanted[at].astype(np.int32)).max() <= 1
        else:
            np.testing.assert_allclose(got[at], wanted[at], rtol=case.rtol, atol=case.atol)


@pytest.mark.parametrize("op", ["FusedGemm", "Attention", "MatMulNBits", "QAttention", "FusedConv"])
def test_constant_weights_run_on_the_chip(op: str) -> None:
    case = next(case for case in CASES if case.op == op)
    model, inputs = model_of(case, constants=True)
    rep = prepare(model)
    got = rep.run(inputs)
    assert rep.placement == "chip", rep.reason
    with torch.no_grad():
        eager = to_module(model)(*map(to_torch, inputs))
    eager = eager if isinstance(eager, tuple) else (eager,)
    np.testing.assert_allclose(got[0], to_numpy(eager[0]), rtol=1e-4, atol=1e-4)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_operators_without_a_kernel_in_onnxruntime() -> None:
    x, bias = real(2, 3, 4, 5), real(2, 1, 1, 5)
    model, inputs = model_of(Case("BiasSoftmax", [x, bias], {"axis": 3, "is_inner_broadcast": 1}), False)
    np.testing.assert_allclose(prepare(model).run(inputs)[0], softmax(x + bias), rtol=1e-5)
    outer = real(4, 5)
    model, inputs = model_of(Case("BiasSoftmax", [x, outer], {"axis": 3, "is_inner_broadcast": 0}), False)
    np.testing.assert_allclose(prepare(model).run(inputs)[0], softmax(x + outer), rtol=1e-5)
    signal = real(2, 8)
    model, inputs = model_of(Case("Rfft", [signal], {"onesided": 1, "normalized": 0, "signal_ndim": 1}), False)
    spectrum = np.fft.rfft(signal)
    np.testing.assert_allclose(prepare(model).run(inputs)[0], np.stack([spectrum.real, spectrum.imag], -1), atol=1e-5)
    image, kernel = real(1, 6, 6, 3), real(4, 3, 3, 3)
    model, inputs = model_of(Case("NhwcConv", [image, kernel], {"pads": [1, 1, 1, 1]}), False)
    wanted = torch.nn.functional.conv2d(
        torch.from_numpy(image).permute(0, 3, 1, 2), torch.from_numpy(kernel), padding=1
    )
    np.testing.assert_allclose(prepare(model).run(inputs)[0], wanted.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-5)
