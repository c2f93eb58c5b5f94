"""com.microsoft: attention in its three forms, and rotary embeddings."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from ..known import Known
from ..node import NodeContext
from ..registry import operator
from .attention import _heads, rotated
from .microsoft import DOMAIN

Tensor = torch.Tensor


def _merged(x: Tensor) -> Tensor:
    """(batch, heads, length, size) to (batch, length, heads * size)."""
    return x.transpose(1, 2).flatten(2)


def _refuse(node: NodeContext, *positions: int) -> None:
    for position in positions:
        if position < len(node.input_names) and node.input_names[position]:
            raise node.input_error(position, "this input has no torch form yet", next_step="export without it")


def _mask(node: NodeContext, mask: Tensor | None, batch: Any, length: Any, total: Any, fill: float) -> Tensor | None:
    """A mask of lengths or of zeros and ones, as what is added to the scores (batch, 1, 1 or length, total)."""
    if mask is None:
        return None
    if mask.ndim == 1:
        keys = torch.arange(total, device=mask.device)
        if mask.shape[0] == batch:
            allowed = keys < mask.unsqueeze(1)
        elif mask.shape[0] == 2 * batch:
            allowed = (keys < mask[:batch].unsqueeze(1)) & (keys >= mask[batch:].unsqueeze(1))
        else:
            raise node.input_error(3, "a mask of lengths does not fit the batch", got=list(mask.shape))
        allowed = allowed.reshape(batch, 1, 1, total)
    elif mask.ndim == 2:
        allowed = (mask != 0).reshape(mask.shape[0], 1, 1, mask.shape[1])
    elif mask.ndim == 3:
        allowed = (mask != 0).unsqueeze(1)
    else:
        raise node.input_error(3, "a mask of this rank has no torch form", got=list(mask.shape), allowed="ranks 1 to 3")
    zeros = torch.zeros((), dtype=torch.float32, device=mask.device)
    return torch.where(allowed, zeros, zeros + fill)


def _causal(length: Any, total: Any, device: torch.device) -> Tensor:
    """Minus infinity where a query would see keys after it; queries are the last ``length`` positions."""
    query = torch.arange(length, device=device).unsqueeze(1) + (total - length)
    return torch.where(torch.arange(total, device=device) <= query, 0.0, -math.inf)


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float, *biases: Tensor | None) -> tuple[Tensor, Tensor]:
    """Attention of (batch, heads, length, size); returns the result and the probabilities."""
    scores = torch.matmul(q, k.transpose(-1, -2)) * scale
    for bias in biases:
        if bias is not None:
            scores = scores + bias.to(scores.dtype)
    weights = torch.softmax(scores, -1)
    return torch.matmul(weights, v), weights


def _hold_projection(node: NodeContext) -> None:
    weight = node.constants[1]
    if weight is not None and weight.ndim == 2:
        node.replace(1, weight.t(), "transposed")
        node.state["linear"] = True


@operator("Attention", domain=DOMAIN, prepare=_hold_projection)
def attention(
    node: NodeContext,
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    past: Tensor | None = None,
    added: Tensor | None = None,
    *rest: Any,
) -> tuple[Any, ...]:
    projected = F.linear(x, weights, bias) if node.state.get("linear") else torch.matmul(x, weights)
    if bias is not None and not node.state.get("linear"):
        projected = projected + bias
    return attention_of_projected(node, projected, mask, past, added)


def attention_of_projected(
    node: NodeContext, projected: Tensor, mask: Tensor | None, past: Tensor | None, added: Tensor | None
) -> tuple[Any, ...]:
    """Attention of queries, keys and values side by side: (batch, length, q + k + v)."""
    if node.get("do_rotary", 0) or node.get("past_present_share_buffer", 0):
        raise node.error("rotary embeddings and shared buffers inside Attention have no torch form yet")
    heads = node["num_heads"]
    sizes = node["qkv_hidden_sizes"] or [projected.shape[-1] // 3] * 3
    q, k, v = (_heads(part, heads) for part in projected.split(list(sizes), -1))
    if past is not None:
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
    total, length = k.shape[2], q.shape[2]
    scale = node.get("scale", 0.0) or 1 / math.sqrt(q.shape[3])
    fill = node.get("mask_filter_value", -10000.0)
    causal = _causal(length, total, q.device) if node.get("unidirectional", 0) else None
    y, _ = _attend(q, k, v, scale, _mask(node, mask, q.shape[0], length, total, fill), causal, added)
    present = torch.stack([k, v]) if node.wants(1) else None
    return _merged(y), present


@operator("MultiHeadAttention", domain=DOMAIN)
def multi_head_attention(
    node: NodeContext,
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    bias: Tensor | None = None,
    padding: Tensor | None = None,
    added: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    *rest: Any,
) -> tuple[Any, ...]:
    _refuse(node, 8, 9)
    heads = node["num_heads"]
    if query.ndim == 5:
        q, k, v = (part.transpose(1, 2) for part in query.unbind(3))
    elif key is not None and key.ndim == 5:
        q = _heads(query, heads)
        k, v = (part.transpose(1, 2) for part in key.unbind(3))
    elif key is None or value is None:
        raise node.input_error(1, "keys and values are missing", next_step="give them, or pack all three as rank 5")
    elif key.ndim == 4:
        q, k, v = _heads(query, heads), key, value
    else:
        q, k, v = _heads(query, heads), _heads(key, heads), _heads(value, heads)
    if bias is not None:
        first, second = q.shape[1] * q.shape[3], k.shape[1] * k.shape[3]
        q = q + bias[:first].reshape(1, heads, 1, -1)
        if key is None or key.ndim != 4:
            k = k + bias[first : first + second].reshape(1, heads, 1, -1)
            v = v + bias[first + second :].reshape(1, heads, 1, -1)
    if past_key is not None and past_value is not None:
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    total, length = k.shape[2], q.shape[2]
    scale = node.get("scale", 0.0) or 1 / math.sqrt(q.shape[3])
    fill = node.get("mask_filter_value", -10000.0)
    causal = _causal(length, total, q.device) if node.get("unidirectional", 0) else None
    y, weights = _attend(q, k, v, scale, _mask(node, padding, q.shape[0], length, total, fill), causal, added)
    return _merged(y), k, v, weights


@operator("RotaryEmbedding", domain=DOMAIN)
def rotary_embedding(node: NodeContext, x: Tensor, positions: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    if node.get("is_packed_batching", 0):
        raise node.error("packed batches have no torch form yet")
    heads, width = node.get("num_heads", 0), node.get("rotary_embedding_dim", 0)
    if x.ndim == 4:
        parts = x.transpose(1, 2)
    else:
        size = x.shape[2] // heads if heads else 2 * cos.shape[1]
        parts = x.reshape(x.shape[0], x.shape[1], -1, size)
    where = _positions(positions, parts.shape[0], parts.shape[1])
    y = rotated(parts, cos, sin, where, width or 2 * cos.shape[1], bool(node.get("interleaved", 0)))
    return y.transpose(1, 2) if x.ndim == 4 else y.flatten(2)


def _positions(positions: Tensor, batch: Any, length: Any) -> Tensor:
    """Positions (batch, length): as given, or counted from one offset."""
    if positions.ndim == 2:
        return positions
    return (positions.reshape(1, 1) + torch.arange(length, device=positions.device)).expand(batch, length)


@operator("GroupQueryAttention", domain=DOMAIN, host=(6,), note="no quantized caches, no query_seqlens")
def group_query_attention(
    node: NodeContext,
    query: Tensor,
    key: Tensor | None,
    value: Tensor | None,
    past_key: Tensor | None,
    past_value: Tensor | None,
    lengths: Tensor,
    total_length: Any,
    cos: Tensor | None = None,
    sin: Tensor | None = None,
    position_ids: Tensor | None = None,
    added: Tensor | None = None,
    sinks: Tensor | None = None,
    *rest: Any,
) -> tuple[Any, ...]:
    _refuse(node, 12, 13, 14, 15, 16)
    if node.get("sliding_window_cache", 0) or node.get("qk_output", 0):
        raise node.error("sliding caches and outputs of the scores have no torch form yet")
    heads, groups = node["num_heads"], node["kv_num_heads"]
    if heads < 1 or groups < 1 or heads % groups:
        raise node.error("heads do not share keys evenly", got=f"{heads} and {groups}")
    if key is None or value is None:
        size = query.shape[2] // (heads + 2 * groups)
        query, key, value = query.split([heads * size, groups * size, groups * size], -1)
    q, k, v = _heads(query, heads), _heads(key, groups), _heads(value, groups)
    batch, length = q.shape[0], q.shape[2]
    before = past_key.shape[2] if past_key is not None else 0
    total = node.number(total_length, 6) if not _symbolic(total_length) else before + length
    # Tokens each sample has already: none while the prompt is read, which may be padded on the right.
    ends = lengths.reshape(-1).to(torch.int64) + 1
    seen = torch.zeros_like(ends) if isinstance(before, int) and before == 0 else ends - length
    where = seen.unsqueeze(1) + torch.arange(length, device=q.device)
    if node.get("do_rotary", 0):
        if cos is None or sin is None:
            raise node.input_error(7, "rotary embeddings need their cosines and sines")
        turned = _positions(position_ids, batch, length) if position_ids is not None else where
        interleaved = bool(node.get("rotary_interleaved", 0))
        q, k = (
            rotated(part.transpose(1, 2), cos, sin, turned, 2 * cos.shape[1], interleaved).transpose(1, 2)
            for part in (q, k)
        )
    slots: Any = torch.sym_max(before, total)
    keys, values = (_cached(past, new, where, slots) for past, new in ((past_key, k), (past_value, v)))
    shared = heads // groups
    scores = torch.matmul(q, keys.repeat_interleave(shared, 1).transpose(-1, -2))
    scores = scores * (node.get("scale", 0.0) or 1 / math.sqrt(q.shape[3]))
    cap = node.get("softcap", 0.0)
    if cap:
        scores = cap * torch.tanh(scores / cap)
    at = torch.arange(slots, device=q.device)
    visible = at < ends.reshape(-1, 1, 1)
    if node.get("causal", 1):
        visible = at <= where.unsqueeze(2)
        window = node.get("local_window_size", -1)
        if window > 0:
            visible = visible & (at > where.unsqueeze(2) - window)
    scores = torch.where(visible.unsqueeze(1), scores, -math.inf)
    if added is not None:
        scores = scores + F.pad(added, (0, slots - added.shape[-1]))
    smooth = sinks is not None or node.get("smooth_softmax", -1) == 1
    if smooth:
        extra = torch.zeros(1, 1, 1, 1) if sinks is None else sinks.reshape(1, -1, 1, 1).to(scores.dtype)
        scores = torch.cat([scores, extra.expand(batch, heads, length, 1).to(scores.dtype)], -1)
    weights = torch.softmax(scores, -1)
    weights = weights[..., :-1] if smooth else weights
    y = torch.matmul(weights, values.repeat_interleave(shared, 1))
    return _merged(y), keys, values


def _symbolic(value: Any) -> bool:
    return (isinstance(value, Tensor) and (torch.compiler.is_exporting() or type(value).__name__ == "FakeTensor")) or (
        isinstance(value, Known) and not value.is_concrete
    )


def _cached(past: Tensor | None, new: Tensor, where: Tensor, slots: Any) -> Tensor:
    """New keys or values (batch, heads, length, size) written at their positions into what is cached."""
    if past is None or (isinstance(past.shape[2], int) and past.shape[2] == 0):
        return new if isinstance(slots, int) and slots == new.shape[2] else F.pad(new, (0, 0, 0, slots - new.shape[2]))
    room = F.pad(past, (0, 0, 0, slots - past.shape[2]))
    index = where.reshape(where.shape[0], 1, where.shape[1], 1).expand(new.shape)
    return room.scatter(2, index, new)
