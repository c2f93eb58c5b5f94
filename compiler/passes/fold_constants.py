"""Compute what depends on constants alone, once, at compile time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from ...runtime.hostops import arguments, is_allowed, resolve
from ...runtime.targets import Target
from ...runtime.values import TensorType, dtype_name
from ..ir import Graph, Node, Value

_SMALL = 1 << 16


@dataclass(frozen=True)
class FoldConstants:
    """Replace a node whose inputs are all constants by its value.

    A node whose value would be much larger than what it reads (an expand, say) is left alone.
    """

    name: ClassVar[str] = "fold_constants"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "nn"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`."""
        del target
        store = dict(graph.store)
        constants = list(graph.constants)
        nodes: list[Node] = []
        for node in graph.nodes:
            value = self._value(node, store)
            if value is None:
                nodes.append(node)
            else:
                store[node.name] = value
                constants.append(Value(node.name, TensorType(dtype_name(value.dtype), tuple(value.shape))))
        return replace(graph, constants=tuple(constants), store=store).with_nodes(tuple(nodes))

    @staticmethod
    def _value(node: Node, store: dict[str, torch.Tensor]) -> torch.Tensor | None:
        op = node.op.removeprefix("aten.")
        foldable = node.reads and all(name in store for name in node.reads) and is_allowed(op)
        if not foldable or not isinstance(node.type, TensorType) or not node.type.static:
            return None
        size = int(torch.Size(int(dim) for dim in node.type.shape).numel())
        if size > max(_SMALL, sum(store[name].numel() for name in set(node.reads))):
            return None
        args, kwargs = arguments(node.args, node.kwargs, store)
        with torch.no_grad():
            value = resolve(op)(*args, **kwargs)
        return value.contiguous() if isinstance(value, torch.Tensor) else None
