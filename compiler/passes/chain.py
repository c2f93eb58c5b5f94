"""A layer lowered to several nodes: each reads the one before, and the last takes the layer's name."""

from __future__ import annotations

from dataclasses import replace

from ...runtime.values import Arg, Dim, Ref, ScalarType, TensorType, ValueType
from ..ir import Node, Placement

_SUMS = {"aten.col2im.default", "aten.add.Tensor"}


class Chain:
    """Nodes that follow one another, each reading the one before.

    Args:
        layer: The node to replace; the others are named after it, ``<layer>$<label>``.
        source: What the first node reads, of type ``kind``.

    ``value`` and ``shape`` are those of the last node so far.
    """

    def __init__(self, layer: Node, source: Ref, kind: TensorType) -> None:
        self.layer = layer
        self.value = source
        self.dtype = kind.dtype
        self.shape = kind.shape
        self.nodes: list[Node] = []
        self._origin = layer.origin.via("lower")
        path = layer.origin.path or layer.name
        self._layout = Placement("host", f"lays out what {path} sends to the chip and gets from it")
        self._sum = Placement("host", f"adds up what {path} gets from the chip")

    def then(self, op: str, shape: tuple[Dim, ...], *args: Arg, label: str) -> None:
        """Apply an ATen op to the value; ``shape`` is that of its result."""
        self._add(label, f"aten.{op}", (self.value, *args), TensorType(self.dtype, shape))
        self.value, self.shape = Ref(self.nodes[-1].name), shape

    def through(self, attributes: tuple[tuple[str, Arg], ...], shape: tuple[Dim, ...], bias: Arg) -> None:
        """Send the value through a matrix."""
        self._add("chip", "ll.mvm", (self.value, bias), TensorType(self.dtype, shape))
        self.nodes[-1] = replace(self.nodes[-1], kwargs=attributes, placement=self.layer.placement)
        self.value, self.shape = Ref(self.nodes[-1].name), shape

    def size(self, axis: int, label: str) -> Arg:
        """The size of an axis: a number, or a node that measures it."""
        dim = self.shape[axis]
        if isinstance(dim, int):
            return dim
        self._add(label, "aten.sym_size.int", (self.value, axis), ScalarType("int"))
        return Ref(self.nodes[-1].name)

    def number(self, op: str, left: Arg, right: Arg, label: str) -> Arg:
        """A sum or product of sizes: computed now where both are numbers, else a node."""
        if isinstance(left, int) and isinstance(right, int):
            return left + right if op == "add" else left * right
        self._add(label, f"py.{op}", (left, right), ScalarType("int"))
        return Ref(self.nodes[-1].name)

    def _add(self, label: str, op: str, args: tuple[Arg, ...], kind: ValueType) -> None:
        name = f"{self.layer.name}${label}"
        placement = self._sum if op in _SUMS else self._layout
        self.nodes.append(Node(name, op, args, kind, (), self._origin, placement))

    def finish(self) -> tuple[Node, ...]:
        """The nodes; the last takes the layer's name and type."""
        last = replace(self.nodes[-1], name=self.layer.name, type=self.layer.type)
        return (*self.nodes[:-1], last)
