"""One spelling for each op: ``ll.linear``, ``ll.conv2d`` and others, and no ops that do nothing at inference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ...runtime.targets import Target
from ...runtime.values import Arg, Ref, ValueType, rename
from ..ir import Graph, Node
from .spell_convolutions import spell_convolution

_IDENTITIES = {"aten.dropout.default", "aten.feature_dropout.default", "aten.alpha_dropout.default"}
_COPIES = {"aten.clone.default", "aten.alias.default", "aten.detach.default", "aten.lift_fresh_copy.default"}


@dataclass(frozen=True)
class Canonicalize:
    """Spell linear layers and convolutions uniformly; drop identities.

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
        return spell_convolution(node, types)


def _identity_of(node: Node) -> str | None:
    """Name of the value that a node merely passes on, if it does."""
    source = node.args[0] if node.args else None
    if not isinstance(source, Ref):
        return None
    evaluating = node.op in _IDENTITIES and (node.args[2] is False or node.args[1] == 0)
    return source.name if evaluating or (node.op in _COPIES and not node.kwargs) else None


def _padded(args: tuple[Arg, ...], defaults: tuple[Arg, ...], length: int) -> tuple[Arg, ...]:
    missing = length - len(args)
    return args + defaults[len(defaults) - missing :] if missing else args
