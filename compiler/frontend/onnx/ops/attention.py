"""Attention, rotary embeddings, and the recurrences that replace attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..dtypes import torch_type
from ..node import NodeContext
from ..registry import operator
from .activation import softmax

Tensor = torch.Tensor


def _heads(x: Tensor, heads: int) -> Tensor:
    """(batch, length, heads * size) to (batch, heads, length, size)."""
    return x.reshape(x.shape[0], x.shape[1], heads, x.shape[2] // heads).transpose(1, 2)


def _check_heads(node: NodeContext, q: Tensor) -> tuple[int, int]:
    query, keys = node["q_num_heads"], node["kv_num_heads"]
    if not query or not keys or query < 1 or keys < 1 or query % keys:
        raise node.error("three-dimensional inputs need both numbers of heads", got=f"{query} and {keys}")
    return query, keys


@operator("Attention")
def attention(
    node: NodeContext,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, ...]:
    packed = q.ndim == 3
    if packed:
        query, keys = _check_heads(node, q)
        q, k, v = _heads(q, query), _heads(k, keys), _heads(v, keys)
    if past_key is not None and past_value is not None:
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    present_key, present_value = k, v
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scale = node["scale"] if node["scale"] is not None else 1 / math.sqrt(q.shape[3])
    windows = (node.get("left_window_size", -1), node.get("right_window_size", -1))
    simple = mask is None and past_key is None and lengths is None and windows == (-1, -1)
    simple = simple and q.dtype is not torch.float16
    if simple and not node["softcap"] and node["softmax_precision"] is None and not node.wants(3):
        y = F.scaled_dot_product_attention(q, k, v, is_causal=bool(node["is_causal"]), scale=scale)
        scores = None
    else:
        offset: Any = 0 if past_key is None else past_key.shape[2]
        if past_key is None and lengths is not None:
            offset = (lengths.reshape(-1) - q.shape[2]).reshape(-1, 1, 1, 1)
        bias = _bias(node, q, k.shape[2], mask, lengths, offset, windows)
        y, scores = _attended(node, q, k, v, bias, scale)
    if packed:
        y = y.transpose(1, 2).reshape(y.shape[0], y.shape[2], -1)
    return (y, present_key, present_value) if scores is None else (y, present_key, present_value, scores)


def _bias(
    node: NodeContext,
    q: Tensor,
    keys: Any,
    mask: Tensor | None,
    lengths: Tensor | None,
    offset: Any,
    windows: tuple[int, int],
) -> Tensor | None:
    """What is added to the scores: masks as 0 or minus infinity, and a float mask as it is."""
    allowed: Tensor | None = None
    bias: Tensor | None = None
    if mask is not None:
        # A mask may stop short of the keys: what it does not mention is masked.
        missing = keys - mask.shape[-1]
        if not isinstance(missing, int) or missing > 0:
            mask = F.pad(mask, (0, missing), value=False if mask.dtype is torch.bool else -math.inf)
        if mask.dtype is torch.bool:
            allowed = mask
        else:
            bias = mask
    rows = torch.arange(q.shape[2], device=q.device).unsqueeze(1) + offset
    columns = torch.arange(keys, device=q.device)
    limits = []
    if node["is_causal"]:
        limits.append(columns <= rows)
    if windows[0] >= 0:
        limits.append(rows - columns <= windows[0])
    if windows[1] >= 0:
        limits.append(columns - rows <= windows[1])
    if lengths is not None:
        limits.append(columns < lengths.reshape(-1, 1, 1, 1))
    for limit in limits:
        allowed = limit if allowed is None else allowed & limit
    if allowed is not None:
        blocked = torch.zeros((), dtype=q.dtype, device=q.device).masked_fill(~allowed, -math.inf)
        bias = blocked if bias is None else bias + blocked
    return bias


def _attended(
    node: NodeContext, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    root = _in_type(math.sqrt(scale), q.dtype)
    scores = torch.matmul(q * root, (k * root).transpose(-1, -2))
    mode = node["qk_matmul_output_mode"]
    shown = scores
    if node["softcap"] > 0:
        scores = torch.tanh(scores / node["softcap"]) * node["softcap"]
    if mode == 1:
        shown = scores
    if bias is not None:
        scores = scores + bias
    if mode == 2:
        shown = scores
    precision = node["softmax_precision"]
    wide = scores if precision is None else scores.to(torch_type(precision, node.where))
    weights = softmax(wide, -1)
    if bias is not None:
        # A query that may look at nothing sees nothing.
        blind = torch.amax(bias, -1, keepdim=True) == -math.inf
        weights = torch.where(blind, torch.zeros_like(weights), weights)
    weights = weights.to(q.dtype)
    return torch.matmul(weights, v), weights if mode == 3 else shown


def _in_type(value: float, dtype: torch.dtype) -> float:
    """A number rounded to float32 and then to a type, without a tensor that would show in a trace."""
    if dtype is torch.float64:
        return value
    single = np.float32(value)
    if dtype is torch.float16:
        return float(np.float16(single))
    if dtype is torch.bfloat16:
        bits = int(single.view(np.uint32))
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        return float(np.uint32(bits).view(np.float32))
    return float(single)


@operator("FlexAttention", domain="ai.onnx.preview")
def flex_attention(node: NodeContext, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    dtype = q.dtype
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scale = node["scale"] if node["scale"] is not None else 1 / math.sqrt(q.shape[3])
    root = _in_type(math.sqrt(scale), dtype)
    scores = torch.matmul(q * root, (k * root).transpose(-1, -2))
    precision = node["softmax_precision"]
    wide = torch_type(precision, node.where) if precision else dtype
    scores = scores.to(wide if wide.itemsize >= 4 or precision else torch.float32)
    compute = scores.dtype
    if "score_mod" in node.graphs:
        scores = node.graphs["score_mod"](scores)[0].to(compute)
    weights = torch.softmax(scores, -1)
    if "prob_mod" in node.graphs:
        weights = node.graphs["prob_mod"](weights)[0].to(compute)
    return torch.matmul(weights, v.to(compute)).to(dtype)


@operator("RotaryEmbedding")
def rotary_embedding(node: NodeContext, x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None = None) -> Tensor:
    packed = x.ndim == 3
    if packed:
        heads = node["num_heads"]
        if not heads:
            raise node.error("a three-dimensional input needs num_heads", got=heads)
        x = x.reshape(x.shape[0], x.shape[1], heads, x.shape[2] // heads)
    else:
        x = x.transpose(1, 2)
    y = rotated(x, cos, sin, positions, node["rotary_embedding_dim"] or x.shape[-1], bool(node["interleaved"]))
    return y.flatten(2) if packed else y.transpose(1, 2)


def rotated(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None, width: int, interleaved: bool) -> Tensor:
    """Rotate pairs of features of x (batch, length, heads, size) by angles given as cosines and sines.

    Args:
        cos, sin: (positions, width / 2), picked by ``positions`` (batch, length); or (batch, length, width / 2).
        width: Features that turn; the rest pass.
        interleaved: Whether pairs are neighbours, or lie half the width apart.
    """
    if positions is not None:
        cos, sin = cos[positions], sin[positions]
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    turning, rest = x[..., :width], x[..., width:]
    if interleaved:
        first, second = turning[..., 0::2], turning[..., 1::2]
    else:
        first, second = turning[..., : width // 2], turning[..., width // 2 :]
    real, imaginary = cos * first - sin * second, sin * first + cos * second
    y = torch.stack([real, imaginary], -1).flatten(-2) if interleaved else torch.cat([real, imaginary], -1)
    return torch.cat([y, rest], -1) if width != x.shape[-1] else y


@operator("LinearAttention", note="the recurrence runs step by step, so the length must be known")
def linear_attention(
    node: NodeContext,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    past: Tensor | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    query, keys = _check_heads(node, q)
    rule = node["update_rule"]
    gated, corrected = rule in ("gated", "gated_delta"), rule in ("delta", "gated_delta")
    if rule not in ("linear", "gated", "delta", "gated_delta"):
        raise node.error("an update rule is unknown", got=rule, allowed="linear, gated, delta, gated_delta")
    if gated != (decay is not None) or corrected != (beta is not None):
        raise node.error("decay goes with the gated rules, beta with the delta rules", got=rule)
    dtype = q.dtype
    queries, key, value = (_heads(x.float(), n) for x, n in ((q, query), (k, keys), (v, keys)))
    batch, length, size = q.shape[0], q.shape[1], queries.shape[3]
    forget = None if decay is None else torch.exp(_heads(decay.float(), keys))
    rate = None if beta is None else beta.float().transpose(1, 2).unsqueeze(-1)
    scale = node["scale"] or 1 / math.sqrt(size)
    state = torch.zeros(batch, keys, size, value.shape[3], device=q.device) if past is None else past.float()
    outputs = []
    for step in range(length):
        at, what = key[:, :, step], value[:, :, step]
        if forget is not None:
            state = state * forget[:, :, step].unsqueeze(-1)
        if rate is not None:
            what = rate[:, :, step] * (what - torch.einsum("bhdm,bhd->bhm", state, at))
        state = state + at.unsqueeze(-1) * what.unsqueeze(-2)
        read = state if query == keys else state.repeat_interleave(query // keys, 1)
        outputs.append(scale * torch.einsum("bhd,bhdm->bhm", queries[:, :, step], read))
    y = torch.stack(outputs, 1).flatten(2)
    return y.to(dtype), state.to(dtype if past is None else past.dtype)


@operator("CausalConvWithState")
def causal_conv_with_state(
    node: NodeContext, x: Tensor, weight: Tensor, bias: Tensor | None = None, past: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    reach = weight.shape[2] - 1
    padded = F.pad(x, (reach, 0)) if past is None else torch.cat([past, x], 2)
    y = F.conv1d(padded, weight, bias, groups=x.shape[1])
    activation = node["activation"]
    if activation in ("silu", "swish"):
        y = F.silu(y)
    elif activation != "none":
        raise node.error("an activation is unknown", got=activation, allowed="none, silu, swish")
    return y, padded.narrow(2, padded.shape[2] - reach, reach)
