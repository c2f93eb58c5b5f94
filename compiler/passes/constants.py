"""The constants of a graph while a pass adds to them: the same memory seen the same way has one name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from ...runtime.values import Ref, TensorType, dtype_name
from ..ir import Graph, Node, Value
from ..ir.identity import Identity, identity


class Constants:
    """A graph's constants, growing.

    ``store``: tensors by name. A tensor that is there already is found by its memory, never by its content.
    """

    def __init__(self, graph: Graph) -> None:
        self.store = dict(graph.store)
        self._values = list(graph.constants)
        self._taken = {value.name for value in (*graph.inputs, *graph.constants)} | {node.name for node in graph.nodes}
        self._known: dict[Identity, str] = {}
        self._homes: dict[int, str] = {}
        self._made: dict[tuple[object, ...], str] = {}
        for name, tensor in self.store.items():
            self._remember(name, tensor)

    def _remember(self, name: str, tensor: torch.Tensor) -> None:
        key = identity(tensor)
        if key is not None:
            self._known.setdefault(key, name)
            self._homes.setdefault(tensor.untyped_storage().data_ptr(), name)

    def unique(self, name: str) -> str:
        """The name, or one made from it that nothing has yet."""
        while name in self._taken:
            name += "$"
        self._taken.add(name)
        return name

    def add(self, name: str, tensor: torch.Tensor) -> Ref:
        """A reference to the tensor, under its known name or a new one made from ``name``."""
        key = identity(tensor)
        if key is not None and key in self._known:
            return Ref(self._known[key])
        name = self.unique(name)
        self.define(name, tensor)
        return Ref(name)

    def define(self, name: str, tensor: torch.Tensor) -> None:
        """Declare a constant under a name that the caller owns."""
        self._remember(name, tensor)
        self.store[name] = tensor
        self._values.append(Value(name, TensorType(dtype_name(tensor.dtype), tuple(tensor.shape))))

    def known(self, tensor: torch.Tensor) -> str | None:
        """The name under which the same view of the same memory is there."""
        key = identity(tensor)
        return None if key is None else self._known.get(key)

    def home(self, tensor: torch.Tensor) -> str:
        """Name of the first constant that lies in the same memory, such as the parameter that a transpose is of."""
        return self._homes.get(tensor.untyped_storage().data_ptr(), "") if tensor.numel() else ""

    def made(self, key: tuple[object, ...], name: str, make: Callable[[], torch.Tensor]) -> Ref:
        """The constant that was made for this key before, or what ``make`` returns now."""
        if key not in self._made:
            self._made[key] = self.add(name, make()).name
        return Ref(self._made[key])

    def into(self, graph: Graph, nodes: tuple[Node, ...]) -> Graph:
        """The graph with these nodes and the constants that they read."""
        return replace(graph, constants=tuple(self._values), store=self.store).with_nodes(nodes)
