"""Habits of published files and their exporters: names, open sizes, branches that do not fit, maps, slips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import lightloom as ll
from lightloom.compiler.frontend.onnx import to_module
from lightloom.compiler.frontend.onnx.contrib import _HINTS, _NAMES, _WITHOUT_FORM
from lightloom.compiler.frontend.onnx.registry import entries

from .models import info, model, one_node, reference, tensors

ort = pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(7)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def by_onnxruntime(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    proto.ir_version = min(proto.ir_version, 10)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


ODD = ["0", "class", "lambda", "self", "input.1", "x:0", "seed", "ideal", "inputs", "a b", "1/2"]


@pytest.mark.parametrize("name", ODD)
def test_inputs_of_any_name(name: str, tmp_path: Path) -> None:
    weight = real(4, 3)
    node = helper.make_node("MatMul", [name, "w"], ["y"])
    proto = model([node], [info(name, ["n", 4])], ["y"], {"w": weight})
    program = ll.compile(proto.SerializeToString(), target="mzi16")
    x = real(5, 4)
    program.save(tmp_path / "p.loom")
    for each in (program, ll.load(tmp_path / "p.loom")):
        own = each.body.inputs[0].name
        for got in (
            each.run(torch.from_numpy(x), ideal=True),
            each.run({own: torch.from_numpy(x)}, ideal=True),
            each.run({name: torch.from_numpy(x)}, ideal=True),
        ):
            np.testing.assert_allclose(got.numpy(), x @ weight, rtol=1e-4, atol=1e-5)


def test_two_inputs_whose_names_differ_in_signs_only() -> None:
    nodes = [helper.make_node("MatMul", ["x.1", "w"], ["h"]), helper.make_node("Sub", ["h", "x/1"], ["y"])]
    proto = model(nodes, [info("x.1", ["n", 3]), info("x/1", ["n", 3])], ["y"], {"w": np.eye(3, dtype=np.float32)})
    program = ll.compile(proto.SerializeToString(), target="mzi16")
    a, b = torch.from_numpy(real(2, 3)), torch.from_numpy(real(2, 3))
    got = program.run({"x/1": b, "x.1": a}, ideal=True)
    np.testing.assert_allclose(got.numpy(), (a - b).numpy(), rtol=1e-4, atol=1e-5)


def test_a_size_of_minus_one_is_open() -> None:
    shape = info("x", ["n", 4])
    shape.type.tensor_type.shape.dim[0].dim_value = -1
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [shape], ["y"], {"w": real(4, 3)})
    program = ll.compile(proto.SerializeToString(), target="mzi16")
    for batch in (1, 5):
        assert program.run(torch.ones(batch, 4), ideal=True).shape == (batch, 3)


def branching(condition: str = "flag", fits: bool = False) -> onnx.ModelProto:
    """One layer, then two branches: a sum along axis 2, which there is none of in a matrix, and a negation.

    ``fits``: the condition under which the branch that runs is taken.
    """
    axis = numpy_helper.from_array(np.array([2]), "axis")
    out = onnx.ValueInfoProto(name="b")
    wrong = helper.make_graph([helper.make_node("ReduceSum", ["h", "axis"], ["b"])], "wrong", [], [out], [axis])
    right = helper.make_graph([helper.make_node("Neg", ["h"], ["b"])], "right", [], [out])
    then, other = (right, wrong) if fits else (wrong, right)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("If", [condition], ["y"], name="choice", then_branch=then, else_branch=other),
    ]
    inputs = [info("x", ["n", 4])] + [info("flag", [], TensorProto.BOOL)] * (condition == "flag")
    constants = {"w": np.eye(4, 3, dtype=np.float32)} | ({} if condition == "flag" else {condition: np.array(fits)})
    return model(nodes, inputs, ["y"], constants)


@pytest.mark.parametrize("fits", [False, True])
def test_a_branch_that_cannot_run_is_left_out_and_guarded(fits: bool, tmp_path: Path) -> None:
    x = torch.from_numpy(real(2, 4))
    program = ll.compile(branching(fits=fits).SerializeToString(), (x, torch.tensor(fits)), target="mzi16")
    program.save(tmp_path / "p.loom")
    for each in (program, ll.load(tmp_path / "p.loom")):
        for executor in ("batched", "step"):
            got = each.run(x, torch.tensor(fits), ideal=True, executor=executor)
            np.testing.assert_allclose(got.numpy(), -x[:, :3].numpy(), rtol=1e-5, atol=1e-6)
            with pytest.raises(
                ll.InputError, match=rf"branch of the model that is not in the program.*'choice'.*{fits}"
            ):
                each.run(x, torch.tensor(not fits), ideal=True, executor=executor)


def test_a_branch_that_a_constant_rules_out_may_be_anything() -> None:
    program = ll.compile(branching("known").SerializeToString(), target="mzi16")
    assert program.run(torch.ones(2, 4), ideal=True).shape == (2, 3)


def test_classifiers_lose_their_maps_with_a_word() -> None:
    weights = real(3, 4)
    nodes = [
        helper.make_node(
            "LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", classlabels_ints=[4, 7, 9],
            coefficients=weights.flatten().tolist(), intercepts=[0.0] * 3, post_transform="SOFTMAX",
        ),
        helper.make_node("ZipMap", ["p"], ["map"], name="zip", domain="ai.onnx.ml", classlabels_int64s=[4, 7, 9]),
    ]  # fmt: skip
    proto = model(nodes, [info("x", ["n", 4])], ["label", "map"], domains={"ai.onnx.ml": 3})
    x = real(5, 4)
    with pytest.warns(ll.LightloomWarning, match="'zip'.*left out"):
        program = ll.compile(proto.SerializeToString(), target="mzi16")
    label, p = program.run(torch.from_numpy(x), ideal=True)
    wanted_label, wanted = by_onnxruntime(proto, {"x": x})
    assert label.tolist() == wanted_label.tolist()
    np.testing.assert_allclose(p.numpy(), [[row[key] for key in (4, 7, 9)] for row in wanted], rtol=1e-4, atol=1e-5)


def contrib(op: str, inputs: list[np.ndarray], **attributes: Any) -> onnx.ModelProto:
    names = [f"x{at}" for at in range(len(inputs))]
    node = helper.make_node(op, names, ["y"], name="n", domain="com.microsoft", **attributes)
    infos = [info(name, value.shape) for name, value in zip(names, inputs, strict=True)]
    return model([node], infos, ["y"], domains={"com.microsoft": 1})


def test_a_slip_in_an_attribute_is_refused() -> None:
    proto = contrib("FusedMatMul", [real(2, 3), real(3, 2)], alhpa=2.0)
    with pytest.raises(ll.CaptureError, match=r"unknown to the operator.*'n'.*'alhpa'.*Did you mean alpha"):
        to_module(proto)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [("Rfft", {"normalized": 1, "signal_ndim": 1, "onesided": 1}), ("MatMulNBits", {"weight_prepacked": 1})],
)
def test_what_would_change_the_result_and_has_no_form_is_refused(op: str, attributes: dict[str, Any]) -> None:
    with pytest.raises(ll.CaptureError, match="no torch form yet"):
        to_module(contrib(op, [real(2, 4)] * 3, **attributes))


def test_every_attribute_of_the_table_is_read_or_accounted_for() -> None:
    folder = Path(__file__).parents[4] / "compiler/frontend/onnx/ops"
    source = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    for op, names in _NAMES.items():
        for name in names.split():
            assert f'"{name}"' in source or name in _HINTS | _WITHOUT_FORM, f"{op}.{name}"
    ours = {entry.name for entry in entries() if entry.domain == "com.microsoft"}
    assert set(_NAMES) == ours - {"SimplifiedLayerNormalization"}


def quantized_lstm(directions: int, per_column: bool, zero: bool) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    features, hidden = 5, 6
    columns = 4 * hidden if per_column else 1

    def codes(rows: int, name: str) -> dict[str, np.ndarray]:
        shape = (directions, columns) if per_column else (directions,)
        kind = np.uint8 if zero else np.int8
        value = RNG.integers(0, 255, (directions, rows, 4 * hidden)).astype(np.uint8).view(kind)
        found = {name: value, f"{name}_scale": (RNG.random(shape) * 0.004 + 0.002).astype(np.float32)}
        return found | {f"{name}_zero": np.full(shape, 120 if zero else 0, kind)}

    constants = codes(features, "w") | codes(hidden, "r") | {"b": 0.1 * real(directions, 8 * hidden)}
    names = ["x", "w", "r", "b", "", "", "", "", "w_scale", "w_zero", "r_scale", "r_zero"]
    node = helper.make_node(
        "DynamicQuantizeLSTM", names, ["y", "h", "c"], domain="com.microsoft", hidden_size=hidden,
        direction="bidirectional" if directions == 2 else "forward",
    )  # fmt: skip
    proto = model([node], [info("x", [4, "n", features])], ["y", "h", "c"], constants, 17, {"com.microsoft": 1})
    return proto, {"x": real(4, 3, features)}


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("zero", [False, True], ids=["int8", "uint8"])
def test_quantized_lstm(directions: int, per_column: bool, zero: bool) -> None:
    """Against onnxruntime, which also rounds the hidden state to eight bits: within that rounding."""
    proto, feeds = quantized_lstm(directions, per_column, zero)
    wanted = by_onnxruntime(proto, feeds)
    program = ll.compile(proto.SerializeToString(), (torch.from_numpy(feeds["x"]),), target="mzi16")
    assert any("lstm" in step.kind for step in program.body.steps if hasattr(step, "kind"))
    for got, want in zip(program.run(torch.from_numpy(feeds["x"]), ideal=True), wanted, strict=True):
        np.testing.assert_allclose(got.numpy(), want, atol=0.02)
        assert np.abs(want).max() > 0.1


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize("bias", [(3,), (1, 3), (1,), (5, 3)], ids=str)
def test_gemm_of_constant_weights_scales_its_bias(alpha: float, trans: int, bias: tuple[int, ...]) -> None:
    weight = real(3, 4) if trans else real(4, 3)
    proto, fed = one_node(
        "Gemm", [real(5, 4), weight, real(*bias)], constant=(1, 2), alpha=alpha, beta=2.5, transB=trans
    )
    (wanted,) = reference(proto, fed)
    np.testing.assert_allclose(to_module(proto)(*tensors(fed)).numpy(), wanted, rtol=1e-5, atol=1e-6)
    got = ll.compile(proto.SerializeToString(), tuple(tensors(fed)), target="mzi16").run(*tensors(fed), ideal=True)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [0.6, 1.7, 2.0])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resize_by_half_pixels_symmetric(scale: float, mode: str) -> None:
    x, scales = real(1, 1, 7, 5), np.array([1, 1, scale, scale], np.float32)
    proto, fed = one_node(
        "Resize", [x, None, scales], constant=(2,), mode=mode, coordinate_transformation_mode="half_pixel_symmetric"
    )
    (wanted,) = reference(proto, fed)
    np.testing.assert_allclose(to_module(proto)(*tensors(fed)).numpy(), wanted, rtol=1e-4, atol=1e-5)
    plain, _ = one_node("Resize", [x, None, scales], constant=(2,), mode=mode)
    if mode != "nearest" and scale != 2.0:
        assert np.abs(reference(plain, fed)[0] - wanted).max() > 1e-3


@pytest.mark.parametrize(("kind", "low", "high"), [(TensorProto.INT4, -8, 7), (TensorProto.UINT4, 0, 15)])
@pytest.mark.parametrize("real_type", [np.float32, np.float16])
def test_casts_to_four_bits_keep_what_fits(kind: int, low: int, high: int, real_type: type) -> None:
    x = np.arange(low, high + 1).astype(real_type)
    proto, fed = one_node("Cast", [x], to=kind)
    got = to_module(proto)(*tensors(fed))
    assert got.tolist() == x.astype(int).tolist()


def test_quantized_lstms_that_share_codes_but_not_zero_points_stay_apart() -> None:
    proto, feeds = quantized_lstm(1, per_column=False, zero=True)
    twin = onnx.NodeProto()
    twin.CopyFrom(proto.graph.node[0])
    twin.input[9], twin.output[:] = "other_zero", ["y2", "h2", "c2"]
    proto.graph.node.append(twin)
    proto.graph.initializer.append(numpy_helper.from_array(np.full((1,), 90, np.uint8), "other_zero"))
    proto.graph.output.append(onnx.ValueInfoProto(name="y2"))
    outputs = [item.name for item in proto.graph.output]
    wanted = dict(zip(outputs, by_onnxruntime(proto, feeds), strict=True))
    program = ll.compile(proto.SerializeToString(), (torch.from_numpy(feeds["x"]),), target="mzi16")
    got = dict(zip(outputs, program.run(torch.from_numpy(feeds["x"]), ideal=True), strict=True))
    assert np.abs(wanted["y"] - wanted["y2"]).max() > 0.05
    for name in ("y", "y2"):
        np.testing.assert_allclose(got[name].numpy(), wanted[name], atol=0.02)
