"""Count multiply-accumulates and elements of a node for one sample of the example's shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from math import prod

import sympy
from torch.utils._sympy import functions as torch_functions

from ...runtime.recurrent import GATE_ELEMENTS, GATES
from ...runtime.values import Dim, Ref, TensorType, TupleType, ValueType, references
from ..ir import Graph, Node
from .products import CHAINS, PRODUCTS, product_of

_LINEAR = {"ll.linear", "aten.linear.default"}
_OLD_CONVOLUTIONS = {f"aten._convolution.{overload}" for overload in ("default", "deprecated")}
_CONVOLUTIONS = (
    {
        f"aten.{name}"
        for name in (
            "conv1d.default",
            "conv1d.padding",
            "conv2d.default",
            "conv2d.padding",
            "conv3d.default",
            "conv3d.padding",
        )
    }
    | {"aten.convolution.default", "ll.conv2d", "ll.convolution"}
    | _OLD_CONVOLUTIONS
    | {"aten._convolution_mode.default"}
)
_TRANSPOSED = {f"aten.conv_transpose{n}" for n in ("1d.default", "2d.input", "3d.input")}
_BILINEAR = {"aten.bilinear.default"}
_ATTENTION = {"aten.scaled_dot_product_attention.default"}
_RECURRENT = {f"aten.{kind}.input" for kind in GATES}
_CELLS = {f"aten.{kind}_cell.default" for kind in GATES}
_LOOPS = {"ll.recurrent", "ll.recurrence", "ll.product"}
MAC_OPS = frozenset.union(
    frozenset({"ll.mvm"}), _LINEAR, _CONVOLUTIONS, _TRANSPOSED, PRODUCTS, CHAINS, _ATTENTION, _RECURRENT, _CELLS,
    _LOOPS, _BILINEAR,
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


_SYMBOL = re.compile(r"\b[A-Za-z_]\w*\b(?!\s*\()")
_FUNCTIONS = {name: item for name, item in vars(torch_functions).items() if isinstance(item, type)}
Sizes = Mapping[str, int]
_NO_SIZES: Sizes = {}


def symbols(dim: Dim) -> set[str]:
    """Names of the symbols in a dimension."""
    return set(_SYMBOL.findall(dim)) if isinstance(dim, str) else set()


def sample_sizes(graph: Graph) -> dict[str, int]:
    """The value to count each symbol with: the example's, but 1 for the number of samples.

    Samples are the first dimension of the first input, and that of others unless it also sizes another dimension.
    """
    shapes = [value.type.shape for value in graph.inputs]
    samples = symbols(shapes[0][0]) if shapes and shapes[0] else set[str]()
    inner = {name for shape in shapes for dim in shape[1:] for name in symbols(dim)}
    samples |= {name for shape in shapes for dim in shape[:1] for name in symbols(dim)} - inner
    return {**graph.sizes, **dict.fromkeys(samples, 1)}


@lru_cache(maxsize=4096)
def _value(text: str, known: tuple[tuple[str, int], ...]) -> int:
    sizes = dict(known)
    names = {name: sympy.Symbol(name) for name in symbols(text)}
    expression = sympy.sympify(text, locals={**_FUNCTIONS, **names})  # type: ignore[call-overload]
    value = expression.subs({symbol: sizes.get(name, 1) for name, symbol in names.items()})
    return int(str(sympy.floor(value)))


def size(dim: Dim, sizes: Sizes = _NO_SIZES) -> int:
    """A dimension for one sample; a symbol that ``sizes`` lacks, which only a run can tell, counts as 1."""
    if isinstance(dim, int):
        return dim
    if dim.isidentifier():
        return sizes.get(dim, 1)
    return _value(dim, tuple((name, sizes[name]) for name in sorted(symbols(dim)) if name in sizes))


def shape(kind: ValueType | None, sizes: Sizes = _NO_SIZES) -> tuple[int, ...]:
    """The shape for one sample; empty for what is not a tensor."""
    return tuple(size(dim, sizes) for dim in kind.shape) if isinstance(kind, TensorType) else ()


def elements(kind: ValueType | None, sizes: Sizes = _NO_SIZES) -> int:
    """Elements of a value for one sample; numbers count one, tuples the sum of their items."""
    if isinstance(kind, TupleType):
        return sum(elements(item, sizes) for item in kind.items)
    return prod(shape(kind, sizes))


def macs(node: Node, graph: Graph) -> int:
    """Multiply-accumulates of a node for one sample; 0 for an op that does not multiply and accumulate."""
    if node.op not in MAC_OPS:
        return 0
    types, sizes = graph.types(), sample_sizes(graph)
    operands = [shape(types[arg.name], sizes) for arg in node.args if isinstance(arg, Ref)]
    if node.op == "ll.mvm":
        matrix = next(m for m in graph.matrices if m.name == node.attribute("matrix"))
        return elements(node.type, sizes) * matrix.cols // matrix.blocks
    if node.op == "ll.product":
        return elements(node.type, sizes) * operands[0][-1]
    if node.op in _RECURRENT:
        return _recurrent(node, types, sizes)
    if node.op in _CELLS:
        weights = [shape(types[name]) for name in references(node.args[2:4])]
        return prod(operands[0][:-1]) * sum(map(prod, weights))
    if node.op == "ll.recurrent":
        weights = references((node.args[3], node.args[5]))
        return loop_vectors(node, sizes) * sum(prod(shape(types[name])) for name in weights)
    if node.op == "ll.recurrence":
        weights = {matrix.name: matrix.rows * matrix.cols for matrix in graph.matrices}
        return loop_vectors(node, sizes) * sum(weights[name] for name in matrices_of(node))
    if node.op in _TRANSPOSED or _is_transposed(node):
        return prod(operands[0]) * prod(operands[1][1:])
    if node.op in _CONVOLUTIONS:
        return elements(node.type, sizes) * prod(operands[1][1:])
    if node.op in _LINEAR:
        return elements(node.type, sizes) * operands[1][-1]
    if node.op in _ATTENTION:
        query, key, value = operands[:3]
        return prod(query) * key[-2] + prod(query[:-1]) * key[-2] * value[-1]
    if node.op in _BILINEAR:
        return elements(node.type, sizes) * prod(operands[2][1:]) + prod(operands[0][:-1]) * prod(operands[2][:2])
    return _product(node, types, sizes)


def _product(node: Node, types: dict[str, ValueType], sizes: Sizes) -> int:
    """One multiply-accumulate for each combination of the labels of both operands."""
    product = product_of(node, types)
    if product is not None:
        spans: dict[str, int] = {}
        for ref, labels in ((product.left, product.left_labels), (product.right, product.right_labels)):
            for label, span in zip(labels, shape(types[ref.name], sizes), strict=True):
                if label is not None:
                    spans[label] = max(span, spans.get(label, 0))
        return prod(spans.values())
    operands = [shape(types[name], sizes) for arg in node.args for name in references(arg)]
    if len(operands) < 2:
        return 0
    # several operands, multiplied from the left: the rows of the first through each further one
    return prod(operands[0][:-1]) * sum(map(prod, operands[1:]))


def _is_transposed(node: Node) -> bool:
    """Whether a convolution spelled for both ways is a transposed one."""
    if node.op == "ll.convolution":
        return node.attribute("transposed") is True
    flag = node.args[6] if len(node.args) > 6 else dict(node.kwargs).get("transposed")
    return node.op in ("aten.convolution.default", *_OLD_CONVOLUTIONS) and flag is True


def _recurrent(node: Node, types: Mapping[str, ValueType], sizes: Sizes) -> int:
    """Every weight matrix of every layer and direction multiplies one vector a time step."""
    sequence, parameters = node.args[0], node.args[2]
    vectors = prod(shape(types[sequence.name], sizes)[:-1]) if isinstance(sequence, Ref) else 0
    shapes = [shape(types[name]) for name in references(parameters)]
    return vectors * sum(prod(weight) for weight in shapes if len(weight) == 2)


def loop_vectors(node: Node, sizes: Sizes = _NO_SIZES) -> int:
    """Vectors that a loop over time sends through each of its matrices, for one sample."""
    sequence = node.type.items[0] if isinstance(node.type, TupleType) else None
    return prod(shape(sequence, sizes)[:2])


def gate_elements(node: Node, graph: Graph) -> int:
    """Numbers that the host computes in the gates of an ``ll.recurrence``, for one sample."""
    kind = str(node.attribute("kind"))
    rows = next(matrix.rows for matrix in graph.matrices if matrix.name == node.attribute("matrix"))
    return loop_vectors(node, sample_sizes(graph)) * rows // GATES[kind] * GATE_ELEMENTS[kind]


def matrices_of(node: Node) -> tuple[str, ...]:
    """Names of the matrices that a lowered node multiplies by."""
    found = dict(node.kwargs)
    return tuple(str(found[role]) for role in ("matrix", "projection") if found.get(role) is not None)
