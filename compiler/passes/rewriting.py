"""Writing new nodes in the place of one: names that are free, types that fit."""

from __future__ import annotations

from collections.abc import Sequence

from ...runtime.errors import VerifyError
from ...runtime.values import Arg, Dim, Ref, TensorType, ValueType
from ..ir import Graph, Node, Origin


class Writer:
    """Collects new nodes for a pass; :meth:`take` hands over those written since the last call.

    ``path`` is the layer path of nodes that are given none.
    """

    def __init__(self, graph: Graph, pass_name: str) -> None:
        self._types = graph.types()
        self._pass = pass_name
        self._nodes: list[Node] = []
        self.path = ""

    def take(self) -> list[Node]:
        """The nodes written since the last call, in order."""
        nodes, self._nodes = self._nodes, []
        return nodes

    def tensor(self, arg: Arg) -> TensorType:
        """The type of a value that must be a tensor."""
        kind = self._types.get(arg.name) if isinstance(arg, Ref) else None
        if not isinstance(kind, TensorType):
            raise VerifyError(f"{arg} should be a tensor, it is {kind}.")
        return kind

    def add(
        self,
        name: str,
        op: str,
        args: tuple[Arg, ...],
        kind: ValueType,
        path: str = "",
        kwargs: tuple[tuple[str, Arg], ...] = (),
    ) -> Ref:
        """A new node, named ``name`` or, where that is taken, as much like it as possible."""
        while name in self._types:
            name += "$"
        self._types[name] = kind
        self._nodes.append(Node(name, op, args, kind, kwargs, Origin(path or self.path, (self._pass,))))
        return Ref(name)

    def _like(self, arg: Arg, what: str, op: str, args: tuple[Arg, ...], shape: tuple[Dim, ...]) -> Ref:
        """A new tensor named after another one."""
        base = arg.name if isinstance(arg, Ref) else "value"
        return self.add(f"{base}.{what}", op, args, TensorType(self.tensor(arg).dtype, shape))

    def transposed(self, arg: Arg) -> Ref:
        """The first two axes exchanged."""
        first, second, *rest = self.tensor(arg).shape
        return self._like(arg, "swapped", "aten.transpose.int", (arg, 0, 1), (second, first, *rest))

    def selected(self, arg: Arg, index: int) -> Ref:
        """One entry along the first axis."""
        return self._like(arg, str(index), "aten.select.int", (arg, 0, index), self.tensor(arg).shape[1:])

    def stacked(self, args: Sequence[Arg]) -> Ref:
        """Tensors of one shape along a new first axis."""
        return self._like(
            args[0], "stacked", "aten.stack.default", (tuple(args), 0), (len(args), *self.tensor(args[0]).shape)
        )

    def joined(self, args: Sequence[Arg]) -> Ref:
        """Tensors side by side along the last axis, whose sizes are numbers."""
        shapes = [self.tensor(arg).shape for arg in args]
        width = sum(int(shape[-1]) for shape in shapes)
        return self._like(args[0], "joined", "aten.cat.default", (tuple(args), -1), (*shapes[0][:-1], width))

    def sliced(self, arg: Arg, start: int, end: int, what: str) -> Ref:
        """Entries ``start`` to ``end`` of the last axis."""
        shape = self.tensor(arg).shape
        return self._like(arg, what, "aten.slice.Tensor", (arg, len(shape) - 1, start, end), (*shape[:-1], end - start))

    def elementwise(self, op: str, *args: Arg, what: str) -> Ref:
        """``aten.<op>`` of tensors of one shape."""
        return self._like(args[0], what, f"aten.{op}", args, self.tensor(args[0]).shape)
