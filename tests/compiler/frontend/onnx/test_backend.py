"""The official ONNX backend suite, and the rest of the onnx.backend interface."""

from __future__ import annotations

import importlib
import os
import re
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner, _normalize_tensor

from lightloom.compiler.frontend.onnx import backend
from lightloom.compiler.frontend.onnx.backend import Backend
from lightloom.runtime.errors import CaptureError, InputError

NODE_CASES = (
    "if_", "loop", "scan", "lstm", "gru", "rnn", "quantizelinear", "dequantizelinear", "qlinearconv", "qlinearmatmul",
    "matmulinteger", "convinteger", "dynamicquantizelinear", "sequence_map", "optionalgetelement", "dft", "stft",
    "hannwindow", "melweightmatrix", "gemm", "conv", "softmax", "stringnormalizer", "adam",
)  # fmt: skip
"""Modules of the suite's node tests that the default run loads: all of them take half a minute."""

IMPOSSIBLE = {
    r"test_bernoulli": "the draws of one generator, which ONNX leaves open",
    r"test_dft_inverse": "the rounding noise of numpy's transform",
    r"test_loop16_seq_none": "the suite takes len() of a scalar",
    r"test_cast(like)?_FLOAT(16)?_to_U?INT[24]": "what does not fit is left open, and ml_dtypes 0.7 changed it",
}
"""Node tests that no implementation but the one that wrote them passes."""


def is_possible(name: str) -> bool:
    return not any(re.match(pattern, name) for pattern in IMPOSSIBLE)


def data_sets(case: Any, model: onnx.ModelProto) -> list[tuple[list[Any], list[Any]]]:
    """Inputs and outputs of a test of the suite, from memory or from its folder."""
    if case.data_sets is not None:
        return [tuple([_normalize_tensor(item) for item in part] for part in pair) for pair in case.data_sets]
    found = []
    reader = Runner.__new__(Runner)
    for folder in sorted(Path(case.model_dir).glob("test_data_set*")):
        pair: list[list[Any]] = [[], []]
        for part, what, infos in ((0, "input", model.graph.input), (1, "output", model.graph.output)):
            for at in range(len(list(folder.glob(f"{what}_*.pb")))):
                reader._load_proto(str(folder / f"{what}_{at}.pb"), pair[part], infos[at].type)
        found.append((pair[0], pair[1]))
    return found


def passes(case: Any) -> backend.BackendRep:
    """Run a test of the suite as the suite does."""
    model = case.model or onnx.load(Path(case.model_dir) / "model.onnx")
    rep = Backend.prepare(model)
    for inputs, wanted in data_sets(case, model):
        Runner.assert_similar_outputs(wanted, rep.run(inputs), case.rtol, case.atol)
    return rep


def stored(kind: str, names: str) -> list[Any]:
    cases = sorted(load_model_tests(kind=kind), key=lambda case: case.name)
    return [pytest.param(case, id=case.name) for case in cases if re.search(names, case.name)]


CHIP = r"Conv1d$|Conv2d_(groups|no_bias|depthwise_with|strided)|Conv3d_stride|ConvTranspose2d$|Linear$|addmm"


@pytest.mark.parametrize("case", stored("pytorch-converted", CHIP))
def test_models_with_weights_run_on_the_chip(case: Any) -> None:
    rep = passes(case)
    assert rep.placement == "chip", rep.reason


@pytest.mark.parametrize(
    "case",
    [*stored("pytorch-operator", "[aeprs]"), *stored("simple", "."), *stored("pytorch-converted", "Pool|Norm|LU")],
)
def test_stored_models(case: Any) -> None:
    passes(case)


def node_cases(names: tuple[str, ...]) -> list[Any]:
    from onnx.backend.test.case.node import _NodeTestCases

    for name in names:
        importlib.import_module(f"onnx.backend.test.case.node.{name}")
    wanted = {name.replace("_", "") for name in names}
    return [
        case
        for case in _NodeTestCases
        if wanted & {node.op_type.lower() for node in case.model.graph.node} and is_possible(case.name)
    ]


def test_node_tests_of_some_operators() -> None:
    cases = node_cases(NODE_CASES)
    assert len(cases) > 100
    wrong = {}
    for case in cases:
        try:
            passes(case)
        except Exception as error:
            wrong[case.name] = f"{type(error).__name__}: {error}"
    assert not wrong


@pytest.mark.slow
def test_the_whole_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "ONNX_HOME", str(tmp_path))
    wrong, count = {}, 0
    for category, items in Runner(Backend)._test_items.items():
        for name, item in items.items():
            if category == "RealModel" or name.endswith("_cuda") or not is_possible(name):
                continue
            count += 1
            try:
                item.func(unittest.TestCase())
            except Exception as error:
                wrong[name] = f"{type(error).__name__}: {error}"[:300]
    assert count > 1950
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "bvlc_alexnet",
        "densenet121",
        "inception_v1",
        "inception_v2",
        "resnet50",
        "shufflenet",
        "squeezenet",
        "vgg19",
        "zfnet512",
    ],
)
def test_model_zoo_on_the_chip(name: str) -> None:
    light = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    model = onnx.load(light / f"light_{name}.onnx")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [Runner.generate_dummy_data(info) for info in model.graph.input if info.name not in weights]
    rep = Backend.prepare(model)
    (result,) = rep.run(inputs)
    wanted = numpy_helper.to_array(onnx.load_tensor(light / f"light_{name}_output_0.pb"))
    np.testing.assert_allclose(result, wanted, rtol=1e-3, atol=1e-7)
    assert rep.placement == "chip", rep.reason


# The interface -------------------------------------------------------------------------------------------------------


def linear() -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, 5)).astype(np.float32), rng.standard_normal((5, 4)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(w, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), x, x @ w


def test_run_model_takes_arrays_in_order_or_by_name() -> None:
    model, x, y = linear()
    for inputs in ([x], x, {"x": x}):
        (result,) = backend.run_model(model, inputs)
        np.testing.assert_allclose(result, y, rtol=1e-4, atol=1e-5)
    rep = backend.prepare(model, "CPU", target="mzi16")
    rep.run([x])
    assert rep.placement == "chip"
    assert "1 matrices" in rep.reason


def test_run_node_runs_on_the_host() -> None:
    node = helper.make_node("Add", ["a", "b"], ["c"])
    (result,) = backend.run_node(node, [np.float32([1, 2]), np.float32([3, 4])])
    np.testing.assert_array_equal(result, [4, 6])
    (result,) = backend.run_node(helper.make_node("Relu", ["a"], ["c"]), {"a": np.float32([-1, 2])}, opset_version=13)
    np.testing.assert_array_equal(result, [0, 2])


def test_only_the_cpu_is_supported() -> None:
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA")
    with pytest.raises(InputError, match="CUDA"):
        backend.prepare(linear()[0], "CUDA")


def test_wrong_inputs_are_named() -> None:
    model, x, _ = linear()
    rep = backend.prepare(model)
    with pytest.raises(InputError, match=r"image.*allowed: x"):
        rep.run({"image": x})
    with pytest.raises(InputError, match=r"'x'.*\[3, 4\].*\[n, 5\]"):
        rep.run([x[:, :4]])
    with pytest.raises(InputError, match=r"'x'.*float64.*float32"):
        rep.run([x.astype(np.float64)])
    with pytest.raises(InputError, match="number of inputs"):
        rep.run([x, x])


def test_what_cannot_be_traced_runs_on_the_host_and_says_so() -> None:
    model, x, _ = linear()
    model.graph.node.append(helper.make_node("RandomNormalLike", ["y"], ["noise"], name="drawing", scale=0.0))
    model.graph.node.append(helper.make_node("Add", ["y", "noise"], ["z"]))
    model.graph.output[0].name = "z"
    rep = backend.prepare(model)
    (result,) = rep.run([x])
    np.testing.assert_allclose(result, linear()[2], rtol=1e-4, atol=1e-5)
    assert rep.placement == "host"
    assert "drawing" in rep.reason
    assert "random" in rep.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: setattr(m.graph.node[0], "op_type", "Frobnicate"), r"'product' \(Frobnicate\)"),
        (lambda m: setattr(m.graph.node[0], "domain", "acme.ops"), r"domain is unknown.*'product'.*acme.ops"),
        (lambda m: setattr(m.opset_import[0], "version", 999), r"opset 999.*allowed: 1 to"),
        (
            lambda m: m.opset_import.append(helper.make_opsetid("ai.onnx.ml", 50)),
            r"opset 50 of ai.onnx.ml.*allowed: 1 to",
        ),
        (lambda m: m.graph.node[0].input.__setitem__(1, "gone"), r"'product'.*'gone'"),
    ],
)
def test_bad_models_are_refused_by_node(change: Any, message: str) -> None:
    model = linear()[0]
    change(model)
    with pytest.raises(CaptureError, match=message):
        backend.prepare(model)


def test_a_size_that_depends_on_data_is_named() -> None:
    model, x, _ = linear()
    model.graph.node.append(helper.make_node("Tile", ["y", "times"], ["z"], name="tiler"))
    model.graph.input.append(helper.make_tensor_value_info("times", TensorProto.INT64, [2]))
    model.graph.output[0].name = "z"
    rep = backend.prepare(model)
    assert rep.run([x, np.array([1, 2])])[0].shape == (3, 8)
    assert rep.placement == "host"
    for part in ("'tiler'", "input 1 'times'", "depends on data", "initializer"):
        assert part in rep.reason
