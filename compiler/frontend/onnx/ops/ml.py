"""ai.onnx.ml: linear models, scaling, lookups and support vectors on numbers. Labels may be strings: numpy arrays."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from .....runtime.errors import LightloomWarning
from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor
DOMAIN = "ai.onnx.ml"


def floats(values: Any, device: torch.device | None = None) -> Tensor:
    """A list attribute as float32."""
    return torch.tensor(values or [], dtype=torch.float32, device=device)


def transformed(node: NodeContext, scores: Tensor, name: Any) -> Tensor:
    """``post_transform``: by name, or by its number in newer operators."""
    names = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
    if isinstance(name, int):
        name = names[name] if 0 <= name < len(names) else str(name)
    match name:
        case "NONE" | None:
            return scores
        case "SOFTMAX":
            return torch.softmax(scores, -1)
        case "LOGISTIC":
            return torch.sigmoid(scores)
        case "SOFTMAX_ZERO":
            weights = torch.softmax(scores, -1)
            return torch.where(scores == 0, torch.zeros_like(weights), weights)
        case "PROBIT":
            return math.sqrt(2) * torch.erfinv(2 * scores - 1)
    raise node.error("an unknown post_transform", got=name, allowed=", ".join(names))


def labels(node: NodeContext, numbers: str, strings: str = "classlabels_strings") -> list[Any]:
    """Class labels of a classifier: integers or strings.

    Raises:
        CaptureError: there are none; or they are strings, which no compiled program can return.
    """
    if node[strings]:
        if torch.compiler.is_exporting():
            raise node.error(
                "class labels that are strings cannot leave a compiled program",
                got=", ".join(node[strings][:4]),
                allowed="integer labels",
                next_step="convert the model with encoded classes, or run the module by itself: to_module(model)(...)",
            )
        return node[strings]
    if not node[numbers]:
        raise node.error("a classifier has no labels", got=f"neither {numbers} nor {strings}")
    return node[numbers]


def _rows(x: Tensor) -> Tensor:
    return x.unsqueeze(0) if x.ndim == 1 else x


def _matrix(node: NodeContext, values: Any, rows: int) -> Tensor:
    if rows < 1 or not values or len(values) % rows:
        raise node.error("the coefficients do not fit", got=f"{len(values or [])} for {rows} rows")
    return floats(values).reshape(rows, -1)


@operator("LinearRegressor", domain=DOMAIN)
def linear_regressor(node: NodeContext, x: Tensor) -> Tensor:
    weight = _matrix(node, node["coefficients"], node["targets"])
    bias = floats(node["intercepts"]) if node["intercepts"] else None
    return transformed(node, F.linear(_rows(x).to(torch.float32), weight, bias), node["post_transform"])


@operator("LinearClassifier", domain=DOMAIN)
def linear_classifier(node: NodeContext, x: Tensor) -> tuple[Any, Tensor]:
    classes = labels(node, "classlabels_ints")
    bias = node["intercepts"]
    binary = len(classes) == 2 and (len(bias) == 1 if bias else False)
    weight = _matrix(node, node["coefficients"], 1 if binary else len(classes))
    scores = F.linear(_rows(x).to(torch.float32), weight, floats(bias) if bias else None)
    return classified(node, scores, classes)


def named(classes: list[Any], chosen: Tensor) -> Any:
    """The labels at these positions: a tensor, or a numpy array of strings."""
    if isinstance(classes[0], str):
        return np.array(classes, dtype=object)[chosen.numpy()]
    return torch.tensor(classes, dtype=torch.int64, device=chosen.device)[chosen]


def classified(node: NodeContext, scores: Tensor, classes: list[Any]) -> tuple[Any, Tensor]:
    """The label of the highest score and the transformed scores; one score of two classes is that of the second."""
    name = node["post_transform"]
    if scores.shape[1] == 1 and len(classes) == 2:
        positive = (scores[:, 0] > 0).to(torch.int64)
        both = 1 - torch.sigmoid(scores) if name == "LOGISTIC" else -scores
        shown = torch.cat([both, transformed(node, scores, name)], 1)
        return named(classes, positive), shown
    return named(classes, torch.argmax(scores, 1)), transformed(node, scores, name)


@operator("Scaler", domain=DOMAIN)
def scaler(node: NodeContext, x: Tensor) -> Tensor:
    return (x.to(torch.float32) - floats(node["offset"] or [0.0])) * floats(node["scale"] or [1.0])


@operator("Normalizer", domain=DOMAIN)
def normalizer(node: NodeContext, x: Tensor) -> Tensor:
    rows = x.to(torch.float32)
    match node["norm"]:
        case "MAX":
            size = rows.amax(-1, keepdim=True)
        case "L1":
            size = rows.abs().sum(-1, keepdim=True)
        case "L2":
            size = rows.square().sum(-1, keepdim=True).sqrt()
        case _:
            raise node.error("an unknown norm", got=node["norm"], allowed="MAX, L1, L2")
    return torch.where(size == 0, rows, rows / torch.where(size == 0, torch.ones_like(size), size))


@operator("Binarizer", domain=DOMAIN)
def binarizer(node: NodeContext, x: Tensor) -> Tensor:
    return (x > node["threshold"]).to(x.dtype)


@operator("ArrayFeatureExtractor", domain=DOMAIN)
def array_feature_extractor(node: NodeContext, x: Tensor, indices: Tensor) -> Tensor:
    if x.ndim == 1:
        return x.index_select(0, indices.reshape(-1)).reshape(1, -1)
    return x.index_select(x.ndim - 1, indices.reshape(-1))


@operator("FeatureVectorizer", domain=DOMAIN)
def feature_vectorizer(node: NodeContext, *values: Tensor) -> Tensor:
    sizes = node["inputdimensions"] or [value.shape[-1] for value in values]
    return torch.cat([_rows(v).to(torch.float32)[:, :n] for v, n in zip(values, sizes, strict=False)], 1)


@operator("Imputer", domain=DOMAIN)
def imputer(node: NodeContext, x: Tensor) -> Tensor:
    real = x.is_floating_point()
    values = node["imputed_value_floats"] if real else node["imputed_value_int64s"]
    missing = node["replaced_value_float"] if real else node["replaced_value_int64"]
    if not values:
        raise node.error("there is nothing to put in for missing values")
    gaps = torch.isnan(x) if real and missing is not None and math.isnan(missing) else x == missing
    return torch.where(gaps, torch.tensor(values, dtype=x.dtype, device=x.device), x)


@operator("OneHotEncoder", domain=DOMAIN)
def one_hot_encoder(node: NodeContext, x: Tensor) -> Tensor:
    categories = node["cats_int64s"]
    if not categories:
        raise node.error("categories that are strings have no torch form", allowed="cats_int64s")
    node.check_size([*x.shape, len(categories)])
    return (x.to(torch.int64).unsqueeze(-1) == torch.tensor(categories, device=x.device)).to(torch.float32)


def _pairs(node: NodeContext, what: str) -> Tensor:
    for name, dtype in ((f"{what}_int64s", torch.int64), (f"{what}_floats", torch.float32)):
        if node[name]:
            return torch.tensor(node[name], dtype=dtype)
    if node[f"{what}_tensor"] is not None:
        return node[f"{what}_tensor"].reshape(-1)
    raise node.error(
        f"{what} that are strings have no torch form", allowed=f"{what}_int64s, {what}_floats or a tensor of numbers"
    )


@operator("LabelEncoder", domain=DOMAIN, since=2)
def label_encoder(node: NodeContext, x: Tensor) -> Tensor:
    keys, values = _pairs(node, "keys"), _pairs(node, "values")
    if keys.shape != values.shape or not len(keys):
        raise node.error("keys and values do not match", got=f"{len(keys)} and {len(values)}")
    default = node["default_tensor"]
    if default is not None:
        other = default.reshape(()).to(values.dtype)
    elif values.dtype.is_floating_point:
        other = torch.tensor(node["default_float"] or 0.0, dtype=values.dtype)
    else:
        given = node["default_int64"]
        other = torch.tensor(-1 if given is None else given, dtype=values.dtype)
    node.check_size([*x.shape, len(keys)])
    elements = x.unsqueeze(-1)
    hits = elements == keys.to(x.dtype)
    if keys.dtype.is_floating_point:
        hits = hits | (torch.isnan(elements) & torch.isnan(keys))
    # Of equal keys the last one holds.
    last = torch.where(hits, torch.arange(1, len(keys) + 1, device=x.device), 0).amax(-1)
    return torch.where(last > 0, values[torch.clamp(last - 1, min=0)], other)


# Support vectors -----------------------------------------------------------------------------------------------------


def _kernel(node: NodeContext, x: Tensor, vectors: Tensor) -> Tensor:
    gamma, constant, degree = (*(node["kernel_params"] or []), 0.0, 0.0, 0.0)[:3]
    match node["kernel_type"]:
        case "LINEAR":
            return F.linear(x, vectors)
        case "POLY":
            return (gamma * F.linear(x, vectors) + constant) ** degree
        case "SIGMOID":
            return torch.tanh(gamma * F.linear(x, vectors) + constant)
        case "RBF":
            distance = (x.unsqueeze(1) - vectors).square().sum(-1)
            return torch.exp(-gamma * distance)
    raise node.error("an unknown kernel", got=node["kernel_type"], allowed="LINEAR, POLY, RBF, SIGMOID")


@operator("SVMRegressor", domain=DOMAIN)
def svm_regressor(node: NodeContext, x: Tensor) -> Tensor:
    rows = _rows(x).to(torch.float32)
    rho = floats(node["rho"] or [0.0])
    count = node["n_supports"]
    if count > 0:
        vectors = _matrix(node, node["support_vectors"], count)
        scores = F.linear(_kernel(node, rows, vectors), _matrix(node, node["coefficients"], 1)) + rho
    else:
        scores = _kernel(node, rows, _matrix(node, node["coefficients"], 1)) + rho
    if node["one_class"]:
        return torch.where(scores > 0, 1.0, -1.0)
    return transformed(node, scores, node["post_transform"])


@operator("SVMClassifier", domain=DOMAIN, note="without prob_a, prob_b: scores of pairs")
def svm_classifier(node: NodeContext, x: Tensor) -> tuple[Any, Tensor]:
    classes = labels(node, "classlabels_ints")
    if node["prob_a"]:
        raise node.error("probabilities of support vectors have no torch form yet", allowed="models without prob_a")
    rows, rho = _rows(x).to(torch.float32), node["rho"] or [0.0]
    counts = node["vectors_per_class"]
    if not counts:
        scores = _kernel(node, rows, _matrix(node, node["coefficients"], len(classes))) + floats(rho)
        return classified(node, scores, classes)
    total = sum(counts)
    vectors = _matrix(node, node["support_vectors"], total)
    weights = _matrix(node, node["coefficients"], len(classes) - 1)
    kernel = _kernel(node, rows, vectors)
    starts = [sum(counts[:at]) for at in range(len(counts) + 1)]
    pairs, votes = [], [torch.zeros(rows.shape[0], device=x.device) for _ in classes]
    for first in range(len(classes)):
        for second in range(first + 1, len(classes)):
            a, b = slice(starts[first], starts[first + 1]), slice(starts[second], starts[second + 1])
            score = kernel[:, a] @ weights[second - 1, a] + kernel[:, b] @ weights[first, b] + rho[len(pairs)]
            votes[first] = votes[first] + (score > 0)
            votes[second] = votes[second] + (score <= 0)
            pairs.append(score)
    chosen = named(classes, torch.argmax(torch.stack(votes, 1), 1))
    shown = torch.stack(pairs, 1)
    return chosen, transformed(node, shown, node["post_transform"])


def _tell_map(node: NodeContext) -> None:
    text = (
        f"{node.where} is left out: probabilities come as a tensor, a column for each class in the order of its labels"
    )
    warnings.warn(text, LightloomWarning, stacklevel=2)


@operator(
    "ZipMap", domain=DOMAIN, prepare=_tell_map, note="left out, with a warning: a tensor, its columns the classes"
)
def zip_map(node: NodeContext, x: Tensor) -> Tensor:
    return x
