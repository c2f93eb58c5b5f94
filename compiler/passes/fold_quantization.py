"""Weights kept as integers become the reals they stand for where a layer multiplies by them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch

from ...runtime.hostops import arguments, is_allowed, resolve
from ...runtime.quantized import DEQUANTIZE
from ...runtime.targets import Target
from ...runtime.values import Ref, TensorType, Token, ValueType, rename
from ..ir import Graph, Node
from ..ir.identity import same_memory
from .base import Options, matches
from .constants import Constants
from .costs import MAC_OPS

_OUT_DTYPE = {
    name: "out_dtype" if "per_tensor" in name or "per_channel.default" in name else "output_dtype"
    for name in DEQUANTIZE
}
"""The argument of each dequantization that names the dtype of its result."""


@dataclass(frozen=True)
class FoldQuantization:
    """Dequantize the constant operands of products, layers and convolutions: exactly ``scale * (q - zero)``.

    Whatever else reads such a constant, an embedding say, goes on reading the integers and dequantizes at run time.
    The new constant has the name of the integers and their dtype, ``fc.weight$int8``; its scale is kept in its
    values, which the programmed matrix holds up to the phases' resolution.
    """

    options: Options = field(default_factory=Options)
    name: ClassVar[str] = "fold_quantization"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "nn"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`."""
        del target
        constants = Constants(graph)
        folding = _Folding(constants, graph.types())
        nodes: list[Node] = []
        for node in graph.nodes:
            if node.op in MAC_OPS and not any(matches(node.origin.path, glob) for glob in self.options.exclude):
                names = {name: folding.constant(name) for name in node.reads if name in folding.static}
                if names:
                    node = replace(
                        node,
                        args=tuple(rename(arg, names) for arg in node.args),
                        kwargs=tuple((key, rename(value, names)) for key, value in node.kwargs),
                        origin=node.origin.via(self.name),
                    )
            folding.note(node)
            nodes.extend(folding.product_of_integers(node) or (_typed(node),))
        return constants.into(graph, tuple(nodes))


def integers(name: str) -> str:
    """The integer dtype that a constant was dequantized from, by its name; empty where it was not."""
    found = next((part for part in name.split("$")[1:] if part.startswith(("int", "uint"))), "")
    return found if found.removeprefix("u").removeprefix("int").isdigit() else ""


class _Folding:
    """Values that depend on constants alone, dequantizations among them, computed when asked for."""

    def __init__(self, constants: Constants, types: dict[str, ValueType]) -> None:
        self.constants = constants
        self.types = types
        self.static: dict[str, Node] = {}
        self._names: dict[str, str] = {}
        self._made: dict[str, str] = {}

    def note(self, node: Node) -> None:
        """Take notice of a node that depends on constants alone."""
        known = node.reads and all(name in self.constants.store or name in self.static for name in node.reads)
        fixed = isinstance(node.type, TensorType) and node.type.static
        if known and fixed and is_allowed(node.op.removeprefix("aten.")):
            self.static[node.name] = node

    def constant(self, name: str) -> str:
        """Name of the constant that a noted node comes to; the same computation is one constant."""
        if name in self._names:
            return self._names[name]
        node = self.static[name]
        names = {read: self.constant(read) for read in node.reads if read in self.static}
        args = tuple(rename(arg, names) for arg in node.args)
        kwargs = tuple((key, rename(value, names)) for key, value in node.kwargs)
        key = repr((node.op, args, kwargs))
        if key not in self._made:
            values, named = arguments(args, kwargs, self.constants.store)
            with torch.no_grad():
                value = resolve(node.op.removeprefix("aten."))(*values, **named)
            self._made[key] = self.constants.add(self._title(node, args, value), value).name
        self._names[name] = self._made[key]
        return self._names[name]

    def product_of_integers(self, node: Node) -> tuple[Node, ...]:
        """``_int_mm`` of activations and constant weights as a product of reals, rounded: the same integers."""
        codes, weight = node.args[:2] if node.op == "aten._int_mm.default" else (None, None)
        if not isinstance(codes, Ref) or not isinstance(weight, Ref) or not isinstance(node.type, TensorType):
            return ()
        tensor = self.constants.store.get(weight.name)
        kind = self.types.get(codes.name)
        if tensor is None or not isinstance(kind, TensorType) or codes.name in self.constants.store:
            return ()
        title = f"{weight.name}${str(tensor.dtype).removeprefix('torch.')}"
        reals = self.constants.made((weight.name, "reals"), title, tensor.float)
        origin = node.origin.via("fold_quantization")
        names = [self.constants.unique(f"{node.name}${step}") for step in ("reals", "product", "rounded")]
        single, shape = Token("float32"), node.type.shape
        return (
            Node(names[0], "aten.to.dtype", (codes, single), TensorType("f32", kind.shape), (), origin),
            Node(names[1], "aten.mm.default", (Ref(names[0]), reals), TensorType("f32", shape), (), origin),
            Node(names[2], "aten.round.default", (Ref(names[1]),), TensorType("f32", shape), (), origin),
            Node(node.name, "aten.to.dtype", (Ref(names[2]), Token("int32")), node.type, (), origin),
        )

    def _title(self, node: Node, args: tuple[Any, ...], value: torch.Tensor) -> str:
        source = args[0].name if isinstance(args[0], Ref) else node.name
        codes = self.constants.store.get(source)
        if node.op in DEQUANTIZE and codes is not None:
            return f"{source}${str(codes.dtype).removeprefix('torch.')}"
        related = codes is not None and (same_memory(value, codes) or integers(source))
        return f"{source}${node.op.split('.')[1]}" if related else node.name


def _typed(node: Node) -> Node:
    """A dequantization that says which dtype it yields, so that a float64 run computes in float64."""
    argument = _OUT_DTYPE.get(node.op)
    named = argument is None or argument in dict(node.kwargs) or (argument == "output_dtype" and len(node.args) > 7)
    single = isinstance(node.type, TensorType) and node.type.dtype == "f32"
    if named or not single or "per_token" in node.op:
        return node
    return replace(node, kwargs=(*node.kwargs, (argument or "", Token("float32"))))
