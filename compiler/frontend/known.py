"""What the nodes of an exported program are known to be before it runs: what depends on constants alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

_MISSING = object()
_HELD = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


class Known:
    """Values of nodes by computing them from the program's constants; called with a node or a number.

    Nodes may be added to the graph meanwhile. A buffer that the program writes to is not known.
    """

    def __init__(self, program: ExportedProgram) -> None:
        signature = program.graph_signature
        written = {str(spec.target) for spec in signature.output_specs if spec.target}
        tensors: dict[str, Any] = {**program.constants, **program.state_dict}
        self._constants = {
            spec.arg.name: tensors[spec.target]
            for spec in signature.input_specs
            if spec.kind in _HELD and spec.target in tensors and spec.target not in written
        }
        self._values: dict[fx.Node, Any] = {}
        self._written = _written(program.graph_module.graph)

    def __call__(self, value: Any) -> Any:
        """The value, a tensor or a number; None where only a run can tell."""
        found = self._of(value)
        return None if found is _MISSING else found

    def _of(self, value: Any) -> Any:
        if not isinstance(value, fx.Node):
            return value
        if value not in self._values:
            for node in self._needed(value):
                self._values[node] = self._compute(node)
        return self._values[value]

    def _needed(self, node: fx.Node) -> list[fx.Node]:
        """The nodes that have to be computed, the first ones first: loops make chains too long for recursion."""
        order: list[fx.Node] = []
        stack, seen = [(node, False)], set[fx.Node]()
        while stack:
            at, ready = stack.pop()
            if ready:
                order.append(at)
            elif at not in seen and at not in self._values:
                seen.add(at)
                stack.append((at, True))
                stack += [(other, False) for other in at.all_input_nodes]
        return order

    def _compute(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return _MISSING if node.name in self._written else self._constants.get(node.name, _MISSING)
        target = node.target
        if node.op != "call_function" or isinstance(target, torch._ops.HigherOrderOperator):
            return _MISSING
        random = isinstance(target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in target.tags
        if random or _mutates(node) or node.name in self._written:
            return _MISSING
        if any(self._values[other] is _MISSING for other in node.all_input_nodes):
            return _MISSING
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._values.__getitem__)
        with torch.no_grad():
            return target(*args, **kwargs)  # type: ignore[operator]


def _mutates(node: fx.Node) -> bool:
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or target is torch.ops.aten.detach_.default:
        return False  # detach_ changes no value
    return target._schema.is_mutable


def _written(graph: fx.Graph) -> frozenset[str]:
    """Names of the nodes whose memory some op may write to: all that the ops which write depend on."""
    found: set[fx.Node] = set()
    waiting = [node for node in graph.nodes if node.op == "call_function" and _mutates(node)]
    while waiting:
        for node in waiting.pop().all_input_nodes:
            if node not in found:
                found.add(node)
                waiting.append(node)
    return frozenset(node.name for node in found)
