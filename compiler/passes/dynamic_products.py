"""Spell products of two computed values as ``ll.product``, and attention as two of them, where the user asks for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

from ...runtime.targets import Target
from ...runtime.values import Arg, Ref, TensorType, Token, ValueType
from ..ir import Graph, Node
from .base import Options, matches

_ATTENTION = "aten.scaled_dot_product_attention.default"
_PLAIN = ("aten.matmul.default", "aten.bmm.default", "aten.mm.default")
_DEFAULTS: tuple[Arg, ...] = (None, 0.0, False)
"""Of attention: mask, dropout, causal."""


@dataclass(frozen=True)
class DynamicProducts:
    """With ``dynamic_matmul="photonic"``: products of two computed values run on tiles programmed for every sample.

    ``ll.product(left, right)`` is (..., M, K) times (..., K, N) of equal leading sizes; M, K and N are numbers. What
    has other sizes, or is excluded, stays as it is. Attention is spelled out first: the scores, their scale and mask,
    the softmax, and the product with the values.
    """

    options: Options = field(default_factory=Options)
    name: ClassVar[str] = "dynamic_products"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "nn"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`."""
        del target
        if self.options.dynamic_matmul != "photonic":
            return graph
        types = graph.types()
        nodes: list[Node] = []
        for node in graph.nodes:
            excluded = any(matches(node.origin.path, glob) for glob in self.options.exclude)
            if not excluded and node.op == _ATTENTION and _spellable(node, types):
                nodes += self._attention(node, types)
            elif not excluded and node.op in _PLAIN and _is_product(node, types, graph):
                nodes.append(replace(node, op="ll.product", kwargs=(), origin=node.origin.via(self.name)))
            else:
                nodes.append(node)
        return graph.with_nodes(tuple(nodes))

    def _attention(self, node: Node, types: dict[str, ValueType]) -> list[Node]:
        query, key, value, mask, _, causal = (*node.args, *_DEFAULTS[len(node.args) - 3 :])
        scale = dict(node.kwargs).get("scale")
        (*lead, rows, width), (*_, span, _) = _shape(query, types), _shape(key, types)
        dtype = _dtype(query, types)
        scores = TensorType(dtype, (*lead, rows, span))
        origin = node.origin.via(self.name)
        made: list[Node] = []

        def add(suffix: str, op: str, args: tuple[Arg, ...], kind: TensorType, **kwargs: Arg) -> Ref:
            made.append(Node(f"{node.name}${suffix}", op, args, kind, tuple(kwargs.items()), origin))
            return Ref(made[-1].name)

        turned = add("keys", "aten.transpose.int", (key, -2, -1), TensorType(dtype, (*lead, width, span)))
        found = add("scores", "ll.product", (query, turned), scores)
        factor = scale if isinstance(scale, (int, float)) else 1 / math.sqrt(int(width))  # type: ignore[arg-type]
        found = add("scaled", "aten.mul.Scalar", (found, factor), scores)
        if causal is True:
            allowed = TensorType("bool", (rows, span))
            ones = add("ones", "aten.ones.default", ((rows, span),), allowed, dtype=Token("bool"), device=Token("cpu"))  # type: ignore[arg-type]
            mask = add("causal", "aten.tril.default", (ones,), allowed)
        if isinstance(mask, Ref):
            kind = types.get(mask.name)
            boolean = causal is True or (isinstance(kind, TensorType) and kind.dtype == "bool")
            if boolean:
                hidden = TensorType("bool", kind.shape if isinstance(kind, TensorType) else (rows, span))
                mask = add("hidden", "aten.logical_not.default", (mask,), hidden)
                found = add("masked", "aten.masked_fill.Scalar", (found, mask, float("-inf")), scores)
            else:
                found = add("masked", "aten.add.Tensor", (found, mask), scores)
        weights = add("weights", "aten.softmax.int", (found, -1), scores)
        made.append(replace(node, op="ll.product", args=(weights, value), kwargs=(), origin=origin))
        return made


def _shape(arg: Arg, types: dict[str, ValueType]) -> tuple[int | str, ...]:
    kind = types.get(arg.name) if isinstance(arg, Ref) else None
    return kind.shape if isinstance(kind, TensorType) else ()


def _dtype(arg: Arg, types: dict[str, ValueType]) -> str:
    kind = types.get(arg.name) if isinstance(arg, Ref) else None
    return kind.dtype if isinstance(kind, TensorType) else "f32"


def _fit(left: tuple[int | str, ...], right: tuple[int | str, ...]) -> bool:
    """Equal leading sizes, and numbers for M, K and N."""
    return (
        len(left) == len(right) >= 2
        and left[:-2] == right[:-2]
        and left[-1] == right[-2]
        and all(isinstance(size, int) and size > 0 for size in (*left[-2:], *right[-2:]))
    )


def _is_product(node: Node, types: dict[str, ValueType], graph: Graph) -> bool:
    left, right = node.args[:2]
    if not isinstance(left, Ref) or not isinstance(right, Ref) or {left.name, right.name} & set(graph.store):
        return False
    return _fit(_shape(left, types), _shape(right, types)) and _dtype(left, types) == "f32" == _dtype(right, types)


def _spellable(node: Node, types: dict[str, ValueType]) -> bool:
    """Attention without dropout and without grouped heads, of sizes that fit."""
    shapes: list[tuple[int | str, ...]] = [_shape(arg, types) for arg in node.args[:3]]
    query, key, value = shapes
    dtype = _dtype(node.args[0], types)
    kwargs = dict(node.kwargs)
    dropout = node.args[4] if len(node.args) > 4 else kwargs.get("dropout_p", 0.0)
    known = set(kwargs) <= {"scale", "enable_gqa"}
    plain = known and not kwargs.get("enable_gqa") and dropout == 0.0
    if not plain or min(len(query), len(key)) < 2 or dtype != "f32":
        return False
    turned = _swapped(key)
    scores = (*query[:-1], *key[-2:-1])
    return _fit(query, turned) and _fit(scores, value)


def _swapped(shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The shape with its last two sizes the other way round."""
    return (*shape[:-2], *reversed(shape[-2:]))
