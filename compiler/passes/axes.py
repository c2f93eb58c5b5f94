"""A layer between views: nodes that rearrange named axes before and after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

from ...runtime.values import Arg, Dim, Ref, TensorType, ValueType
from ..ir import Node, Origin
from .products import Label


class AxisChain:
    """A chain of nodes over one value whose axes have labels. ``nodes`` grows; each reads the one before.

    Args:
        node: The node that the chain replaces.
        origin: Of every node of the chain.
        start, kind, labels: The value it begins with; axes without a label are squeezed away.
        unique: Makes names.
    """

    def __init__(
        self,
        node: Node,
        origin: Origin,
        start: Ref,
        kind: TensorType,
        labels: Sequence[Label],
        unique: Callable[[str], str],
    ) -> None:
        self.nodes: list[Node] = []
        self._base = node
        self._origin = origin
        self._unique = unique
        self._at = start
        self._dtype = kind.dtype
        self.shape: tuple[Dim, ...] = kind.shape
        self.labels: tuple[Label, ...] = tuple(labels)
        gone = tuple(axis for axis, label in enumerate(labels) if label is None)
        if gone:
            keep = [axis for axis in range(len(labels)) if axis not in gone]
            self.labels = tuple(labels[axis] for axis in keep)
            self._then("aten.squeeze.dims", (gone,), tuple(self.shape[axis] for axis in keep))

    def _then(
        self, op: str, args: tuple[Arg, ...], shape: tuple[Dim, ...], kwargs: tuple[tuple[str, Arg], ...] = ()
    ) -> str:
        name = self._unique(f"{self._base.name}${len(self.nodes)}")
        kind = TensorType(self._dtype, shape)
        self.nodes.append(Node(name, op, (self._at, *args), kind, kwargs, self._origin))
        self._at, self.shape = Ref(name), shape
        return name

    def arrange(self, labels: Sequence[Label]) -> None:
        """Permute the axes into this order."""
        if tuple(labels) != self.labels:
            order = tuple(self.labels.index(label) for label in labels)
            self._then("aten.permute.default", (order,), tuple(self.shape[axis] for axis in order))
            self.labels = tuple(labels)

    def merge(self, labels: Sequence[str], name: str) -> None:
        """Flatten neighbouring axes into one; of no axis, make one of size 1 at the end."""
        if not labels:
            self._then("aten.unsqueeze.default", (len(self.shape),), (*self.shape, 1))
            self.labels = (*self.labels, name)
            return
        first = self.labels.index(labels[0])
        last = first + len(labels) - 1
        if len(labels) > 1:
            size = _product(self.shape[first : last + 1])
            shape = (*self.shape[:first], size, *self.shape[last + 1 :])
            self._then("aten.flatten.using_ints", (first, last), shape)
        self.labels = (*self.labels[:first], name, *self.labels[last + 1 :])

    def split(self, name: str, labels: Sequence[str], sizes: Sequence[int], dims: Sequence[Dim] | None = None) -> None:
        """Undo a merge: one axis into several, or away where it stands for none.

        ``dims`` are the sizes as the IR writes them, where one is symbolic and -1 in ``sizes``.
        """
        axis = self.labels.index(name)
        if not labels:
            self._then("aten.squeeze.dim", (axis,), (*self.shape[:axis], *self.shape[axis + 1 :]))
        elif len(labels) > 1:
            shape = (*self.shape[:axis], *(dims or sizes), *self.shape[axis + 1 :])
            self._then("aten.unflatten.int", (axis, tuple(sizes)), shape)
        self.labels = (*self.labels[:axis], *labels, *self.labels[axis + 1 :])

    def multiply(
        self,
        free: Sequence[str],
        cols: Sequence[str],
        rows: Sequence[str],
        sizes: Sequence[int],
        weight: Ref,
        bias: Ref | None,
        dtype: str,
    ) -> str:
        """``ll.linear`` of the axes ``cols``, giving the axes ``rows`` of ``sizes``. Returns the layer's name."""
        self.arrange((*free, *cols))
        self.merge(cols, "in")
        self._dtype = dtype
        layer = self._then("ll.linear", (weight, bias), (*self.shape[:-1], prod(sizes)))
        self.labels = (*free, "out")
        self.split("out", rows, sizes)
        return layer

    def convolve(
        self,
        free: Sequence[str],
        blocks: Sequence[str],
        cols: Sequence[str],
        rows: Sequence[str],
        sizes: Sequence[int],
        weight: Ref,
        bias: Ref | None,
    ) -> str:
        """A grouped 1 x 1 ``ll.conv2d``: a matrix for each of ``blocks``; the rest as :meth:`multiply`.

        The first of ``free`` of a symbolic size, or else the first, are the samples, the others the height and width
        of an image of vectors.
        """
        symbolic = [label for label in free if isinstance(self.shape[self.labels.index(label)], str)]
        free = tuple(dict.fromkeys((*symbolic[:1], *free)))
        self.arrange((*free[:1], *blocks, *cols, *free[1:]))
        self.merge((*blocks, *cols), "channels")
        wide = [self.shape[self.labels.index(label)] for label in free[2:]]
        if wide:
            self.merge(free[2:], "width")
        if not free:
            self._then("aten.unsqueeze.default", (0,), (1, *self.shape))
            self.labels = ("samples", *self.labels)
        while len(self.shape) < 4:  # height 1 before width 1: the width of an image lies together in memory
            self._then("aten.unsqueeze.default", (2,), (*self.shape[:2], 1, *self.shape[2:]))
            self.labels = (*self.labels[:2], f"one{len(self.shape)}", *self.labels[2:])
        groups = prod(sizes[: len(blocks)])
        attributes: tuple[tuple[str, Arg], ...] = (
            ("stride", (1, 1)),
            ("padding", (0, 0, 0, 0)),
            ("dilation", (1, 1)),
            ("groups", groups),
        )
        shape = (self.shape[0], prod(sizes), *self.shape[2:])
        layer = self._then("ll.conv2d", (weight, bias), shape, attributes)
        ones = tuple(
            axis for axis, label in enumerate(self.labels) if label == "samples" or str(label).startswith("one")
        )
        if ones:
            keep = [axis for axis in range(4) if axis not in ones]
            self.labels = tuple(self.labels[axis] for axis in keep)
            self._then("aten.squeeze.dims", (ones,), tuple(self.shape[axis] for axis in keep))
        if wide:
            self.split("width", free[2:], [size if isinstance(size, int) else -1 for size in wide], wide)
        self.split("channels", (*blocks, *rows), sizes)
        return layer

    def add(self, addend: Arg, scale: float, kind: ValueType) -> None:
        """Add ``scale`` times another value."""
        kwargs: tuple[tuple[str, Arg], ...] = () if scale == 1 else (("alpha", scale),)
        self._then("aten.add.Tensor", (addend,), kind.shape if isinstance(kind, TensorType) else self.shape, kwargs)

    def finish(self, name: str) -> str:
        """Give the last node the name of the node that the chain replaces. Returns the name it had."""
        last = self.nodes[-1]
        self.nodes[-1] = replace(last, name=name, type=self._base.type)
        return last.name


def _product(dims: Sequence[Dim]) -> Dim:
    """The size of several axes together."""
    if all(isinstance(dim, int) for dim in dims):
        return prod(int(dim) for dim in dims)
    return "*".join(str(dim) if isinstance(dim, int) or dim.isidentifier() else f"({dim})" for dim in dims)


def permutation(node: Node, rank: int) -> list[int] | None:
    """The order in which a node takes the axes of its input; None where it does something else."""
    order = list(range(rank))
    if node.op == "aten.t.default":
        return order[::-1]
    if node.op == "aten.transpose.int" and all(isinstance(axis, int) for axis in node.args[1:3]):
        one, other = (int(axis) for axis in node.args[1:3])  # type: ignore[arg-type]
        order[one], order[other] = order[other], order[one]
        return order
    if node.op == "aten.permute.default" and isinstance(node.args[1], tuple):
        return [int(axis) % rank for axis in node.args[1]]  # type: ignore[arg-type]
    return None
