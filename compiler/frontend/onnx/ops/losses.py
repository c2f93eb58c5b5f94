"""Loss functions, as training graphs carry them."""

from __future__ import annotations

import torch

from ..node import NodeContext
from ..registry import operator

Tensor = torch.Tensor


@operator("NegativeLogLikelihoodLoss")
def negative_log_likelihood(node: NodeContext, x: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    return _loss(node, x, target, weight)


@operator("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(
    node: NodeContext, x: Tensor, target: Tensor, weight: Tensor | None = None
) -> Tensor | tuple[Tensor, ...]:
    log_probability = torch.log_softmax(x, 1)
    loss = _loss(node, log_probability, target, weight)
    return (loss, log_probability) if node.wants(1) else loss


def _loss(node: NodeContext, x: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Minus the value of the right class at every position, weighted; positions to be ignored weigh nothing."""
    ignored = node["ignore_index"]
    target = target.to(torch.int64)
    known = target if ignored is None else torch.where(target == ignored, 0, target)
    picked = -torch.gather(x, 1, known.unsqueeze(1)).squeeze(1)
    weights = torch.ones_like(picked) if weight is None else weight[known]
    if ignored is not None:
        weights = torch.where(target == ignored, torch.zeros_like(weights), weights)
    loss = picked * weights
    reduction = node["reduction"]
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction != "mean":
        raise node.error("a reduction is unknown", got=reduction, allowed="none, sum, mean")
    return loss.sum() / weights.sum()
