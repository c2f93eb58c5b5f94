"""Compute what depends on constants alone, once, at compile time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from ...runtime.hostops import arguments, is_allowed, resolve
from ...runtime.quantized import DEQUANTIZE
from ...runtime.targets import Target
from ...runtime.values import TensorType, TupleType, ValueType, rename
from ..ir import Graph, Node
from ..ir.identity import same_memory
from .constants import Constants

_SMALL = 1 << 16
"""Elements that a constant may have although it is computed from fewer."""


@dataclass(frozen=True)
class FoldConstants:
    """Replace a node whose inputs are all constants by its value.

    The same computation on the same constants is one constant, so that a module called twice with computed weights
    has one matrix. Views of a constant stay views. A node whose value would be much larger than what it reads (an
    expand, say) is left alone, and so is a dequantization: integers are kept until a layer on the chip wants them.
    """

    name: ClassVar[str] = "fold_constants"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "nn"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`."""
        del target
        constants = Constants(graph)
        values: dict[str, Any] = dict(constants.store)
        seen: dict[str, str] = {}
        names: dict[str, str] = {}
        nodes: list[Node] = []
        for node in graph.nodes:
            node = replace(
                node,
                args=tuple(rename(arg, names) for arg in node.args),
                kwargs=tuple((key, rename(value, names)) for key, value in node.kwargs),
            )
            key = repr((node.op, node.args, node.kwargs))
            if key in seen:
                names[node.name] = seen[key]
                continue
            value = None if node.op in DEQUANTIZE else constant_value(node, values)
            if value is None:
                nodes.append(node)
            elif not isinstance(value, torch.Tensor):  # several results: read one by one, never by name
                values[node.name] = value
                nodes.append(node)
            else:
                known = constants.known(value)
                if known is None:
                    title = _title(node, value, constants)
                    known = title if title == node.name else constants.unique(title)
                    constants.define(known, value)
                    values[known] = value
                names[node.name] = seen[key] = known
        outputs = tuple(rename(arg, names) for arg in graph.outputs)
        return constants.into(replace(graph, outputs=outputs), tuple(nodes))


def _title(node: Node, value: torch.Tensor, constants: Constants) -> str:
    """A name that tells where a value comes from: ``w$t`` is a view of ``w``, ``w$int8`` the numbers in integers w."""
    source = constants.store.get(node.reads[0]) if len(node.reads) == 1 else None
    if source is not None and value.is_floating_point() and not source.is_floating_point() and source.numel() > 1:
        return f"{node.reads[0]}${str(source.dtype).removeprefix('torch.')}"
    home = constants.home(value)
    return f"{home}${node.op.split('.')[1]}" if home else node.name


def constant_value(node: Node, values: dict[str, Any]) -> Any:
    """What a node computes from constants: a tensor, or a tuple of tensors; None where that is not to be folded.

    Args:
        node: Any node.
        values: Constants by name.
    """
    op = node.op.removeprefix("aten.")
    if not all(name in values for name in node.reads) or not is_allowed(op) or node.op.startswith("ll."):
        return None
    sizes = list(_sizes(node.type))
    read = sum(tensor.numel() for name in set(node.reads) for tensor in _tensors(values[name]))
    if not sizes or None in sizes or sum(size or 0 for size in sizes) > max(_SMALL, read):
        return None
    args, kwargs = arguments(node.args, node.kwargs, values)
    with torch.no_grad():
        value = resolve(op)(*args, **kwargs)
    if isinstance(value, torch.Tensor):
        operands = [tensor for name in node.reads for tensor in _tensors(values[name])]
        return value if any(same_memory(value, tensor) for tensor in operands) else value.contiguous()
    return tuple(value) if isinstance(value, tuple | list) else None


def _sizes(kind: ValueType | None) -> Iterator[int | None]:
    """Elements of every tensor of a type; None for one whose size is not known, or what is no tensor."""
    if isinstance(kind, TupleType):
        for item in kind.items:
            yield from _sizes(item)
    elif isinstance(kind, TensorType) and kind.static:
        yield torch.Size(int(dim) for dim in kind.shape).numel()
    else:
        yield None


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
