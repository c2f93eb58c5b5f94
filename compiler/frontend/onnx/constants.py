"""The constants of a graph that is being built: stored ones, and those that the model computes from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from ....runtime.errors import CaptureError, complaint
from .bounded import Bounded
from .known import Known, Value
from .node import NodeContext
from .registry import Entry

MAX_FOLDED_BYTES = 2**30
"""Constants a model may compute from others while it is built."""


class Computes(Protocol):
    """A node that can be run: a module of :mod:`.module`."""

    node: NodeContext

    def run(self, inputs: list[Any], captured: Mapping[int, Any]) -> tuple[Value, ...]:
        """Its outputs."""
        ...


@dataclass
class Constants:
    """Constant values of one graph module: slot to tensor and to its Python-held twin."""

    tensors: dict[int, torch.Tensor] = field(default_factory=dict)
    known: dict[int, Known | None] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    values: dict[int, Value] = field(default_factory=dict)
    """Constants that are no tensors: empty sequences and absent optionals."""

    def put(self, slot: int, value: Value, name: str) -> None:
        """Keep a constant in a slot."""
        self.names[slot] = name
        if isinstance(value, Known):
            self.known[slot] = value
            self.tensors[slot] = value.tensor()
        elif isinstance(value, torch.Tensor):
            self.known[slot] = Known.from_tensor(value)
            self.tensors[slot] = value
        else:
            self.values[slot] = value

    def __contains__(self, slot: int) -> bool:
        return slot in self.tensors or slot in self.values

    def get(self, slot: int) -> Value:
        """The constant of a slot that holds one."""
        return self.values.get(slot, self.tensors.get(slot))

    def feed(self, entry: Entry, slots: Iterable[int]) -> bool:
        """Whether an operator reads nothing but constants, so that it can be computed now."""
        return not entry.random and all(slot in self for slot in slots if slot >= 0)

    def fold(self, module: Computes, inputs: list[int], captured: list[int]) -> tuple[Value, ...]:
        """What a node yields that reads nothing but constants."""
        with torch.no_grad(), Bounded(module.node):
            return module.run([self._pair(slot) for slot in inputs], {slot: self._pair(slot) for slot in captured})

    def _pair(self, slot: int) -> tuple[Value, Known | None]:
        if slot in self.values:
            return self.values[slot], None
        return self.tensors.get(slot), self.known.get(slot)


def add_bytes(folded: list[int], values: tuple[Value, ...], where: str) -> None:
    """Count computed constants in ``folded[0]``, and refuse models that make them out of nothing without end."""
    folded[0] += sum(value.numel() * value.itemsize for value in values if isinstance(value, torch.Tensor))
    if folded[0] > MAX_FOLDED_BYTES:
        raise CaptureError(
            complaint(
                "the constants that the model computes are too large",
                where=where,
                got=f"{folded[0]} bytes",
                allowed=f"{MAX_FOLDED_BYTES} bytes",
                next_step="store large weights in the file",
            )
        )


def prepare(entry: Entry, context: NodeContext) -> None:
    """Let an operator put its constants into the form it wants.

    Raises:
        CaptureError: they do not fit the operator.
    """
    if entry.prepare is None:
        return
    try:
        entry.prepare(context)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = [list(tensor.shape) if tensor is not None else "-" for tensor in context.constants]
        line = (str(error).splitlines() or [""])[0][:200]
        raise CaptureError(
            complaint("the constants do not fit the operator", where=context.where, got=f"{shapes}: {line}")
        ) from error
