"""Models that are damaged, hostile or of another version: each ends in an error that says what and where."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from lightloom.compiler.frontend.onnx import to_module
from lightloom.runtime.errors import CaptureError, InputError, LightloomError

from .models import info, model

W = np.arange(12, dtype=np.float32).reshape(3, 4)


def gemm() -> onnx.ModelProto:
    node = helper.make_node("Gemm", ["x", "w"], ["y"], name="fc", transB=1)
    return model([node], [info("x", ["N", 4])], ["y"], {"w": W})


def external(location: str, offset: str | None = None, length: str | None = None) -> onnx.ModelProto:
    proto = gemm()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    return proto


def saved(proto: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_every_form_of_a_model(tmp_path: Path) -> None:
    x = torch.randn(2, 4)
    wanted = x @ torch.from_numpy(W).T
    path = saved(gemm(), tmp_path)
    for form in (gemm(), gemm().SerializeToString(), path, str(path)):
        torch.testing.assert_close(to_module(form)(x), wanted)


def test_external_data_is_mapped_and_never_written(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    data = tmp_path / "sub" / "w.bin"
    data.write_bytes(b"12345678" + W.tobytes())
    before = data.read_bytes()
    module = to_module(saved(external("sub/w.bin", "8", "48"), tmp_path))
    x = torch.randn(2, 4)
    torch.testing.assert_close(module(x), x @ torch.from_numpy(W).T)
    with torch.no_grad():
        next(module.parameters()).zero_()
    assert data.read_bytes() == before
    torch.testing.assert_close(to_module(external("sub/w.bin", "8"), folder=tmp_path)(x), x @ torch.from_numpy(W).T)


@pytest.mark.parametrize(
    ("location", "offset", "length", "said"),
    [
        ("../w.bin", None, None, "leads out"),
        ("a/../../w.bin", None, None, "leads out"),
        ("/etc/passwd", None, None, "leads out"),
        ("C:\\w.bin", None, None, "leads out"),
        ("..\\w.bin", None, None, "leads out"),
        ("", None, None, "leads out"),
        ("w\0.bin", None, None, "leads out"),
        ("link.bin", None, None, "leads out"),
        ("linked/w.bin", None, None, "leads out"),
        ("missing.bin", None, None, "missing"),
        (".", None, None, "leads out"),
        ("folder", None, None, "no regular file"),
        ("w.bin", "1", None, "beyond the end"),
        ("w.bin", "999999999999", None, "beyond the end"),
        ("w.bin", "-8", None, "impossible offset"),
        ("w.bin", "9" * 400, None, "impossible offset"),
        ("w.bin", "0", "47", "length"),
        ("w.bin", "0", "99999999", "length"),
        ("w.bin", "0", "many", "impossible length"),
    ],
)
def test_external_data_that_is_refused(tmp_path: Path, location: str, offset: str, length: str, said: str) -> None:
    folder, outside = tmp_path / "model", tmp_path / "w.bin"
    folder.mkdir()
    (folder / "folder").mkdir()
    outside.write_bytes(W.tobytes())
    (folder / "w.bin").write_bytes(W.tobytes())
    (folder / "link.bin").symlink_to(outside)
    (folder / "linked").symlink_to(tmp_path)
    with pytest.raises(CaptureError, match=said) as caught:
        to_module(saved(external(location, offset, length), folder))
    assert "'w'" in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CaptureError, match="no regular file"):
        to_module(saved(external("pipe"), tmp_path))


def test_external_data_of_a_model_without_a_folder() -> None:
    with pytest.raises(CaptureError, match="folder="):
        to_module(external("w.bin"))


def test_external_data_of_an_attribute_is_refused() -> None:
    tensor = external("w.bin").graph.initializer[0]
    node = helper.make_node("Constant", [], ["y"])
    node.attribute.append(AttributeProto(name="value", type=AttributeProto.TENSOR, t=tensor))
    with pytest.raises(CaptureError, match="file of its own"):
        to_module(model([node], [], ["y"]))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file(share: float) -> None:
    data = gemm().SerializeToString()
    with pytest.raises(LightloomError):
        to_module(data[: int(len(data) * share)])


def test_things_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        to_module(tmp_path / "nothing.onnx")
    with pytest.raises(InputError, match="a folder"):
        to_module(tmp_path)
    with pytest.raises(InputError, match="not an ONNX model"):
        to_module(7)  # type: ignore[arg-type]
    with pytest.raises(CaptureError, match=r"protobuf cannot read|no graph"):
        to_module(b"this is no model at all")
    with pytest.raises(CaptureError, match="no graph"):
        to_module(b"")


def relu(name: str, x: str, y: str) -> onnx.NodeProto:
    return helper.make_node("Relu", [x], [y], name=name)


def test_a_cycle_names_its_nodes() -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"], name="first"), relu("second", "a", "b"), relu("free", "x", "c")]
    with pytest.raises(CaptureError, match="cycle") as caught:
        to_module(model(nodes, [info("x", [2])], ["b"]))
    assert "'first'" in str(caught.value)
    assert "'free'" not in str(caught.value)


def test_nodes_out_of_order_are_sorted() -> None:
    nodes = [relu("last", "a", "y"), helper.make_node("Neg", ["x"], ["a"])]
    module = to_module(model(nodes, [info("x", [2])], ["y"]))
    assert module(torch.tensor([-1.0, 1.0])).tolist() == [1.0, 0.0]


def test_a_missing_initializer_names_node_and_value() -> None:
    proto = gemm()
    del proto.graph.initializer[:]
    with pytest.raises(CaptureError, match=r"'fc'.*'w'"):
        to_module(proto)


def test_a_missing_output() -> None:
    proto = gemm()
    proto.graph.output[0].name = "z"
    with pytest.raises(CaptureError, match=r"output 'z'"):
        to_module(proto)


def test_values_made_twice() -> None:
    nodes = [relu("one", "x", "y"), relu("two", "x", "y")]
    with pytest.raises(CaptureError, match=r"made twice.*'two'"):
        to_module(model(nodes, [info("x", [2])], ["y"]))
    proto = gemm()
    proto.graph.initializer.append(proto.graph.initializer[0])
    with pytest.raises(CaptureError, match=r"two initialisers.*'w'"):
        to_module(proto)
    proto = model([relu("one", "x", "y")], [info("x", [2]), info("x", [2])], ["y"])
    with pytest.raises(CaptureError, match="two inputs"):
        to_module(proto)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (helper.make_node("Frobnicate", ["x"], ["y"], name="n"), r"operator is unknown \(at node 'n'"),
        (helper.make_node("Relu", ["x"], ["y"], name="n", domain="acme"), "domain is unknown.*acme"),
        (helper.make_node("Gelu", ["x"], ["y"], name="n"), "newer than the opset.*from opset 20"),
        (helper.make_node("Relu", ["x", "x"], ["y"], name="n"), "wrong number of inputs"),
        (helper.make_node("Relu", ["x"], ["y", "z"], name="n"), "wrong number of outputs"),
        (helper.make_node("Relu", [""], ["y"], name="n"), "required input is missing"),
        (helper.make_node("Relu", ["x"], ["y"], name="n", alpha=1.0), "unknown to the operator.*alpha"),
        (helper.make_node("Softmax", ["x"], ["y"], name="n", axis=0.5), "wrong type.*axis"),
        (helper.make_node("Cast", ["x"], ["y"], name="n"), "required attribute is missing.*'to'"),
        (helper.make_node("Cast", ["x"], ["y"], name="n", to=99), "no type.*type 99"),
    ],
)
def test_nodes_that_are_refused(node: onnx.NodeProto, said: str) -> None:
    with pytest.raises(CaptureError, match=said):
        to_module(model([node], [info("x", [2, 2])], ["y"], opset=17))(torch.zeros(2, 2))


@pytest.mark.parametrize("opset", [0, -3, 999])
def test_opsets_that_nobody_knows(opset: int) -> None:
    proto = gemm()
    proto.opset_import[0].version = opset
    with pytest.raises(CaptureError, match=f"opset {opset} of ai.onnx; allowed: 1 to"):
        to_module(proto)


def test_two_versions_of_one_domain() -> None:
    proto = gemm()
    proto.opset_import.append(helper.make_opsetid("ai.onnx", 7))
    with pytest.raises(CaptureError, match="two versions"):
        to_module(proto)


@pytest.mark.parametrize("dims", [[3, 5], [-3, 4], [2**40, 2**40], [3, 2**62]])
def test_initializers_whose_shape_is_not_their_data(dims: list[int]) -> None:
    proto = gemm()
    proto.graph.initializer[0].dims[:] = dims
    with pytest.raises(CaptureError, match=r"initializer 'w'"):
        to_module(proto)
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [3, 4], W.reshape(-1))
    tensor.dims[:] = dims
    proto.graph.initializer[0].CopyFrom(tensor)
    with pytest.raises(CaptureError, match=r"initializer 'w'"):
        to_module(proto)


@pytest.mark.parametrize("kind", [0, 77])
def test_an_initializer_of_no_type(kind: int) -> None:
    proto = gemm()
    proto.graph.initializer[0].data_type = kind
    with pytest.raises(CaptureError, match=r"no type.*'w'"):
        to_module(proto)


@pytest.mark.parametrize(
    ("op", "constants", "attributes"),
    [
        ("ConstantOfShape", [np.array([2**20, 2**20])], {}),
        ("ConstantOfShape", [np.array([-1, 3])], {}),
        ("Expand", [np.zeros(1, np.float32), np.array([2**40])], {}),
        ("Tile", [np.zeros((2, 2), np.float32), np.array([2**20, 2**20])], {}),
        ("Range", [np.int64(0), np.int64(2**50), np.int64(1)], {}),
        ("Pad", [np.zeros(3, np.float32), np.array([2**40, 0])], {}),
        ("OneHot", [np.zeros(3, np.int64), np.int64(2**40), np.array([0.0, 1.0], np.float32)], {}),
        ("Resize", [np.zeros(3, np.float32), np.zeros(0, np.float32), np.array([1e12], np.float32)], {}),
        ("Add", [np.zeros((2**15, 1), np.float32), np.zeros((1, 2**15), np.float32)], {}),
        ("MatMul", [np.zeros((2**15, 1), np.float32), np.zeros((1, 2**15), np.float32)], {}),
        ("MaxPool", [np.zeros((1, 1, 4), np.float32)], {"kernel_shape": [2**40], "pads": [2**40, 2**40]}),
        (
            "Conv",
            [np.zeros((1, 1, 4), np.float32), np.zeros((1, 1, 2), np.float32)],
            {"dilations": [2**40], "pads": [2**40] * 2},
        ),
        ("LRN", [np.zeros((1, 2, 3, 3), np.float32)], {"size": 2**40}),
    ],
)
def test_absurd_constants_ask_for_no_memory(
    op: str, constants: list[np.ndarray], attributes: dict[str, object]
) -> None:
    names = [f"c{position}" for position in range(len(constants))]
    wired = ["c0", "", "c2"] if op == "Resize" else names
    node = helper.make_node(op, wired, ["c"], name="big", **attributes)
    graph = model(
        [node, helper.make_node("Identity", ["c"], ["y"])], [], ["y"], dict(zip(names, constants, strict=True))
    )
    with pytest.raises(LightloomError, match=r"node 'big'"):
        to_module(graph)


def test_constants_made_over_and_over_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightloom.compiler.frontend.onnx.constants.MAX_FOLDED_BYTES", 2**16)
    nodes = [helper.make_node("ConstantOfShape", ["s"], [f"c{i}"], name=f"n{i}") for i in range(40)]
    nodes.append(helper.make_node("Sum", [f"c{i}" for i in range(40)], ["y"]))
    value = numpy_helper.from_array(np.zeros(1, np.int8))
    for node in nodes[:40]:
        node.attribute.append(helper.make_attribute("value", value))
    proto = model(nodes, [], ["y"], {"s": np.array([2**12])})
    with pytest.raises(CaptureError, match="constants that the model computes are too large"):
        to_module(proto)


def recursive(calls: int) -> onnx.ModelProto:
    body = [helper.make_node("f", ["a"], ["b"], domain="own") for _ in range(1)]
    body += [helper.make_node("f", ["b"], [f"c{i}"], domain="own") for i in range(calls)]
    function = helper.make_function("own", "f", ["a"], ["b"], body, [helper.make_opsetid("own", 1)])
    node = helper.make_node("f", ["x"], ["y"], domain="own", name="call")
    return model([node], [info("x", [2])], ["y"], domains={"own": 1}, functions=[function])


@pytest.mark.parametrize("calls", [0, 3])
def test_functions_that_call_themselves(calls: int) -> None:
    with pytest.raises(CaptureError, match="nest too deep"):
        to_module(recursive(calls))


def test_inputs_are_checked_against_the_file() -> None:
    module = to_module(gemm())
    assert module.inputs[0].shape == ("N", 4)
    with pytest.raises(InputError, match=r"'x'.*\[2, 5\].*\[N, 4\]"):
        module(torch.zeros(2, 5))
    with pytest.raises(InputError, match=r"'x'.*float64"):
        module(torch.zeros(2, 4, dtype=torch.float64))
    with pytest.raises(InputError, match="got 2; allowed: 1: x"):
        module(torch.zeros(2, 4), torch.zeros(1))


def test_an_operator_that_fails_names_its_node() -> None:
    node = helper.make_node("MatMul", ["x", "z"], ["y"], name="product")
    module = to_module(model([node], [info("x", None), info("z", None)], ["y"]))
    with pytest.raises(
        InputError, match=r"node 'product' \(MatMul, opset 21\)\); got float32\[2, 3\], float32\[2, 3\]"
    ):
        module(torch.zeros(2, 3), torch.zeros(2, 3))
