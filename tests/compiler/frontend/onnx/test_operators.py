"""Operators against the reference implementation: with every input free, all but the first constant, all constant."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

from lightloom.compiler.frontend.onnx import to_module

from .models import arrays, one_node, reference, tensors

RNG = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*shape: int, high: int = 9) -> np.ndarray:
    return RNG.integers(-high, high, shape).astype(np.int64)


def i64(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


Case = tuple[str, list[np.ndarray | None], dict[str, Any]]

CASES: list[Case] = [
    *[(op, [real(3, 4)], {}) for op in ("Abs", "Neg", "Floor", "Ceil", "Round", "Exp", "Tanh", "Erf", "Sinh", "Sign")],
    *[(op, [real(2, 3), real(3)], {}) for op in ("Add", "Sub", "Mul", "Div", "Greater", "LessOrEqual")],
    *[(op, [whole(2, 3), np.abs(whole(3)) + 1], {}) for op in ("Div", "Mod", "Add", "Equal")],
    *[(op, [real(2, 3), real(1, 3), real(2, 1)], {}) for op in ("Max", "Min", "Mean", "Sum")],
    ("Pow", [np.abs(real(2, 3)), np.float32(2.5)], {}),
    ("Pow", [real(2, 3), i64(3)], {}),
    ("Mod", [real(4), real(4) + 3], {"fmod": 1}),
    ("BitShift", [np.array([1, 2, 200], np.uint8), np.array([1, 2, 1], np.uint8)], {"direction": "LEFT"}),
    ("Clip", [real(9), np.float32(-0.2), np.float32(0.7)], {}),
    ("Clip", [real(9), None, np.float32(0.1)], {}),
    ("CumSum", [real(2, 5), np.int64(-1)], {"exclusive": 1, "reverse": 1}),
    *[(op, [real(2, 6)], {}) for op in ("Selu", "Celu", "Elu", "Softplus", "Softsign", "HardSigmoid", "HardSwish")],
    ("Mish", [real(8)], {}),
    ("LeakyRelu", [real(7)], {"alpha": 0.3}),
    ("PRelu", [real(2, 3, 4), real(3, 1)], {}),
    ("PRelu", [real(2, 3, 4), real(1)], {}),
    ("Gelu", [real(8)], {"approximate": "tanh"}),
    ("Shrink", [real(8)], {"lambd": 0.4, "bias": 0.1}),
    ("ThresholdedRelu", [real(8)], {"alpha": 0.4}),
    *[(op, [real(2, 3, 4)], {"axis": 1}) for op in ("Softmax", "LogSoftmax", "Hardmax")],
    *[
        (f"Reduce{kind}", [np.abs(real(2, 3, 4)) + 0.1, i64(-1, 0)], {"keepdims": keep})
        for kind in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
        for keep in (0, 1)
    ],
    ("ReduceSum", [real(2, 3), np.zeros(0, np.int64)], {"noop_with_empty_axes": 1}),
    ("ArgMax", [whole(3, 8, high=3)], {"axis": -1, "select_last_index": 1}),
    ("ArgMin", [whole(3, 8, high=3)], {"axis": 0, "keepdims": 0}),
    ("MatMul", [real(2, 3, 4), real(4, 5)], {}),
    ("MatMul", [real(4), real(4, 5)], {}),
    *[
        ("Gemm", [real(*a), real(*b), c], {"transA": int(a == (4, 3)), "transB": int(b == (5, 4)), **k})
        for a in ((3, 4), (4, 3))
        for b in ((4, 5), (5, 4))
        for c in (None, real(5), real(1, 5), real(3, 1), real(1), np.float32(2.0))
        for k in ({}, {"alpha": 0.5, "beta": 2.0})
    ],
    ("Einsum", [real(2, 3, 4), real(2, 4, 5)], {"equation": "b i j, bjk -> bik"}),
    ("Det", [real(2, 3, 3)], {}),
    *[
        ("Conv", [real(2, 4, 9, 8), real(6, 4 // g, 3, 2), real(6)], {"group": g, "strides": s, "dilations": d, **p})
        for g in (1, 2)
        for s, d in (([1, 1], [1, 1]), ([2, 1], [1, 2]))
        for p in ({}, {"pads": [1, 0, 2, 1]}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "VALID"}, {"pads": [1, 1, 1, 1]})
        if not (d == [1, 2] and "auto_pad" in p)
    ],
    ("Conv", [real(1, 3, 10), real(2, 3, 4)], {"pads": [2, 1]}),
    ("Conv", [real(1, 2, 5, 5, 5), real(3, 2, 2, 2, 2), real(3)], {"strides": [2, 2, 1]}),
    *[
        ("ConvTranspose", [real(1, 4, 5, 4), real(4, 3, 3, 3), real(3)], a)
        for a in (
            {},
            {"strides": [2, 3], "output_padding": [1, 1]},
            {"pads": [1, 0, 0, 2], "strides": [2, 2]},
        )
    ],
    *[
        ("MaxPool", [real(1, 2, 9, 7)], {"kernel_shape": [3, 2], **a})
        for a in (
            {},
            {"strides": [2, 2], "pads": [1, 1, 1, 1]},
            {"strides": [2, 3], "pads": [0, 1, 2, 0]},
            {"strides": [2, 2], "ceil_mode": 1},
        )
    ],
    *[
        ("AveragePool", [real(1, 2, 9, 7)], {"kernel_shape": [3, 3], "strides": [2, 2], "count_include_pad": c, **a})
        for c in (0, 1)
        for a in ({}, {"pads": [1, 1, 1, 1]}, {"pads": [0, 1, 2, 1]}, {"auto_pad": "SAME_UPPER"})
        if not (c and "auto_pad" in a)
    ],
    ("LpPool", [real(1, 2, 8, 8)], {"kernel_shape": [2, 3], "strides": [2, 1], "p": 3}),
    *[(op, [real(2, 3, 4, 5)], {}) for op in ("GlobalAveragePool", "GlobalMaxPool")],
    ("BatchNormalization", [real(2, 3, 4), real(3), real(3), real(3), np.abs(real(3)) + 0.1], {"epsilon": 1e-3}),
    ("InstanceNormalization", [real(2, 3, 4, 4), real(3), real(3)], {}),
    ("LayerNormalization", [real(2, 3, 4), real(4), real(4)], {}),
    ("LayerNormalization", [real(2, 3, 4), real(3, 4), real(4)], {"axis": 1}),
    ("LpNormalization", [np.abs(real(3, 4))], {"axis": 0, "p": 1}),
    ("MeanVarianceNormalization", [real(2, 3, 4, 4)], {}),
    ("Reshape", [real(2, 3, 4), i64(0, -1)], {}),
    ("Reshape", [real(0, 3), i64(3, 0)], {"allowzero": 1}),
    ("Transpose", [real(2, 3, 4)], {"perm": [2, 0, 1]}),
    ("Flatten", [real(2, 3, 4)], {"axis": -1}),
    ("Expand", [real(3, 1), i64(2, 1, 4)], {}),
    ("Tile", [real(2, 3), i64(2, 2)], {}),
    ("Squeeze", [real(1, 3, 1), i64(0, -1)], {}),
    ("Unsqueeze", [real(3, 4), i64(0, -1)], {}),
    ("Slice", [real(5, 6), i64(-1, 0), i64(-100, 5), i64(0, 1), i64(-2, 2)], {}),
    ("Slice", [real(5, 6), i64(1), i64(2**62), i64(-1)], {}),
    ("Gather", [real(4, 5), whole(2, 3, high=4)], {"axis": 1}),
    ("Gather", [real(4, 5), np.int64(-2)], {"axis": 0}),
    ("GatherElements", [real(3, 4), whole(2, 4, high=3)], {"axis": 0}),
    ("GatherND", [real(2, 3, 4), whole(2, 2, 1, high=3)], {"batch_dims": 1}),
    *[
        ("ScatterElements", [real(4, 3), np.array([[0, 2, 1], [-1, 1, 0]]), real(2, 3)], {"axis": 0, "reduction": r})
        for r in ("none", "add", "mul", "max", "min")
    ],
    *[
        ("ScatterND", [real(4, 3, 2), np.array([[1], [3], [1]]), real(3, 3, 2)], {"reduction": r})
        for r in ("add", "mul", "max", "min")
    ],
    *[
        ("Pad", [real(2, 3, 5), np.array([0, 1, 2, 0, 1, 3]), v], {"mode": m})
        for m, v in (("constant", np.float32(7)), ("reflect", None), ("edge", None), ("wrap", None))
    ],
    ("OneHot", [whole(3, high=4), np.int64(5), np.array([-1.0, 2.0], np.float32)], {"axis": 0}),
    ("Trilu", [real(2, 4, 5), np.int64(-1)], {"upper": 0}),
    ("DepthToSpace", [real(1, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", [real(1, 2, 4, 6)], {"blocksize": 2}),
    ("EyeLike", [real(3, 4)], {"k": 1}),
    ("ReverseSequence", [real(4, 3, 2), i64(1, 4, 2)], {"time_axis": 0, "batch_axis": 1}),
    ("Where", [np.array([True, False, True]), real(2, 3), real(3)], {}),
    ("CenterCropPad", [real(5, 4), i64(2, 7)], {}),
    ("GridSample", [real(1, 2, 4, 5), real(1, 3, 3, 2)], {"mode": "cubic"}),
    ("AffineGrid", [real(1, 2, 3), i64(1, 2, 3, 4)], {"align_corners": 1}),
    ("Col2Im", [real(1, 8, 12), i64(4, 5), i64(2, 2)], {}),
    ("DeformConv", [real(1, 2, 4, 4), real(2, 2, 2, 2), 0.3 * real(1, 8, 3, 3)], {}),
    *[
        ("Resize", [real(1, 2, 5, 6), None, np.float32([1, 1, *s])], {"mode": m, "coordinate_transformation_mode": c})
        for m in ("nearest", "linear", "cubic")
        for c in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
        for s in ((2, 2), (0.6, 1.7))
    ],
    *[
        ("Resize", [real(1, 1, 6, 6), None, None, i64(1, 1, 4, 9)], {"mode": m, **a})
        for m in ("linear", "cubic")
        for a in ({}, {"antialias": 1}, {"exclude_outside": 1})
        if not (m == "linear" and "exclude_outside" in a)
    ],
    ("Concat", [i64(1, 2), i64(3)], {"axis": 0}),
    ("Cast", [4 * real(5)], {"to": 7}),
    ("Cast", [whole(4)], {"to": 1}),
    ("Range", [np.int64(7), np.int64(-2), np.int64(-3)], {}),
    ("Range", [np.float32(0.5), np.float32(2), np.float32(0.25)], {}),
    ("ConstantOfShape", [i64(2, 3)], {}),
    ("ReduceProd", [i64(2, 3, 4)], {"keepdims": 0}),
    ("ReduceMax", [whole(2, 3), i64(1)], {}),
    ("OneHot", [i64(-1, 2), np.int64(4), i64(5, 6)], {"axis": 0}),
    ("Tile", [i64(1, 2), i64(3)], {}),
    ("Flatten", [whole(2, 3)], {"axis": 0}),
    ("Relu", [whole(4)], {}),
    ("Reshape", [whole(2, 3), i64(0, 1, -1)], {}),
    ("Where", [np.array([True, False]), i64(1), i64(3, 4)], {}),
    ("Slice", [whole(6), i64(4), i64(-100), i64(0), i64(-2)], {}),
    ("ScatterND", [whole(4), np.array([[1], [3]]), i64(7, 8)], {}),
    ("NegativeLogLikelihoodLoss", [real(3, 4), np.array([1, 3, 0])], {"reduction": "mean", "ignore_index": 3}),
]  # fmt: skip


ELSEWHERE: list[Case] = [
    ("ConvTranspose", [real(1, 4, 5, 4), real(4, 3, 3, 3), real(3)], {"strides": [2, 2], "output_shape": [10, 8]}),
    ("ConvTranspose", [real(1, 4, 5, 4), real(4, 3, 3, 3)], {"pads": [1, 1, 1, 1], "dilations": [2, 1]}),
    ("ConvTranspose", [real(1, 4, 5, 4), real(4, 3, 3, 3)], {"auto_pad": "SAME_LOWER", "strides": [2, 3]}),
    ("MaxPool", [real(1, 2, 9, 7)], {"kernel_shape": [3, 2], "auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ("AveragePool", [real(1, 2, 9, 7)],
     {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [0, 1, 1, 0]}),
    ("LRN", [real(1, 5, 3, 3)], {"size": 3, "alpha": 0.2}),
    ("ConvTranspose", [real(1, 4, 6), real(4, 2, 3)], {"group": 2, "strides": [2]}),
    ("Pad", [real(4, 5), i64(-1, 2), None, i64(1)], {}),
    ("Pad", [real(4, 5), i64(1, -1, 1, 2)], {"mode": "edge"}),
    ("GridSample", [real(1, 2, 4, 5), 1.5 * real(1, 3, 3, 2)], {"mode": "cubic", "padding_mode": "border"}),
    ("GridSample", [real(1, 2, 4, 5), 1.5 * real(1, 3, 3, 2)], {"mode": "nearest", "padding_mode": "reflection"}),
    ("GridSample", [real(1, 2, 3, 4, 5), 1.2 * real(1, 2, 3, 3, 3)], {"mode": "linear", "padding_mode": "border"}),
    ("RoiAlign", [real(1, 2, 8, 8), np.array([[0.5, 1, 6, 7], [2, 2, 3, 9]], np.float32), i64(0, 0)],
     {"output_height": 2, "output_width": 3, "sampling_ratio": 2}),
    ("RoiAlign", [real(1, 2, 8, 8), np.array([[0.5, 1, 6, 7], [2, 2, 3, 9]], np.float32), i64(0, 0)],
     {"output_height": 2, "output_width": 3, "mode": "max", "coordinate_transformation_mode": "half_pixel"}),
    ("MaxRoiPool", [real(2, 2, 8, 8), np.float32([[0, 1, 1, 6, 7], [1, 2, 0, 3, 3]])], {"pooled_shape": [2, 3]}),
    ("NonMaxSuppression", [np.sort(RNG.random((1, 12, 4)).astype(np.float32), -1)[..., [0, 1, 2, 3]],
     RNG.random((1, 2, 12)).astype(np.float32), i64(4), np.float32([0.3]), np.float32([0.2])], {}),
    ("Resize", [real(1, 2, 5, 6), None, None, i64(1, 2, 9, 3)], {"mode": "linear"}),
]  # fmt: skip
"""Cases that the reference implementation computes wrongly or not at all; onnxruntime does."""


def _name(case: Case) -> str:
    op, inputs, attributes = case
    shapes = "_".join("x".join(map(str, value.shape)) or "scalar" for value in inputs if value is not None)
    return f"{op}-{shapes}-{zlib.crc32(repr(attributes).encode()) % 10000}"


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_operator(case: Case) -> None:
    op, inputs, attributes = case
    inputs = [None if value is None else np.asarray(value) for value in inputs]
    sets = [(), tuple(range(1, len(inputs))), tuple(range(len(inputs)))]
    if op in ("Resize", "Pad", "CenterCropPad", "AffineGrid", "Col2Im", "Expand", "Tile", "OneHot"):
        sets = sets[1:]
    for constant in sets:
        proto, values = one_node(op, inputs, constant=constant, **attributes)
        wanted = reference(proto, values)
        got = arrays(to_module(proto)(*tensors(values)))
        assert [g.dtype for g in got] == [w.dtype for w in wanted]
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("case", ELSEWHERE, ids=_name)
def test_operator_against_onnxruntime(case: Case) -> None:
    ort = pytest.importorskip("onnxruntime")
    op, inputs, attributes = case
    inputs = [None if value is None else np.asarray(value) for value in inputs]
    constant = [position for position in range(1, len(inputs)) if op not in ("GridSample", "RoiAlign", "MaxRoiPool")]
    proto, values = one_node(op, inputs, constant=constant, opset=20, **attributes)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {i.name: v for i, v in zip(proto.graph.input, values, strict=True)})
    for a, b in zip(arrays(to_module(proto)(*tensors(values))), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_local_response_window_of_even_size_leans_to_the_end() -> None:
    x = real(1, 5, 2, 2)
    proto, values = one_node("LRN", [x], size=4, alpha=0.2, beta=0.5, bias=2.0)
    sums = np.stack([np.square(x[:, max(0, c - 1) : c + 3]).sum(1) for c in range(5)], 1)
    (got,) = arrays(to_module(proto)(*tensors(values)))
    np.testing.assert_allclose(got, x / np.sqrt(2 + 0.2 / 4 * sums), rtol=1e-5)


def test_top_k_takes_the_first_of_equal_elements() -> None:
    x = np.array([[2, 1, 2, 2, 0]], np.float32)
    proto, values = one_node("TopK", [x, i64(3)], outputs=2)
    best, where = arrays(to_module(proto)(*tensors(values)))
    assert best.tolist() == [[2, 2, 2]]
    assert where.tolist() == [[0, 2, 3]]


@pytest.mark.parametrize("ordered", [0, 1])
def test_unique(ordered: int) -> None:
    x = np.array([3, 1, 3, 2, 1], np.float32)
    proto, values = one_node("Unique", [x], outputs=4, sorted=ordered)
    for got, wanted in zip(arrays(to_module(proto)(*tensors(values))), reference(proto, values), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("order", [0, 1])
def test_indices_of_max_pool_count_over_the_whole_tensor(order: int) -> None:
    x = np.random.default_rng(1).permutation(2 * 2 * 5 * 4).reshape(2, 2, 5, 4).astype(np.float32)
    proto, values = one_node(
        "MaxPool", [x], outputs=2, kernel_shape=[2, 2], strides=[2, 1], pads=[1, 0, 0, 1], storage_order=order
    )
    best, where = arrays(to_module(proto)(*tensors(values)))
    layout = x if order == 0 else x.transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(layout.reshape(-1)[where], best)


def test_integer_overflow_wraps_in_every_width() -> None:
    for kind in (np.uint8, np.uint16, np.uint32, np.int16):
        high = np.iinfo(kind).max
        proto, values = one_node("Add", [np.array([high], kind), np.array([2], kind)])
        (got,) = arrays(to_module(proto)(*tensors(values)))
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(got, values[0] + values[1])
