"""com.microsoft: fused activations, products and norms that onnxruntime's optimizers write.

The onnx package has no schemas for this domain: defaults are those of onnxruntime's contrib operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from ..known import Known
from ..node import NodeContext
from ..registry import operator
from .convolution import convolved
from .matrix import _gemm_weight, gemm
from .shape import trilu
from .signal import transform

Tensor = torch.Tensor
DOMAIN = "com.microsoft"

_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "Relu": torch.relu,
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
    "Softplus": F.softplus,
    "Gelu": F.gelu,
}


def defaults(node: NodeContext, **values: Any) -> None:
    """Fill in attributes that the model leaves out."""
    for name, value in values.items():
        node.attributes.setdefault(name, value)


def activated(node: NodeContext, x: Tensor, name: str, parameters: list[float]) -> Tensor:
    """A fused activation, by its ONNX name, with its parameters in onnxruntime's order."""
    if name in _PLAIN:
        return _PLAIN[name](x)
    first, second = (*parameters, 0.0, 0.0)[:2]
    match name:
        case "LeakyRelu":
            return F.leaky_relu(x, first if parameters else 0.01)
        case "Clip":
            return torch.clamp(x, first, second)
        case "HardSigmoid":
            alpha, beta = (first, second) if parameters else (0.2, 0.5)
            return torch.clamp(alpha * x + beta, 0.0, 1.0)
        case "Elu":
            return F.elu(x, first if parameters else 1.0)
        case "Affine":
            return first * x + second
        case "ScaledTanh":
            return first * torch.tanh(second * x)
        case "ThresholdedRelu":
            return torch.where(x > first, x, torch.zeros_like(x))
    raise node.error("an unknown fused activation", got=name, allowed=", ".join(filter(None, _PLAIN)))


# Activations ---------------------------------------------------------------------------------------------------------


@operator("Gelu", domain=DOMAIN)
def gelu(node: NodeContext, x: Tensor) -> Tensor:
    return F.gelu(x)


@operator("BiasGelu", domain=DOMAIN)
def bias_gelu(node: NodeContext, x: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(x + bias)


@operator("FastGelu", domain=DOMAIN)
def fast_gelu(node: NodeContext, x: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


@operator("QuickGelu", domain=DOMAIN)
def quick_gelu(node: NodeContext, x: Tensor) -> Tensor:
    return x * torch.sigmoid(node.get("alpha", 1.702) * x)


@operator("BiasSplitGelu", domain=DOMAIN)
def bias_split_gelu(node: NodeContext, x: Tensor, bias: Tensor) -> Tensor:
    left, right = (x + bias).chunk(2, -1)
    return left * F.gelu(right)


@operator("BiasAdd", domain=DOMAIN)
def bias_add(node: NodeContext, x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    return x + bias + skip


@operator("BiasSoftmax", domain=DOMAIN)
def bias_softmax(node: NodeContext, x: Tensor, bias: Tensor) -> Tensor:
    axis = node.axis(node.get("axis", 1), x.ndim)
    if node.get("is_inner_broadcast", 0):
        # The bias lacks (or has as ones) the dimensions just before the axis.
        outer, inner = list(bias.shape[: bias.ndim - (x.ndim - axis)]), list(bias.shape[bias.ndim - (x.ndim - axis) :])
        outer = [size for size in outer if size != 1] or [1]
        bias = bias.reshape([*outer, *([1] * (axis - len(outer))), *inner])
    y = x + bias
    return torch.softmax(y.flatten(axis), -1).reshape(y.shape)


# Products ------------------------------------------------------------------------------------------------------------


def _hold_fused(node: NodeContext) -> None:
    """A constant right-hand matrix as torch's linear wants it."""
    defaults(node, alpha=1.0, transA=0, transB=0, transBatchA=0, transBatchB=0)
    weight = node.constants[1]
    if weight is None or weight.ndim != 2 or node["transBatchA"] or node["transBatchB"]:
        return
    if not node["transB"]:
        node.replace(1, weight.t(), "transposed")
    node.state["linear"] = True


def _fused_matmul(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    defaults(node, alpha=1.0, transA=0, transB=0, transBatchA=0, transBatchB=0)
    if node["transBatchA"]:
        a = a.movedim(0, -2)
    if node["transBatchB"]:
        b = b.movedim(0, -2)
    if node["transA"] and a.ndim > 1:
        a = a.transpose(-1, -2)
    if node.state.get("linear"):
        y = F.linear(a, b)
    else:
        y = torch.matmul(a, b.transpose(-1, -2) if node["transB"] and b.ndim > 1 else b)
    return y if node["alpha"] == 1.0 else y * node["alpha"]


@operator("FusedMatMul", "TransposeMatMul", domain=DOMAIN, prepare=_hold_fused)
def fused_matmul(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    return _fused_matmul(node, a, b)


@operator("FusedMatMulActivation", domain=DOMAIN, prepare=_hold_fused)
def fused_matmul_activation(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    y = _fused_matmul(node, a, b)
    name = node.get("activation", "")
    if name == "Softmax":
        return torch.softmax(y, int(node.get("activation_axis", -1)))
    given = [node[key] for key in ("activation_alpha", "activation_beta", "activation_gamma") if node[key] is not None]
    return activated(node, y, name, given)


def _hold_gemm(node: NodeContext) -> None:
    defaults(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    _gemm_weight(node)


@operator("FusedGemm", domain=DOMAIN, prepare=_hold_gemm)
def fused_gemm(node: NodeContext, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    defaults(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    name = node.get("activation", "")
    given = [node[key] for key in ("activation_alpha", "activation_beta", "activation_gamma") if node[key] is not None]
    return activated(node, gemm(node, a, b, c), name, given)


def _hold_right(node: NodeContext) -> None:
    weight = node.constants[1]
    if weight is not None and weight.ndim == 2:
        node.replace(1, weight.t(), "transposed")
        node.state["linear"] = True


@operator("GemmFastGelu", domain=DOMAIN, prepare=_hold_right)
def gemm_fast_gelu(node: NodeContext, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    y = F.linear(x, w) if node.state.get("linear") else torch.matmul(x, w)
    return F.gelu(y if bias is None else y + bias, approximate="tanh")


@operator("FusedConv", domain=DOMAIN)
def fused_conv(
    node: NodeContext, x: Tensor, w: Tensor, bias: Tensor | None = None, skip: Tensor | None = None
) -> Tensor:
    defaults(node, auto_pad="NOTSET", group=1)
    y = convolved(node, x, w, bias)
    y = y if skip is None else y + skip
    return activated(node, y, node.get("activation", ""), list(node.get("activation_params", [])))


@operator("NhwcConv", domain=DOMAIN)
def nhwc_conv(node: NodeContext, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    defaults(node, auto_pad="NOTSET", group=1)
    return convolved(node, x.movedim(-1, 1), w, bias).movedim(1, -1)


# Norms ---------------------------------------------------------------------------------------------------------------


def _layer_norm(x: Tensor, gamma: Tensor, beta: Tensor | None, epsilon: float) -> Tensor:
    return F.layer_norm(x, list(gamma.shape), gamma, beta, epsilon)


def _rms(x: Tensor, scale: Tensor, axis: int, epsilon: float) -> tuple[Tensor, Tensor]:
    wide = x.to(torch.float32) if x.dtype in (torch.float16, torch.bfloat16) else x
    inverse = torch.rsqrt(torch.mean(wide * wide, list(range(axis, x.ndim)), keepdim=True) + epsilon)
    return (wide * inverse).to(x.dtype) * scale, inverse


@operator("SimplifiedLayerNormalization", note="onnxruntime's, in the default domain")
@operator("SimplifiedLayerNormalization", domain=DOMAIN)
def simplified_layer_normalization(node: NodeContext, x: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
    return _rms(x, scale, node.axis(node.get("axis", -1), x.ndim), node.get("epsilon", 1e-5))


@operator("SkipLayerNormalization", domain=DOMAIN)
def skip_layer_normalization(
    node: NodeContext,
    x: Tensor,
    skip: Tensor,
    gamma: Tensor,
    beta: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Any, ...]:
    total = x + skip if bias is None else x + skip + bias
    y = _layer_norm(total, gamma, beta, node.get("epsilon", 1e-12))
    return y, *_statistics(node, total, node.get("epsilon", 1e-12)), total


def _statistics(node: NodeContext, x: Tensor, epsilon: float) -> tuple[Tensor | None, Tensor | None]:
    if not node.wants(1) and not node.wants(2):
        return None, None
    mean = x.mean(-1, keepdim=True)
    return mean, torch.rsqrt((x - mean).square().mean(-1, keepdim=True) + epsilon)


@operator("SkipSimplifiedLayerNormalization", domain=DOMAIN)
def skip_simplified_layer_normalization(
    node: NodeContext, x: Tensor, skip: Tensor, gamma: Tensor, bias: Tensor | None = None
) -> tuple[Any, ...]:
    total = x + skip if bias is None else x + skip + bias
    y, inverse = _rms(total, gamma, x.ndim - 1, node.get("epsilon", 1e-12))
    return y, None, inverse, total


@operator("EmbedLayerNormalization", domain=DOMAIN)
def embed_layer_normalization(
    node: NodeContext,
    ids: Tensor,
    segments: Tensor | None,
    words: Tensor,
    positions: Tensor,
    segment_table: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    mask: Tensor | None = None,
    position_ids: Tensor | None = None,
) -> tuple[Any, ...]:
    where = positions[: ids.shape[1]] if position_ids is None else F.embedding(position_ids.to(torch.int64), positions)
    total = F.embedding(ids.to(torch.int64), words) + where
    if segments is not None and segment_table is not None:
        total = total + F.embedding(segments.to(torch.int64), segment_table)
    y = _layer_norm(total, gamma, beta, node.get("epsilon", 1e-12))
    lengths = mask.sum(1) if mask is not None else torch.zeros(ids.shape[0], dtype=torch.int64, device=ids.device)
    return y, lengths.to(torch.int32), total


@operator("GroupNorm", domain=DOMAIN)
def group_norm(node: NodeContext, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    last = node.get("channels_last", 1)
    y = x.movedim(-1, 1) if last else x
    y = F.group_norm(y, node["groups"], gamma.to(x.dtype), beta.to(x.dtype), node.get("epsilon", 1e-5))
    y = F.silu(y) if node.get("activation", 0) else y
    return y.movedim(1, -1) if last else y


# The rest ------------------------------------------------------------------------------------------------------------


@operator("ExpandDims", domain=DOMAIN, host=(1,))
def expand_dims(node: NodeContext, x: Tensor, axis: Any) -> Tensor:
    return x.unsqueeze(node.axis(int(node.number(axis, 1)), x.ndim + 1))


@operator("Trilu", domain=DOMAIN, host=(1,))
def trilu_(node: NodeContext, x: Tensor, k: Tensor | Known | None = None) -> Tensor:
    defaults(node, upper=1)
    return trilu(node, x, k)


@operator("Inverse", domain=DOMAIN)
def inverse(node: NodeContext, x: Tensor) -> Tensor:
    return torch.linalg.inv(x)


@operator("CDist", domain=DOMAIN)
def cdist(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    metric = node.get("metric", "sqeuclidean")
    if metric not in ("euclidean", "sqeuclidean"):
        raise node.error("an unknown distance", got=metric, allowed="euclidean, sqeuclidean")
    distance = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return distance if metric == "euclidean" else distance.square()


@operator("IsAllFinite", domain=DOMAIN)
def is_all_finite(node: NodeContext, *values: Tensor) -> Tensor:
    bad = torch.isinf if node.get("isinf_only", 0) else torch.isnan if node.get("isnan_only", 0) else None
    parts = [(~bad(value) if bad is not None else torch.isfinite(value)).all() for value in values]
    return torch.stack(parts).all()


@operator("ComplexMul", "ComplexMulConj", domain=DOMAIN)
def complex_mul(node: NodeContext, a: Tensor, b: Tensor) -> Tensor:
    sign = -1.0 if node.op == "ComplexMulConj" else 1.0
    real = a[..., 0] * b[..., 0] - sign * a[..., 1] * b[..., 1]
    imaginary = sign * a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0]
    return torch.stack([real, imaginary], -1)


@operator("Rfft", domain=DOMAIN)
def rfft(node: NodeContext, x: Tensor) -> Tensor:
    if node.get("signal_ndim", 1) != 1:
        raise node.error("transforms of more than one dimension", got=node["signal_ndim"], allowed="signal_ndim=1")
    return transform(node, x, None, x.shape[-1], False, True)


@operator("Irfft", domain=DOMAIN)
def irfft(node: NodeContext, x: Tensor) -> Tensor:
    if node.get("signal_ndim", 1) != 1:
        raise node.error("transforms of more than one dimension", got=node["signal_ndim"], allowed="signal_ndim=1")
    return transform(node, x[..., 0], x[..., 1], 2 * (x.shape[-2] - 1), True, True).squeeze(-1)
