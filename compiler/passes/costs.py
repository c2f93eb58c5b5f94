"""Count multiply-accumulates and elements of a node for one sample."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import sympy

from ...runtime.recurrent import GATE_ELEMENTS, GATES
from ...runtime.values import Dim, Ref, TensorType, TupleType, ValueType, references
from ..ir import Graph, Node

_LINEAR = {"ll.linear", "aten.linear.default"}
_CONVOLUTIONS = {
    f"aten.{name}"
    for name in (
        "conv1d.default",
        "conv1d.padding",
        "conv2d.default",
        "conv2d.padding",
        "conv3d.default",
        "conv3d.padding",
    )
} | {"aten.convolution.default", "ll.conv2d", "ll.convolution"}
_TRANSPOSED = {f"aten.conv_transpose{n}" for n in ("1d.default", "2d.input", "3d.input")}
_PRODUCTS = {f"aten.{name}.default" for name in ("mm", "bmm", "matmul", "mv", "dot", "inner", "einsum")}
_BIASED_PRODUCTS = {"aten.addmm.default", "aten.baddbmm.default", "aten.addmv.default"}
_ATTENTION = {"aten.scaled_dot_product_attention.default"}
_RECURRENT = {f"aten.{kind}.input" for kind in GATES}
_CELLS = {f"aten.{kind}_cell.default" for kind in GATES}
_LOOPS = {"ll.recurrent", "ll.recurrence"}
MAC_OPS = frozenset.union(
    frozenset({"ll.mvm"}), _LINEAR, _CONVOLUTIONS, _TRANSPOSED, _PRODUCTS, _BIASED_PRODUCTS, _ATTENTION, _RECURRENT,
    _CELLS, _LOOPS,
)  # fmt: skip
"""The ops that multiply and accumulate; the ones that ``strict`` wants on the chip."""

_VIEWS = (
    "alias", "as_strided", "expand", "expand_as", "flatten", "movedim", "narrow", "permute", "select", "slice",
    "squeeze", "swapaxes", "t", "transpose", "unflatten", "unsqueeze", "view", "view_as",
)  # fmt: skip
"""ATen ops that only describe memory anew: they compute and move nothing."""


def is_view(op: str) -> bool:
    """Whether an op costs nothing: a view, or arithmetic on sizes."""
    namespace, _, rest = op.partition(".")
    return namespace == "py" or rest.startswith("sym_") or rest.partition(".")[0] in _VIEWS


def size(dim: Dim) -> int:
    """A dimension for one sample: symbolic sizes count the batch, so every symbol is one."""
    if isinstance(dim, int):
        return dim
    expression = sympy.sympify(dim)
    return int(str(expression.subs(dict.fromkeys(expression.free_symbols, 1))))


def shape(kind: ValueType | None) -> tuple[int, ...]:
    """The shape for one sample; empty for what is not a tensor."""
    return tuple(size(dim) for dim in kind.shape) if isinstance(kind, TensorType) else ()


def elements(kind: ValueType | None) -> int:
    """Elements of a value for one sample; numbers count one, tuples the sum of their items."""
    if isinstance(kind, TupleType):
        return sum(elements(item) for item in kind.items)
    return prod(shape(kind))


def macs(node: Node, graph: Graph) -> int:
    """Multiply-accumulates of a node for one sample; 0 for an op that does not multiply and accumulate."""
    if node.op not in MAC_OPS:
        return 0
    types = graph.types()
    operands = [shape(types[arg.name]) for arg in node.args if isinstance(arg, Ref)]
    if node.op == "ll.mvm":
        matrix = next(m for m in graph.matrices if m.name == node.attribute("matrix"))
        return elements(node.type) * matrix.cols // matrix.blocks
    if node.op in _RECURRENT:
        return _recurrent(node, types)
    if node.op in _CELLS:
        weights = [shape(types[name]) for name in references(node.args[2:4])]
        return prod(operands[0][:-1]) * sum(map(prod, weights))
    if node.op == "ll.recurrent":
        weights = references((node.args[3], node.args[5]))
        return loop_vectors(node) * sum(prod(shape(types[name])) for name in weights)
    if node.op == "ll.recurrence":
        sizes = {matrix.name: matrix.rows * matrix.cols for matrix in graph.matrices}
        return loop_vectors(node) * sum(sizes[name] for name in matrices_of(node))
    if node.op in _TRANSPOSED or _is_transposed(node):
        return prod(operands[0]) * prod(operands[1][1:])
    if node.op in _CONVOLUTIONS:
        return elements(node.type) * prod(operands[1][1:])
    if node.op in _LINEAR:
        return elements(node.type) * operands[1][-1]
    if node.op in _ATTENTION:
        query, key, value = operands[:3]
        return prod(query) * key[-2] + prod(query[:-1]) * key[-2] * value[-1]
    left = operands[1] if node.op in _BIASED_PRODUCTS else operands[0]
    return elements(node.type) * (left[-1] if left else 1)


def _is_transposed(node: Node) -> bool:
    """Whether a convolution spelled for both ways is a transposed one."""
    if node.op == "ll.convolution":
        return node.attribute("transposed") is True
    flag = node.args[6] if len(node.args) > 6 else dict(node.kwargs).get("transposed")
    return node.op == "aten.convolution.default" and flag is True


def _recurrent(node: Node, types: Mapping[str, ValueType]) -> int:
    """Every weight matrix of every layer and direction multiplies one vector a time step."""
    sequence, parameters = node.args[0], node.args[2]
    vectors = prod(shape(types[sequence.name])[:-1]) if isinstance(sequence, Ref) else 0
    shapes = [shape(types[name]) for name in references(parameters)]
    return vectors * sum(prod(weight) for weight in shapes if len(weight) == 2)


def loop_vectors(node: Node) -> int:
    """Vectors that a loop over time sends through each of its matrices, for one sample."""
    sequence = node.type.items[0] if isinstance(node.type, TupleType) else None
    return prod(shape(sequence)[:2])


def gate_elements(node: Node, graph: Graph) -> int:
    """Numbers that the host computes in the gates of an ``ll.recurrence``, for one sample."""
    kind = str(node.attribute("kind"))
    rows = next(matrix.rows for matrix in graph.matrices if matrix.name == node.attribute("matrix"))
    return loop_vectors(node) * rows // GATES[kind] * GATE_ELEMENTS[kind]


def matrices_of(node: Node) -> tuple[str, ...]:
    """Names of the matrices that a lowered node multiplies by."""
    found = dict(node.kwargs)
    return tuple(str(found[role]) for role in ("matrix", "projection") if found.get(role) is not None)
