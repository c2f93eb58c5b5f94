"""Every spelling of a product of two tensors as one thing: labels of the axes of both operands and of the result."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.values import Arg, Dim, Ref, TensorType, ValueType
from ..ir import Node

Label = str | None
"""The label of an axis; None for an axis of size 1 that broadcasts away."""
Labels = tuple[tuple[Label, ...], tuple[Label, ...], tuple[str, ...]]
"""Labels of both operands and of the result."""
Shape = tuple[Dim, ...]
Types = dict[str, ValueType]


@dataclass(frozen=True, slots=True)
class Product:
    """``out = alpha * sum over labels that out lacks of left * right + beta * addend``, as ``einsum`` writes it."""

    left: Ref
    right: Ref
    left_labels: tuple[Label, ...]
    right_labels: tuple[Label, ...]
    out: tuple[str, ...]
    alpha: float = 1.0
    addend: Arg = None
    beta: float = 1.0


_FIXED = {
    "aten.mm.default": ("mk", "kn", "mn"),
    "aten._int_mm.default": ("mk", "kn", "mn"),
    "aten.bmm.default": ("bmk", "bkn", "bmn"),
    "aten.mv.default": ("mk", "k", "m"),
    "aten.dot.default": ("k", "k", ""),
    "aten.vdot.default": ("k", "k", ""),
    "aten.addmm.default": ("mk", "kn", "mn"),
    "aten.baddbmm.default": ("bmk", "bkn", "bmn"),
    "aten.addmv.default": ("mk", "k", "m"),
    "aten.addbmm.default": ("bmk", "bkn", "mn"),
}
_ALIGNED = {"aten.matmul.default", "aten.linalg_matmul.default"}
_OTHER = {"aten.inner.default", "aten.tensordot.default", "aten.linalg_vecdot.default", "aten.einsum.default"}
PRODUCTS = frozenset({*_FIXED, *_ALIGNED, *_OTHER})
"""ATen ops that multiply two tensors and sum."""
CHAINS = frozenset({"aten.linalg_multi_dot.default", "aten.chain_matmul.default"})
"""ATen ops that multiply a list of matrices."""


def product_of(node: Node, types: Types) -> Product | None:
    """The product that a node computes; None where it is none, or one of repeated or more than two operands.

    Args:
        node: Any node; ``ll.linear`` counts as a product too.
        types: The types of all named values.
    """
    if node.op in _FIXED:
        return _fixed(node)
    if node.op in ("ll.linear", "aten.linear.default"):
        return _linear(node, types)
    if node.op == "aten.einsum.default":
        return _einsum(node, types)
    if node.op not in PRODUCTS or len(node.args) < 2:
        return None
    left, right = node.args[:2]
    rows, columns = _shape(left, types), _shape(right, types)
    if not isinstance(left, Ref) or not isinstance(right, Ref) or rows is None or columns is None:
        return None
    labels: Labels | None = None
    if node.op in _ALIGNED:
        labels = _matmul(rows, columns)
    elif node.op == "aten.tensordot.default":
        labels = _tensordot(node, rows, columns)
    elif node.op == "aten.inner.default" and rows and columns:
        free, others = _names("m", rows[:-1]), _names("n", columns[:-1])
        labels = (*free, "k"), (*others, "k"), (*free, *others)
    elif node.op == "aten.linalg_vecdot.default" and dict(node.kwargs).get("dim", -1) == -1 and len(node.args) == 2:
        aligned = _align(rows[:-1], columns[:-1])
        labels = aligned and ((*aligned[0], "k"), (*aligned[1], "k"), aligned[2])
    return Product(left, right, *labels) if labels else None


def _shape(arg: Arg, types: Types) -> Shape | None:
    kind = types.get(arg.name) if isinstance(arg, Ref) else None
    return kind.shape if isinstance(kind, TensorType) else None


def _names(prefix: str, shape: Shape, *last: str) -> tuple[str, ...]:
    return (*(f"{prefix}{place}" for place in range(len(shape))), *last)


def _fixed(node: Node) -> Product | None:
    labels = tuple(tuple(part) for part in _FIXED[node.op])
    adds = node.op.startswith("aten.add") or node.op.startswith("aten.badd")
    operands = node.args[1:3] if adds else node.args[:2]
    if len(operands) != 2 or not isinstance(operands[0], Ref) or not isinstance(operands[1], Ref):
        return None
    options = dict(node.kwargs)
    alpha, beta = options.get("alpha", 1), options.get("beta", 1)
    if not isinstance(alpha, int | float) or not isinstance(beta, int | float):
        return None
    return Product(*operands, *labels, float(alpha), node.args[0] if adds and beta else None, float(beta))  # type: ignore[arg-type]


def _linear(node: Node, types: Types) -> Product | None:
    x, weight, *bias = node.args
    shapes = _shape(x, types), _shape(weight, types)
    if not isinstance(x, Ref) or not isinstance(weight, Ref) or not shapes[0] or not shapes[1]:
        return None
    rows = ("n",) if len(shapes[1]) == 2 else ()
    free = _names("m", shapes[0][:-1])
    return Product(x, weight, (*free, "k"), (*rows, "k"), (*free, *rows), addend=bias[0] if bias else None)


def _align(left: Shape, right: Shape) -> Labels | None:
    """Labels of shapes that broadcast, and of their result; None where they do not."""
    rank = max(len(left), len(right))
    names = tuple(f"b{place}" for place in range(rank))
    labels: tuple[list[Label], list[Label]] = ([], [])
    for place, name in enumerate(names):
        sides = [
            shape[place - rank + len(shape)] if place - rank + len(shape) >= 0 else None for shape in (left, right)
        ]
        if None not in sides and sides[0] != sides[1] and 1 not in sides:
            return None
        for side, other, mine in zip(sides, reversed(sides), labels, strict=True):
            if side is not None:
                mine.append(None if side == 1 and other not in (1, None) else name)
    return tuple(labels[0]), tuple(labels[1]), names


def _matmul(left: Shape, right: Shape) -> Labels | None:
    if not left or not right:
        return None
    aligned = _align(left[:-2], right[:-2])
    if aligned is None:
        return None
    rows, columns = ("m",) if len(left) > 1 else (), ("n",) if len(right) > 1 else ()
    return (*aligned[0], *rows, "k"), (*aligned[1], "k", *columns), (*aligned[2], *rows, *columns)


def _tensordot(node: Node, left: Shape, right: Shape) -> Labels | None:
    axes = node.args[2:4]
    if len(axes) != 2 or not all(isinstance(part, tuple) for part in axes):
        return None
    labels = [list(_names("m", left)), list(_names("n", right))]
    for side, listed in zip(labels, axes, strict=True):
        for number, axis in enumerate(listed if isinstance(listed, tuple) else ()):
            if isinstance(axis, int):
                side[axis] = f"k{number}"
    out = tuple(name for side in labels for name in side if not name.startswith("k"))
    return tuple(labels[0]), tuple(labels[1]), out


def _einsum(node: Node, types: Types) -> Product | None:
    equation, operands = node.args[:2]
    if not isinstance(equation, str) or not isinstance(operands, tuple) or len(operands) != 2:
        return None
    left, right = operands
    shapes = _shape(left, types), _shape(right, types)
    if not isinstance(left, Ref) or not isinstance(right, Ref) or shapes[0] is None or shapes[1] is None:
        return None
    parsed = einsum_labels(equation, shapes[0], shapes[1])
    return Product(left, right, *parsed) if parsed else None


def einsum_labels(equation: str, left: Shape, right: Shape) -> Labels | None:
    """Labels of both operands and the result; None for repeated labels, or axes that broadcast under one label."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != 2:
        return None
    heads = [term.partition("...") for term in terms]
    spans = [len(shape) - len(head) - len(tail) for (head, _, tail), shape in zip(heads, (left, right), strict=True)]
    if any(span < 0 or (span and not dots) for span, (_, dots, _) in zip(spans, heads, strict=True)):
        return None
    middles = [
        shape[len(head) : len(head) + span]
        for (head, _, _), shape, span in zip(heads, (left, right), spans, strict=True)
    ]
    aligned = _align(*middles)
    if aligned is None:
        return None
    labels = [(*head, *middle, *tail) for (head, _, tail), middle in zip(heads, aligned[:2], strict=True)]
    if not arrow:
        letters = "".join(terms).replace(".", "")
        output = "..." + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    start, dots, end = output.partition("...")
    out = (*start, *(aligned[2] if dots else ()), *end)
    sizes: dict[str, Dim] = {}
    for names, shape in zip(labels, (left, right), strict=True):
        named = [(name, dim) for name, dim in zip(names, shape, strict=True) if name is not None]
        if len({name for name, _ in named}) < len(named) or any(sizes.setdefault(n, dim) != dim for n, dim in named):
            return None
    return labels[0], labels[1], out
