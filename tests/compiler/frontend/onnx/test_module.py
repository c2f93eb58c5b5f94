"""The module: names, shared weights, sizes that stay symbolic, functions inlined, values dropped."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch.export import Dim, ExportedProgram

from lightloom.compiler.frontend.onnx import OnnxModule, to_module
from lightloom.compiler.frontend.onnx.module import OnnxNode

from .models import info, model

RNG = np.random.default_rng(0)
I64 = TensorProto.INT64


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def node(op: str, inputs: list[str], outputs: list[str] | str, name: str = "", **attributes: object) -> onnx.NodeProto:
    outs = [outputs] if isinstance(outputs, str) else outputs
    return helper.make_node(op, inputs, outs, name=name, **attributes)


def exported(module: OnnxModule, *inputs: torch.Tensor) -> ExportedProgram:
    """Exported with the first dimension of every input symbolic; fails if the batch became a constant."""
    program = torch.export.export(module, inputs, dynamic_shapes=(tuple({0: Dim.DYNAMIC} for _ in inputs),))
    return program


def ops(program: ExportedProgram) -> list[str]:
    return [str(n.target) for n in program.graph.nodes if n.op == "call_function"]


def test_nodes_and_weights_keep_their_names() -> None:
    proto = model(
        [
            node("Conv", ["x", "features.0.weight"], "a", "/features/features.0/Conv"),
            node("Relu", ["a"], "b"),
            node("Relu", ["b"], "y", "/features/features.0/Conv"),
        ],
        [info("x", ["N", 1, 4, 4])],
        ["y"],
        {"features.0.weight": real(2, 1, 3, 3)},
    )
    module = to_module(proto)
    assert list(module.node_names.values()) == ["/features/features.0/Conv", "Relu_1", "/features/features.0/Conv"]
    assert [name for name, _ in module.named_children()] == [
        "features_features_0_Conv",
        "Relu_1",
        "features_features_0_Conv_1",
    ]
    assert [name for name, _ in module.named_parameters()] == ["features_0_weight"]
    stacks = [
        n.meta["nn_module_stack"] for n in exported(module, torch.randn(2, 1, 4, 4)).graph.nodes if "conv" in n.name
    ]
    assert list(stacks[0].values())[-1][0] == "features_features_0_Conv"


def test_a_weight_that_several_nodes_share_is_one_parameter() -> None:
    w = real(4, 4)
    proto = model(
        [
            node("MatMul", ["x", "w"], "a"),
            node("Gemm", ["a", "w"], "b"),
            node("Gemm", ["b", "w"], "c", transB=1),
            node("Add", ["c", "w"], "y"),
        ],
        [info("x", [4, 4])],
        ["y"],
        {"w": w},
    )
    module = to_module(proto)
    memory = {p.untyped_storage().data_ptr() for p in module.parameters()}
    assert len(memory) == 1
    assert len(list(module.parameters())) == 2  # as it is, and its transpose: a view
    x = torch.randn(4, 4)
    t = torch.from_numpy(w)
    torch.testing.assert_close(module(x), x @ t @ t @ t.T + t)
    linear = [n for n in torch.export.export(module, (x,)).graph.nodes if n.target is torch.ops.aten.linear.default]
    assert len(linear) == 3
    assert all(n.args[1].op == "placeholder" for n in linear)


def test_a_bias_that_is_no_vector_is_not_taken_for_one() -> None:
    c = real(3, 1)
    proto = model([node("Gemm", ["x", "w", "c"], "y")], [info("x", [3, 4])], ["y"], {"w": real(4, 5), "c": c})
    module, x = to_module(proto), torch.randn(3, 4)
    w = torch.from_numpy(onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy())
    torch.testing.assert_close(module(x), x @ w + torch.from_numpy(c))


def test_shape_arithmetic_leaves_the_batch_symbolic() -> None:
    """Shape -> Slice, Gather, Mul, Concat, Reshape, Expand, Where, Range: as exporters write them."""
    constants = {
        "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]), "minus": np.array([-1]),
        "first": np.int64(0), "half": np.float32(0.5), "unit": np.int64(1), "three": np.array([3]),
    }  # fmt: skip
    nodes = [
        node("Shape", ["x"], "s"),
        node("Slice", ["s", "zero", "one"], "n"),
        node("Gather", ["s", "unit"], "c"),
        node("Cast", ["c"], "cf", to=TensorProto.FLOAT),
        node("Mul", ["cf", "half"], "ch"),
        node("Floor", ["ch"], "cfl"),
        node("Cast", ["cfl"], "ci", to=I64),
        node("Unsqueeze", ["ci", "zero"], "cu"),
        node("Concat", ["n", "two", "cu", "minus"], "target", axis=0),
        node("Reshape", ["x", "target"], "r"),
        node("ConstantOfShape", ["three"], "ones", value=helper.make_tensor("v", I64, [1], [1])),
        node("Mul", ["ones", "minus"], "negative"),
        node("Concat", ["n", "minus", "minus"], "wide", axis=0),
        node("Equal", ["wide", "negative"], "keep"),
        node("Where", ["keep", "ones", "wide"], "wanted"),
        node("Expand", ["table", "wanted"], "e"),
        node("Gather", ["s", "first"], "count"),
        node("Range", ["first", "count", "unit"], "rows"),
        node("Unsqueeze", ["rows", "one"], "column"),
        node("Cast", ["column"], "columnf", to=TensorProto.FLOAT),
        node("Size", ["x"], "size"),
    ]
    constants["table"] = real(1, 2, 2)
    proto = model(nodes, [info("x", ["N", 4, 3])], ["r", "e", "columnf", "size"], constants)
    module = to_module(proto)
    program = exported(module, torch.randn(2, 4, 3))
    for batch in (2, 5):
        r, e, column, size = program.module()(torch.randn(batch, 4, 3))
        assert r.shape == (batch, 2, 2, 3)
        assert e.shape == (batch, 2, 2)
        assert column.flatten().tolist() == list(range(batch))
        assert size.item() == batch * 12
    assert not any("item" in op or "_local_scalar" in op for op in ops(program))


def test_constant_subgraphs_are_computed_once() -> None:
    nodes = [
        node("Transpose", ["w"], "t", perm=[1, 0]),
        node("Mul", ["t", "k"], "scaled"),
        node("MatMul", ["x", "scaled"], "y"),
    ]
    proto = model(nodes, [info("x", ["N", 4])], ["y"], {"w": real(3, 4), "k": np.float32(2)})
    module = to_module(proto)
    assert [child.node.op for child in module.children() if isinstance(child, OnnxNode)] == ["MatMul"]
    assert ops(exported(module, torch.randn(2, 4))) == ["aten.linear.default"]


def test_functions_are_inlined_with_their_attributes() -> None:
    body = [
        node("MatMul", ["a", "m"], "p", "product"),
        helper.make_node("LeakyRelu", ["p"], ["q"], name="bend"),
        node("Identity", ["missing"], "unused"),
    ]
    body[1].attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    function = helper.make_function(
        "own", "layer", ["a", "m", "missing"], ["q"], body[:2], [helper.make_opsetid("", 21)], ["slope"]
    )
    calls = [
        helper.make_node("layer", ["x", "w"], ["h"], name="one", domain="own", slope=0.5),
        helper.make_node("layer", ["h", "w"], ["y"], name="two", domain="own", slope=0.25),
    ]
    proto = model(calls, [info("x", ["N", 4])], ["y"], {"w": real(4, 4)}, domains={"own": 1}, functions=[function])
    module, x = to_module(proto), torch.randn(3, 4)
    w = torch.from_numpy(onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy())
    leaky = torch.nn.functional.leaky_relu
    torch.testing.assert_close(module(x), leaky(leaky(x @ w, 0.5) @ w, 0.25))
    assert list(module.node_names.values()) == ["one/product", "one/bend", "two/product", "two/bend"]
    assert len(list(module.parameters())) == 1


def test_a_module_may_be_converted_and_copied() -> None:
    proto = model([node("MatMul", ["x", "w"], "y")], [info("x", ["N", 4])], ["y"], {"w": real(4, 3)})
    module, x = to_module(proto), torch.randn(2, 4)
    double = copy.deepcopy(module).double()
    assert double(x.double()).dtype is torch.float64
    torch.testing.assert_close(double(x.double()).float(), module(x))
    other = to_module(proto)
    other.load_state_dict({name: value + 1 for name, value in module.state_dict().items()})
    torch.testing.assert_close(other(x), module(x) + x.sum(1, keepdim=True))


def test_dead_values_are_dropped_while_the_model_runs() -> None:
    proto = model([node("Relu", ["x"], "a"), node("Neg", ["a"], "b"), node("Exp", ["b"], "y")], [info("x", [3])], ["y"])
    module = to_module(proto)
    alive: list[weakref.ref[torch.Tensor]] = []
    seen: list[int] = []

    def watch(_: torch.nn.Module, __: object, outputs: tuple[torch.Tensor, ...]) -> None:
        gc.collect()
        seen.append(sum(ref() is not None for ref in alive))
        alive.append(weakref.ref(outputs[0]))

    for child in module.children():
        child.register_forward_hook(watch)
    module(torch.randn(3))
    assert seen == [0, 1, 1]


def test_nodes_that_no_output_needs_are_left_out() -> None:
    proto = model([node("Relu", ["x"], "y"), node("Exp", ["x"], "z"), node("Neg", ["z"], "u")], [info("x", [3])], ["y"])
    assert [child.node.op for child in to_module(proto).children()] == ["Relu"]


def test_an_output_may_be_an_input_or_a_constant() -> None:
    proto = model([node("Shape", ["c"], "s")], [info("x", [2])], ["x", "c", "s"], {"c": real(2, 3)})
    x = torch.randn(2)
    same, constant, shape = to_module(proto)(x)
    assert torch.equal(same, x)
    assert constant.shape == (2, 3)
    assert shape.tolist() == [2, 3]


def test_a_resize_of_images_leaves_the_batch_symbolic() -> None:
    nodes = [
        node("Shape", ["x"], "s"),
        node("Slice", ["s", "zero", "two"], "head"),
        node("Concat", ["head", "size"], "sizes", axis=0),
        node("Resize", ["x", "", "", "sizes"], "y", mode="cubic"),
    ]
    constants = {"zero": np.array([0]), "two": np.array([2]), "size": np.array([5, 7])}
    module = to_module(model(nodes, [info("x", ["N", 2, 3, 4])], ["y"], constants))
    program = exported(module, torch.randn(2, 2, 3, 4))
    x = torch.randn(6, 2, 3, 4)
    torch.testing.assert_close(program.module()(x), module(x))


def test_types_narrower_than_a_byte_and_float8() -> None:
    w = helper.make_tensor("w", TensorProto.INT4, [2, 3], [1, -8, 7, 0, -1, 3])
    f = helper.make_tensor("f", TensorProto.FLOAT8E4M3FN, [2], [0.5, -448.0])
    proto = model(
        [node("Cast", ["w"], "a", to=I64), node("Cast", ["f"], "b", to=TensorProto.FLOAT)], [info("x", [1])], ["a", "b"]
    )
    proto.graph.initializer.extend([w, f])
    a, b = to_module(proto)(torch.zeros(1))
    assert a.tolist() == [[1, -8, 7], [0, -1, 3]]
    assert b.tolist() == [0.5, -448.0]


def test_constants_wrap_and_round_as_their_type_does() -> None:
    for kind, first, second in ((np.uint8, 200, 100), (np.int32, 2**31 - 1, 5), (np.float16, 0.1, 0.7)):
        a, b = np.array([first], kind), np.array([second], kind)
        nodes = [node("Add", ["a", "b"], "c"), node("Mul", ["c", "b"], "y")]
        proto = model(nodes, [], ["y"], {"a": a, "b": b})
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(to_module(proto)().numpy(), (a + b) * b)


def test_padding_that_an_exporter_computes_from_sizes_stays_a_number() -> None:
    """As for "same" padding: (ceil(size / stride) - 1) * stride + reach - size, and not below 0."""
    constants = {
        "axis": np.int64(2), "stride": np.float32(2), "reach": np.float32(2), "zero": np.float32(0),
        "none": np.array([0]), "where": np.array([2]),
    }  # fmt: skip
    nodes = [
        node("Shape", ["x"], "s"),
        node("Gather", ["s", "axis"], "n"),
        node("Cast", ["n"], "f", to=TensorProto.FLOAT),
        node("Div", ["f", "stride"], "d"),
        node("Ceil", ["d"], "c"),
        node("Sub", ["c", "unit"], "c1"),
        node("Mul", ["c1", "stride"], "m"),
        node("Add", ["m", "reach"], "a"),
        node("Sub", ["a", "f"], "p"),
        node("Clip", ["p", "zero"], "q"),
        node("Cast", ["q"], "i", to=I64),
        node("Unsqueeze", ["i", "none"], "u"),
        node("Concat", ["none", "u"], "pads", axis=0),
        node("Pad", ["x", "pads", "", "where"], "y"),
    ]
    constants["unit"] = np.float32(1)
    module = to_module(model(nodes, [info("x", ["N", 2, "L"])], ["y"], constants))
    assert module(torch.randn(2, 2, 5)).shape == (2, 2, 6)
    assert module(torch.randn(2, 2, 6)).shape == (2, 2, 6)
    assert not any("item" in op for op in ops(exported(module, torch.randn(2, 2, 5))))
