"""One spelling for each op: ``ll.linear``, ``ll.conv2d``, and no ops that do nothing at inference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ...runtime.targets import Target
from ...runtime.values import Arg, Ref, TensorType, ValueType, rename
from ..ir import Graph, Node

_IDENTITIES = {"aten.dropout.default", "aten.feature_dropout.default", "aten.alpha_dropout.default"}
_COPIES = {"aten.clone.default", "aten.alias.default", "aten.detach.default", "aten.lift_fresh_copy.default"}


@dataclass(frozen=True)
class Canonicalize:
    """Spell linear and conv2d uniformly, with explicit (top, bottom, left, right) padding; drop identities.

    Copies can be dropped because every host op is functional: nobody can see that two values share memory.
    """

    name: ClassVar[str] = "canonicalize"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "nn"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`."""
        del target
        names: dict[str, str] = {}
        nodes: list[Node] = []
        types = graph.types()
        for node in graph.nodes:
            node = replace(
                node,
                args=tuple(rename(arg, names) for arg in node.args),
                kwargs=tuple((key, rename(value, names)) for key, value in node.kwargs),
            )
            source = _identity_of(node)
            if source is not None:
                names[node.name] = source
            else:
                nodes.append(self._spell(node, types))
        outputs = tuple(rename(arg, names) for arg in graph.outputs)
        return replace(graph, outputs=outputs).with_nodes(tuple(nodes))

    def _spell(self, node: Node, types: dict[str, ValueType]) -> Node:
        origin = node.origin.via(self.name)
        if node.op == "aten.linear.default":
            return replace(node, op="ll.linear", args=_padded(node.args, (None,), 3), origin=origin)
        if node.op in ("aten.conv2d.default", "aten.conv2d.padding"):
            defaults: tuple[Arg, ...] = (None, (1, 1), (0, 0), (1, 1), 1)
            x, weight, bias, stride, padding, dilation, groups = _padded(node.args, defaults, 7)
            kind = types[weight.name] if isinstance(weight, Ref) else None
            rank = types[x.name] if isinstance(x, Ref) else None
            if not isinstance(kind, TensorType) or not isinstance(rank, TensorType) or len(rank.shape) != 4:
                return node
            kernel = tuple(int(dim) for dim in kind.shape[2:])
            dilation = _pair(dilation)
            attributes: tuple[tuple[str, Arg], ...] = (
                ("stride", _pair(stride)),
                ("padding", _sides(padding, kernel, dilation)),
                ("dilation", dilation),
                ("groups", groups),
            )
            return replace(node, op="ll.conv2d", args=(x, weight, bias), kwargs=attributes, origin=origin)
        return node


def _identity_of(node: Node) -> str | None:
    """Name of the value that a node merely passes on, if it does."""
    source = node.args[0] if node.args else None
    if not isinstance(source, Ref):
        return None
    evaluating = node.op in _IDENTITIES and node.args[2] is False
    return source.name if evaluating or (node.op in _COPIES and not node.kwargs) else None


def _padded(args: tuple[Arg, ...], defaults: tuple[Arg, ...], length: int) -> tuple[Arg, ...]:
    missing = length - len(args)
    return args + defaults[len(defaults) - missing :] if missing else args


def _pair(arg: Arg) -> tuple[int, int]:
    """A spatial argument as two integers; one integer stands for both."""
    if isinstance(arg, tuple):
        values = [value for value in arg if isinstance(value, int)]
        return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])
    return (arg, arg) if isinstance(arg, int) else (0, 0)


def _sides(padding: Arg, kernel: tuple[int, ...], dilation: tuple[int, int]) -> tuple[int, int, int, int]:
    """Padding as (top, bottom, left, right). ``same`` puts an odd rest at the bottom and right, as torch does."""
    if padding == "same":
        total = [step * (size - 1) for size, step in zip(kernel, dilation, strict=True)]
        (top, left), (high, wide) = [t // 2 for t in total], total
        return top, high - top, left, wide - left
    vertical, horizontal = (0, 0) if padding == "valid" else _pair(padding)
    return vertical, vertical, horizontal, horizontal
