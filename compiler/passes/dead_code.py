"""Remove what no output needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...runtime.targets import Target
from ...runtime.values import references
from ..ir import Graph, Node


@dataclass(frozen=True)
class RemoveDeadCode:
    """Drop nodes and constants that no output depends on. Inputs stay: they are the user's signature."""

    name: ClassVar[str] = "remove_dead_code"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "nn"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`."""
        del target
        needed = set(references(graph.outputs))
        kept: list[Node] = []
        for node in reversed(graph.nodes):
            if node.name in needed:
                needed.update(node.reads)
                kept.append(node)
        return graph.with_nodes(tuple(reversed(kept)))
