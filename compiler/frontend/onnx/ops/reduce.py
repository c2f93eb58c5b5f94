"""Reductions along axes, and the positions of extremes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..dtypes import WIDE_UNSIGNED
from ..known import Known
from ..node import NodeContext
from ..registry import operator
from .elementwise import widened

Tensor = torch.Tensor
Axes = list[int]


def _sum(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    return torch.sum(x, axes, keepdim=keep, dtype=x.dtype)


def _mean(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    if x.dtype.is_floating_point:
        return torch.mean(x, axes, keepdim=keep)
    total = torch.sum(x.to(torch.float64), axes, keepdim=keep)
    count = 1
    for axis in axes:
        count = count * x.shape[axis]
    return torch.trunc(total / count).to(x.dtype)


def _prod(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim=keep, dtype=x.dtype)
    return x


def _extreme(function: Callable[..., Tensor], worst: str) -> Callable[[Tensor, Axes, bool], Tensor]:
    def reduce(x: Tensor, axes: Axes, keep: bool) -> Tensor:
        if any(isinstance(x.shape[axis], int) and x.shape[axis] == 0 for axis in axes):
            # Over nothing: the neutral element, one step before which the reduction would start.
            if x.dtype is torch.bool:
                value: float = worst == "high"
            elif x.dtype.is_floating_point:
                value = float("inf") if worst == "high" else float("-inf")
            else:
                limits = torch.iinfo(x.dtype)
                value = limits.max if worst == "high" else limits.min
            shape = [1 if axis in axes else size for axis, size in enumerate(x.shape) if keep or axis not in axes]
            return torch.full(shape, value, dtype=x.dtype, device=x.device)
        return function(x, axes, keepdim=keep)

    return reduce


def _log_sum_exp(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    return torch.logsumexp(x if x.dtype.is_floating_point else x.float(), axes, keepdim=keep).to(x.dtype)


def _l2(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    squares = torch.sum(torch.square(x if x.dtype.is_floating_point else x.double()), axes, keepdim=keep)
    return torch.sqrt(squares).to(x.dtype)


def _log_sum(x: Tensor, axes: Axes, keep: bool) -> Tensor:
    return torch.log(torch.sum(x, axes, keepdim=keep)).to(x.dtype)


_REDUCE: dict[str, Callable[[Tensor, Axes, bool], Tensor]] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceProd": _prod,
    "ReduceMax": _extreme(torch.amax, "low"),
    "ReduceMin": _extreme(torch.amin, "high"),
    "ReduceL1": lambda x, axes, keep: _sum(torch.abs(x), axes, keep),
    "ReduceL2": _l2,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceSumSquare": lambda x, axes, keep: _sum(torch.square(x), axes, keep),
}
_ELEMENT: dict[str, Callable[[Tensor], Tensor]] = {
    "ReduceL1": torch.abs,
    "ReduceL2": torch.abs,
    "ReduceLogSum": torch.log,
    "ReduceSumSquare": torch.square,
}


@operator(*_REDUCE, host=(1,))
def reduce(node: NodeContext, x: Tensor, axes: Tensor | Known | None = None) -> Tensor:
    given = node["axes"] if axes is None else [int(axis) for axis in node.numbers(axes, 1)]
    if not given:
        if node.get("noop_with_empty_axes", 0):
            # Nothing is summed, but what is done to elements is done.
            return _ELEMENT.get(node.op, lambda value: value)(x)
        given = None
    where = node.axes(given, x.ndim)
    if not where:
        return _REDUCE[node.op](x.reshape(1), [0], False)
    keep = bool(node["keepdims"])
    if x.dtype in WIDE_UNSIGNED:
        return widened(lambda value: _REDUCE[node.op](value, where, keep), x)
    return _REDUCE[node.op](x, where, keep)


@operator("ArgMax", "ArgMin")
def arg_extreme(node: NodeContext, x: Tensor) -> Tensor:
    axis = node.axis(node["axis"], x.ndim)
    function = torch.argmax if node.op == "ArgMax" else torch.argmin
    keep = bool(node["keepdims"])
    if x.dtype in WIDE_UNSIGNED:
        x = x.to(torch.int64)
    if node.get("select_last_index", 0):
        return x.shape[axis] - 1 - function(x.flip(axis), axis, keepdim=keep)
    return function(x, axis, keepdim=keep)
