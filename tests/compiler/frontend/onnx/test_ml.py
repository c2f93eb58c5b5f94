"""ai.onnx.ml operators against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from lightloom.compiler.frontend.onnx import to_module
from lightloom.compiler.frontend.onnx.arrays import to_numpy, to_torch
from lightloom.runtime.errors import CaptureError

ort = pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(1)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def model_of(op: str, x: np.ndarray, outputs: int = 1, **attributes: Any) -> onnx.ModelProto:
    names = [f"y{at}" for at in range(outputs)]
    node = helper.make_node(op, ["x"], names, domain="ai.onnx.ml", name="it", **attributes)
    info = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    graph = helper.make_graph([node], "g", [info], [onnx.ValueInfoProto(name=name) for name in names])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def check(op: str, x: np.ndarray, outputs: int = 1, **attributes: Any) -> None:
    model = model_of(op, x, outputs, **attributes)
    wanted = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    with torch.no_grad():
        result = to_module(model)(to_torch(x))
    got = [to_numpy(value) for value in (result if isinstance(result, tuple) else (result,))]
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine.reshape(theirs.shape), theirs, rtol=1e-4, atol=1e-5)


def flat(array: np.ndarray) -> list[float]:
    return array.reshape(-1).tolist()


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC"])
def test_linear_models(transform: str) -> None:
    x = real(6, 4)
    check("LinearRegressor", x, targets=3, coefficients=flat(real(3, 4)), intercepts=flat(real(3)))
    check(
        "LinearClassifier",
        x,
        2,
        coefficients=flat(real(3, 4)),
        intercepts=flat(real(3)),
        classlabels_ints=[5, 7, 9],
        post_transform=transform,
    )


def test_preprocessing() -> None:
    x = real(5, 3)
    check("Scaler", x, offset=flat(real(3)), scale=flat(real(3)))
    for norm in ("MAX", "L1", "L2"):
        check("Normalizer", np.abs(x) if norm == "MAX" else x, norm=norm)
    check("Binarizer", x, threshold=0.2)
    gaps = x.copy()
    gaps[1, 2] = np.nan
    check("Imputer", gaps, imputed_value_floats=flat(real(3)), replaced_value_float=float("nan"))
    check("OneHotEncoder", np.array([[3, 1], [4, 9]], np.int64), cats_int64s=[1, 3, 9], zeros=1)
    check(
        "LabelEncoder",
        np.array([1, 5, 2, 1], np.int64),
        keys_int64s=[1, 2],
        values_floats=[0.5, 2.5],
        default_float=9.0,
    )


@pytest.mark.parametrize("kernel", ["LINEAR", "RBF", "POLY", "SIGMOID"])
def test_support_vectors(kernel: str) -> None:
    x = real(6, 4)
    parameters = [0.3, 0.2, 2.0]
    check(
        "SVMRegressor",
        x,
        coefficients=flat(real(5)),
        support_vectors=flat(real(5, 4)),
        n_supports=5,
        rho=[0.1],
        kernel_type=kernel,
        kernel_params=parameters,
    )
    check(
        "SVMClassifier",
        x,
        2,
        classlabels_ints=[0, 1, 2],
        coefficients=flat(real(2, 6)),
        support_vectors=flat(real(6, 4)),
        vectors_per_class=[2, 3, 1],
        rho=flat(real(3)),
        kernel_type=kernel,
        kernel_params=parameters,
    )


def forest(trees: int, features: int, depth: int) -> tuple[dict[str, list[Any]], list[tuple[int, int]]]:
    """Columns of complete random trees, and (tree, node) of their leaves."""
    columns: dict[str, list[Any]] = {
        f"nodes_{name}": []
        for name in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    }
    leaves = []
    modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"]
    for tree in range(trees):
        for at in range(2 ** (depth + 1) - 1):
            inner = at < 2**depth - 1
            row = {
                "treeids": tree,
                "nodeids": at,
                "featureids": int(RNG.integers(features)) if inner else 0,
                "modes": modes[tree % 4] if inner else "LEAF",
                "values": float(RNG.standard_normal()) if inner else 0.0,
                "truenodeids": 2 * at + 1 if inner else 0,
                "falsenodeids": 2 * at + 2 if inner else 0,
            }
            for name, value in row.items():
                columns[f"nodes_{name}"].append(value)
            if not inner:
                leaves.append((tree, at))
    return columns, leaves


@pytest.mark.parametrize("how", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_tree_regressors(how: str) -> None:
    columns, leaves = forest(5, 4, 3)
    targets = 2 if how in ("SUM", "AVERAGE") else 1
    check(
        "TreeEnsembleRegressor",
        real(20, 4),
        n_targets=targets,
        aggregate_function=how,
        # Every leaf votes for every target: onnxruntime drops the base value of a target without votes.
        target_treeids=[tree for tree, _ in leaves] * targets,
        target_nodeids=[at for _, at in leaves] * targets,
        target_ids=[target for target in range(targets) for _ in leaves],
        target_weights=flat(real(targets * len(leaves))),
        base_values=[0.5, -0.5][:targets],
        **columns,
    )


@pytest.mark.parametrize(("classes", "transform"), [(3, "NONE"), (3, "SOFTMAX"), (2, "NONE"), (2, "LOGISTIC")])
def test_tree_classifiers(classes: int, transform: str) -> None:
    columns, leaves = forest(4, 3, 2)
    weights = real(len(leaves))
    check(
        "TreeEnsembleClassifier",
        real(20, 3),
        2,
        classlabels_int64s=list(range(classes)),
        class_treeids=[tree for tree, _ in leaves],
        class_nodeids=[at for _, at in leaves],
        class_ids=[int(RNG.integers(classes)) if classes > 2 else 0 for _ in leaves],
        class_weights=flat(np.abs(weights) / 8 if transform == "NONE" else weights),
        post_transform=transform,
        **columns,
    )


def test_labels_may_be_strings() -> None:
    x = real(2, 4)
    weights = real(2, 4)
    model = model_of("LinearClassifier", x, 2, coefficients=flat(weights), classlabels_strings=["cat", "dog"])
    names, scores = to_module(model)(to_torch(x))
    assert list(names) == [("cat", "dog")[at] for at in np.argmax(x @ weights.T, 1)]
    np.testing.assert_allclose(to_numpy(scores), x @ weights.T, rtol=1e-5)


def test_trees_that_lead_in_a_circle_are_refused() -> None:
    columns, leaves = forest(1, 2, 1)
    columns["nodes_truenodeids"][0] = 0
    model = model_of(
        "TreeEnsembleRegressor",
        real(2, 2),
        n_targets=1,
        target_treeids=[0] * len(leaves),
        target_nodeids=[at for _, at in leaves],
        target_ids=[0] * len(leaves),
        target_weights=flat(real(len(leaves))),
        **columns,
    )
    with pytest.raises(CaptureError, match="circle"):
        to_module(model)(to_torch(real(2, 2)))
