"""Small ONNX models of every kind, and ways to damage them: all from a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

F = TensorProto.FLOAT
Inputs = dict[str, np.ndarray]
HUGE = (2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -1, -(2**31), -(2**63), 0, 10**6, 65537)
OPS = [
    "Add", "Conv", "MatMul", "Gemm", "Relu", "Reshape", "Transpose", "Slice", "Gather", "Concat", "Tile", "Expand",
    "Range", "Resize", "Pad", "Loop", "If", "Softmax",
]  # fmt: skip


def _model(
    nodes: list, inputs: dict, outputs: list[str], weights: dict[str, np.ndarray], opset: int = 17
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def _w(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _i(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def _perceptron() -> tuple[ModelProto, Inputs]:
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["s"]),
        helper.make_node("Softmax", ["s"], ["y"], axis=1),
    ]
    weights = {"w": _w(6, 4), "b": _w(6), "v": _w(6, 3)}
    return _model(nodes, {"x": (F, ["n", 4])}, ["y"], weights), {"x": _w(2, 4)}


def _convolution() -> tuple[ModelProto, Inputs]:
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["c"], pads=[1, 1, 1, 1], strides=[1, 1], kernel_shape=[3, 3]),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
        helper.make_node("MaxPool", ["n"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("AveragePool", ["p"], ["a"], kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1),
        helper.make_node("ConvTranspose", ["a", "u"], ["d"], strides=[2, 2], output_padding=[1, 1]),
        helper.make_node("Flatten", ["d"], ["y"]),
    ]
    weights = {
        "k": _w(4, 2, 3, 3),
        "b": _w(4),
        "s": _w(4),
        "t": _w(4),
        "m": _w(4),
        "v": np.abs(_w(4)),
        "u": _w(4, 2, 2, 2),
    }
    return _model(nodes, {"x": (F, [1, 2, 8, 8])}, ["y"], weights), {"x": _w(1, 2, 8, 8)}


def _shapes() -> tuple[ModelProto, Inputs]:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "zeros"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Tile", ["t", "repeats"], ["tt"]),
        helper.make_node("Slice", ["tt", "starts", "ends", "axes"], ["sl"]),
        helper.make_node("Pad", ["sl", "pads"], ["p"]),
        helper.make_node("Range", ["start", "limit", "delta"], ["ra"]),
        helper.make_node("ConstantOfShape", ["fill"], ["co"], value=numpy_helper.from_array(_w(1))),
        helper.make_node("Expand", ["co", "wide"], ["e"]),
        helper.make_node("Split", ["p"], ["q1", "q2"], axis=1, num_outputs=2),
        helper.make_node("Add", ["q1", "e"], ["a"]),
        helper.make_node("Cast", ["ra"], ["rf"], to=F),
        helper.make_node("Add", ["a", "rf"], ["y"]),
    ]
    weights = {
        "zero": np.array(0, np.int64), "zeros": _i(0), "rest": _i(2, 3), "repeats": _i(1, 2, 1), "starts": _i(0),
        "ends": _i(4), "axes": _i(1), "pads": _i(0, 1, 0, 0, 1, 1), "start": np.array(0, np.int64),
        "limit": np.array(3, np.int64), "delta": np.array(1, np.int64), "fill": _i(3, 1), "wide": _i(3, 3),
    }  # fmt: skip
    return _model(nodes, {"x": (F, ["n", 6])}, ["y"], weights, 18), {"x": _w(2, 6)}


def _control() -> tuple[ModelProto, Inputs]:
    bool_info = helper.make_tensor_value_info("cond_in", TensorProto.BOOL, [])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["cond_in"], ["cond_out"]),
            helper.make_node("MatMul", ["h", "w"], ["m"]),
            helper.make_node("Tanh", ["m"], ["h_out"]),
            helper.make_node("Identity", ["h_out"], ["seen"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            bool_info,
            helper.make_tensor_value_info("h", F, [2, 4]),
        ],
        [onnx.ValueInfoProto(name=name) for name in ("cond_out", "h_out", "seen")],
    )
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(op, ["last", "last"], [f"{name}_y"])], name, [], [onnx.ValueInfoProto(name=f"{name}_y")]
        )
        for name, op in (("then", "Add"), ("else", "Mul"))
    }
    nodes = [
        helper.make_node("Loop", ["trips", "go", "x"], ["last", "all"], body=body),
        helper.make_node("If", ["flag"], ["y"], **branches),
    ]
    weights = {"trips": np.array(3, np.int64), "go": np.array(True), "flag": np.array(False), "w": _w(4, 4)}
    return _model(nodes, {"x": (F, [2, 4])}, ["y", "all"], weights), {"x": _w(2, 4)}


def _quantized() -> tuple[ModelProto, Inputs]:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "xs", "xz"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], axis=1),
        helper.make_node("MatMul", ["d", "dw"], ["m"]),
        helper.make_node("Clip", ["m", "low", "high"], ["y"]),
    ]
    weights = {
        "xs": np.float32(0.05), "xz": np.uint8(128), "w": (_w(4, 3) * 40).astype(np.int8), "ws": np.abs(_w(3)),
        "wz": np.zeros(3, np.int8), "low": np.float32(-1), "high": np.float32(2),
    }  # fmt: skip
    return _model(nodes, {"x": (F, ["n", 4])}, ["y"], {k: np.asarray(v) for k, v in weights.items()}), {"x": _w(2, 4)}


def _recurrent() -> tuple[ModelProto, Inputs]:
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r", "b"], ["y", "h", "c"], hidden_size=3, direction="bidirectional"),
        helper.make_node("Squeeze", ["y", "axes"], ["s"]),
        helper.make_node("Resize", ["s", "", "scales"], ["z"], mode="nearest"),
        helper.make_node("ReduceSum", ["z", "sums"], ["t"], keepdims=0),
    ]
    weights = {
        "w": _w(2, 12, 4), "r": _w(2, 12, 3), "b": _w(2, 24), "axes": _i(2), "scales": np.ones(3, np.float32) * 2,
        "sums": _i(0),
    }  # fmt: skip
    return _model(nodes, {"x": (F, [5, 1, 4])}, ["t", "h"], weights), {"x": _w(5, 1, 4)}


MODELS: tuple[Callable[[], tuple[ModelProto, Inputs]], ...] = (
    _perceptron, _convolution, _shapes, _control, _quantized, _recurrent,
)  # fmt: skip


# Damage --------------------------------------------------------------------------------------------------------------


def _nodes(model: ModelProto, rng: np.random.Generator) -> onnx.NodeProto:
    """A node of the model or of a graph inside it."""
    nodes = list(model.graph.node)
    for node in model.graph.node:
        for attribute in node.attribute:
            nodes.extend(attribute.g.node)
    return nodes[rng.integers(len(nodes))]


def _pick(rng: np.random.Generator, items: object) -> object:
    found = list(items)  # type: ignore[call-overload]
    return found[rng.integers(len(found))] if found else None


def flip_bits(model: ModelProto, rng: np.random.Generator, folder: Path) -> bytes:
    data = bytearray(model.SerializeToString())
    for at in rng.integers(0, len(data), rng.integers(1, 16)):
        data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)


def truncate(model: ModelProto, rng: np.random.Generator, folder: Path) -> bytes:
    data = model.SerializeToString()
    return data[: rng.integers(len(data))]


def splice(model: ModelProto, rng: np.random.Generator, folder: Path) -> bytes:
    data = model.SerializeToString()
    first, second = sorted(int(at) for at in rng.integers(0, len(data), 2))
    return data[:second] + data[first:second] + data[second:] if rng.integers(2) else data[:first] + data[second:]


def cycle(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    at = int(rng.integers(len(model.graph.node)))
    later = model.graph.node[int(rng.integers(at, len(model.graph.node)))]
    node = model.graph.node[at]
    node.input[int(rng.integers(len(node.input)))] = later.output[0]
    return model


def absurd_shape(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    if rng.integers(4) == 0:
        dims = model.graph.input[0].type.tensor_type.shape.dim
        dims[int(rng.integers(len(dims)))].dim_value = int(_pick(rng, HUGE))  # type: ignore[arg-type]
        return model
    tensor = model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
    if tensor.dims and rng.integers(2):
        tensor.dims[int(rng.integers(len(tensor.dims)))] = int(_pick(rng, HUGE))  # type: ignore[arg-type]
        return model
    whole = [t for t in model.graph.initializer if t.data_type == TensorProto.INT64]
    if whole:
        tensor = whole[int(rng.integers(len(whole)))]
        values = numpy_helper.to_array(tensor).copy()
        if values.size:
            values.reshape(-1)[int(rng.integers(values.size))] = int(_pick(rng, HUGE))  # type: ignore[arg-type]
            tensor.raw_data = values.tobytes()
    return model


def missing_weight(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    del model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
    return model


def huge_attribute(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    for _ in range(20):
        node = _nodes(model, rng)
        numbers = [a for a in node.attribute if a.ints or a.type == onnx.AttributeProto.INT]
        if not numbers:
            continue
        attribute = numbers[int(rng.integers(len(numbers)))]
        value = int(_pick(rng, HUGE))  # type: ignore[arg-type]
        if attribute.ints:
            attribute.ints[int(rng.integers(len(attribute.ints)))] = value
        else:
            attribute.i = value
        break
    return model


def other_operator(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    _nodes(model, rng).op_type = str(_pick(rng, [*OPS, "Nonsense", "ImageDecoder", "NonMaxSuppression", "Unique"]))
    return model


def other_inputs(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    names = [tensor.name for tensor in model.graph.initializer] + [name for n in model.graph.node for name in n.output]
    node = _nodes(model, rng)
    choice = rng.integers(3)
    if choice == 0 and len(node.input):
        node.input[int(rng.integers(len(node.input)))] = str(_pick(rng, [*names, "", "nowhere"]))
    elif choice == 1:
        node.input.append(str(_pick(rng, names)))
    elif len(node.input):
        del node.input[int(rng.integers(len(node.input)))]
    return model


def other_type(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    tensor = model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
    tensor.data_type = int(rng.integers(0, 30))
    return model


def other_opset(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    model.opset_import[0].version = int(_pick(rng, [*range(1, 28), 99, 2**40, -3, 0]))  # type: ignore[arg-type]
    return model


def same_name(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    node = _nodes(model, rng)
    node.output[0] = model.graph.node[int(rng.integers(len(model.graph.node)))].output[0]
    return model


def deep_nesting(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    name = model.graph.output[0].name
    inner = helper.make_graph(
        [helper.make_node("Identity", [name], ["leaf"])], "leaf", [], [onnx.ValueInfoProto(name="leaf")]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    # Protobuf itself reads at most 100 levels of messages, three for each graph.
    for level in range(int(_pick(rng, [3, 12, 20, 40]))):  # type: ignore[arg-type]
        node = helper.make_node("If", ["always"], [f"deep{level}"], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([node], f"level{level}", [], [onnx.ValueInfoProto(name=f"deep{level}")])
        if inner.ByteSize() > 2**22:
            break
    model.graph.node.extend(inner.node)
    model.graph.output.append(inner.output[0])
    return model


def external(model: ModelProto, rng: np.random.Generator, folder: Path) -> ModelProto:
    """Weights in a file of their own, at places and of lengths that are not all there."""
    tensor = model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
    size = len(numpy_helper.to_array(tensor).tobytes())
    (folder / "weights.bin").write_bytes(tensor.raw_data)
    location = _pick(rng, [
        "weights.bin", "weights.bin", "weights.bin", "../secret.bin", "../../secret.bin", "/etc/passwd", "link.bin", "",
        "weights.bin/../../secret.bin", "C:\\secret.bin", "..\\secret.bin", ".", "sub", "nul\0.bin", "gone.bin", "fifo",
    ])  # fmt: skip
    offset = str(_pick(rng, ["0", "0", "1", "4096", str(2**62), str(2**70), "-1", "x", "0x10"]))
    length = str(_pick(rng, [str(size), str(size), "0", str(2**62), "-5", str(size + 1)]))
    del tensor.external_data[:]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return model


DAMAGE: tuple[Callable[[ModelProto, np.random.Generator, Path], ModelProto | bytes], ...] = (
    flip_bits, truncate, splice, cycle, absurd_shape, missing_weight, huge_attribute, other_operator, other_inputs,
    other_type, other_opset, same_name, deep_nesting, external, absurd_shape, huge_attribute, flip_bits,
)  # fmt: skip


def damaged(seed: int, folder: Path) -> tuple[str, Inputs]:
    """Write the damaged model of a seed to ``folder/model.onnx``; returns the damage, and inputs of the sound model."""
    rng = np.random.default_rng(seed)
    model, inputs = MODELS[seed % len(MODELS)]()
    kind = DAMAGE[(seed // len(MODELS)) % len(DAMAGE)]
    result = kind(model, rng, folder)
    data = result if isinstance(result, bytes) else result.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    return f"{MODELS[seed % len(MODELS)].__name__} {kind.__name__}", inputs
