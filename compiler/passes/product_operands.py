"""A product sorted out: which operand is the constant, and what each axis is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch

from ...runtime.errors import LightloomError
from ...runtime.values import Ref, TensorType, ValueType
from ..ir import Graph, Node
from .products import Label, Product, product_of

_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
UNKNOWN = "both operands are computed at run time"
"""The reason why a product of two runtime values is no layer."""


class UnspelledError(LightloomError):
    """Why a product is no layer; caught by the passes, never seen by a user but as a reason."""


def why_not(node: Node, graph: Graph) -> str | None:
    """Why a product stays as it is, if it has a constant operand; None for what is no product of two operands."""
    product = product_of(node, graph.types())
    if product is None:
        return None
    try:
        sorted_out(product, graph.types(), graph.store, {})
    except UnspelledError as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class Operands:
    """A product sorted out: the runtime value, the constant, and the role of each label."""

    x: Ref
    kind: TensorType
    x_labels: tuple[Label, ...]
    name: str
    weight: torch.Tensor
    weight_labels: tuple[str, ...]
    blocks: tuple[str, ...]
    rows: tuple[str, ...]
    cols: tuple[str, ...]
    free: tuple[str, ...]

    def size(self, label: str) -> int:
        """Size of an axis of the constant."""
        return self.weight.shape[self.weight_labels.index(label)]


def sorted_out(
    product: Product, types: dict[str, ValueType], store: Mapping[str, torch.Tensor], repeated: Mapping[str, str]
) -> Operands:
    """Sort out a product. Raises UnspelledError with the reason where it is no layer.

    ``repeated``: values that are a constant over and over along leading axes, with the name of that constant.
    """
    sides = [(product.left, product.left_labels), (product.right, product.right_labels)]
    sides = [(Ref(repeated.get(ref.name, ref.name)), labels) for ref, labels in sides]
    constant = [ref.name in store for ref, _ in sides]
    if constant == [False, False]:
        raise UnspelledError(UNKNOWN)
    if constant == [True, True]:
        raise UnspelledError("both operands are constants")
    (x, x_labels), (ref, labels) = sides[constant.index(False)], sides[constant.index(True)]
    weight = store[ref.name]
    labels = labels[len(labels) - weight.ndim :]
    kind = types[x.name]
    if not isinstance(kind, TensorType) or weight.dtype not in _REAL:
        raise UnspelledError(f"its constant operand is {str(weight.dtype).removeprefix('torch.')}")
    if not weight.numel() or 0 in kind.shape:
        raise UnspelledError("one of its operands is empty")
    # an axis of size 1, or one that repeats the same values, is not the constant's own
    own: list[str] = []
    shared = {label for label in labels if label in x_labels and label in product.out}
    for label in labels:
        axis = len(own)
        if label is None or (label in shared and (weight.shape[axis] == 1 or weight.stride(axis) == 0)):
            weight = weight.select(axis, 0)
        else:
            own.append(label)
    blocks = tuple(label for label in product.out if label in own and label in x_labels)
    rows = tuple(label for label in product.out if label in own and label not in x_labels)
    cols = tuple(label for label in x_labels if label is not None and label in own and label not in product.out)
    free = tuple(label for label in x_labels if label is not None and label not in own)
    if {*blocks, *rows, *cols} != set(own) or {*blocks, *rows, *free} != set(product.out):
        raise UnspelledError("an axis is summed in one operand alone")
    found = Operands(x, kind, x_labels, ref.name, weight, tuple(own), blocks, rows, cols, free)
    for label in (*blocks, *cols):
        if kind.shape[x_labels.index(label)] != found.size(label):
            raise UnspelledError("the sizes of its operands are not known to agree")
    if blocks and sum(isinstance(kind.shape[x_labels.index(label)], str) for label in free) > 2:
        raise UnspelledError("its matrices are many, and so are the symbolic sizes of its input")
    if not cols or (prod(map(found.size, cols)) == 1 and (len(own) > 2 or constant[0])):
        raise UnspelledError("it sums nothing: each result is one product, which the host computes exactly")
    return found
