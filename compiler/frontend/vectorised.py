"""Ops that run a graph for every item, as one run of it for all items; called while a program is traced anew."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import fx


def _interpreted(body: fx.GraphModule) -> Callable[..., Any]:
    """A graph as a function, so that what is traced of it keeps the layers it came from."""
    return lambda *args: fx.Interpreter(body).run(*args)


def mapped(body: fx.GraphModule, sequences: list[Any], extra: list[Any]) -> Any:
    """``map``: the body for every item of the first axis, all at once."""
    places = (*(0 for _ in sequences), *(None for _ in extra))
    return torch.vmap(_interpreted(body), in_dims=places)(*sequences, *extra)


def associative(body: fx.GraphModule, sequences: list[Any], extra: list[Any]) -> Any:
    from torch._higher_order_ops.associative_scan import generic_associative_scan

    places = (*(0 for _ in range(2 * len(sequences))), *(None for _ in extra))
    combine = torch.vmap(_interpreted(body), in_dims=places)
    return generic_associative_scan(combine, sequences, 0, tuple(extra))


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    score: fx.GraphModule,
    block_mask: tuple[Any, ...],
    scale: float,
    options: object,
    beside_score: tuple[Any, ...] = (),
    beside_mask: tuple[Any, ...] = (),
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``flex_attention``: scores and masks from functions of sample, head, row and column, at all of them at once.

    Returns:
        The result (batch, heads, rows, features), and logarithms in base 2 of the sums and the maxima of the scores.
    """
    del options
    groups = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(groups, 1) if groups > 1 else tensor for tensor in (key, value))
    scores = query @ key.mT * scale
    places = tuple(torch.arange(size, device=query.device) for size in scores.shape)
    scores = _everywhere(score, scores, places, beside_score)
    allowed = _everywhere(block_mask[-1], None, places, beside_mask)
    scores = torch.where(allowed, scores, -math.inf)
    weights = torch.ops.aten._safe_softmax.default(scores, -1)
    return weights @ value, scores.logsumexp(-1) / math.log(2), scores.amax(-1) / math.log(2)


def _everywhere(
    body: fx.GraphModule, scores: torch.Tensor | None, places: tuple[torch.Tensor, ...], beside: tuple[Any, ...]
) -> torch.Tensor:
    """A function of four places, and a score where there are some, at all places."""
    first = () if scores is None else (scores,)

    def function(*args: Any) -> Any:
        return fx.Interpreter(body).run(*args, *beside)

    for axis in reversed(range(4)):
        lead = (0,) * len(first)
        function = torch.vmap(function, in_dims=(*lead, *(0 if place == axis else None for place in range(4))))
    return function(*first, *places)
