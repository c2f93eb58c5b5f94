"""How large a node's result would be, before any memory is asked for: small files can ask for terabytes.

Operators that take sizes as numbers check them themselves (:meth:`.node.NodeContext.check_size`); here are those whose
results outgrow their inputs: broadcasts, products, picks and joins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from .node import NodeContext

SMALL = 2**12
"""Inputs of fewer elements in all cannot make anything large here: the product of two is below the limit."""
GROWTH = 32
"""Results of up to this many times their inputs' elements are no surprise."""
_BROADCAST = frozenset(
    (
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Mod",
        "And",
        "Or",
        "Xor",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Where",
        "Max",
        "Min",
        "Sum",
        "Mean",
        "BitShift",
        "BitwiseAnd",
        "BitwiseOr",
        "BitwiseXor",
        "PRelu",
        "Clip",
        "QLinearAdd",
        "QLinearMul",
        "QuantizeLinear",
        "DequantizeLinear",
        "BiasGelu",
    )
)
_PRODUCT = frozenset(["FusedMatMul", "MatMul", "MatMulInteger", "QLinearMatMul", "TransposeMatMul"])


def check_result(node: NodeContext, values: Sequence[object]) -> None:
    """Refuse to compute a result of more elements than any model means.

    Raises:
        CaptureError: names the node and the sizes.
    """
    shapes = [tuple(value.shape) for value in values if isinstance(value, torch.Tensor)]
    if len(shapes) < 2 or any(not isinstance(size, int) for shape in shapes for size in shape):
        return
    if sum(math.prod(shape) for shape in shapes) < SMALL:
        return
    op = node.op
    if op in _BROADCAST:
        made = _broadcast(shapes)
    elif op in _PRODUCT:
        a, b = (shapes[0], shapes[1]) if op != "QLinearMatMul" or len(shapes) < 4 else (shapes[0], shapes[3])
        made = [*_broadcast([a[:-2], b[:-2]]), *a[-2:-1], *b[-1:]]
    elif op == "Gather" and shapes[0]:
        axis = node.axis(node.get("axis", 0), len(shapes[0]))
        made = [size for at, size in enumerate(shapes[0]) if at != axis] + list(shapes[1])
    elif op == "GatherND" and shapes[1]:
        made = [*shapes[1][:-1], *shapes[0][node.get("batch_dims", 0) + shapes[1][-1] :]]
    elif op == "Concat":
        made = [sum(math.prod(shape) for shape in shapes)]
    else:
        return
    # What grows from large inputs may be large itself: scores of attention over long texts.
    if math.prod(made) > GROWTH * sum(math.prod(shape) for shape in shapes):
        node.check_size(made)


def _broadcast(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """The shape that these broadcast to; where they do not fit, the operator says so."""
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return [0 if 0 in column else max(column) for column in zip(*padded, strict=True)]
