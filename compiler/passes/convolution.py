"""What a convolution computes, and what its matrix product looks like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...runtime.errors import VerifyError
from ...runtime.values import Arg, Dim, Ref, TensorType
from ..ir import Matrix, Node
from .constants import Constants

Declare = Callable[[Node, str, int, int, int], Matrix]
"""Declares the matrix of a layer: (layer, its constant, groups, rows, cols)."""


@dataclass(frozen=True)
class Convolution:
    """What a convolution computes; tuples have an entry an axis, ``padding`` two.

    ``weight`` is the name of its constant and ``shape`` that constant's; ``extra`` is the output padding.
    """

    weight: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    extra: tuple[int, ...]
    transposed: bool

    @classmethod
    def of(cls, node: Node, constants: Constants) -> Convolution:
        """What an ``ll.conv2d`` or ``ll.convolution`` computes."""
        weight = node.args[1]
        if not isinstance(weight, Ref):
            raise VerifyError(f"%{node.name} was placed on the chip, but its weight is no constant.")
        named = dict(node.kwargs)
        values = (named[key] for key in ("stride", "padding", "dilation", "groups"))
        last = named.get("output_padding", ()), named.get("transposed", False)
        return cls(weight.name, tuple(constants.store[weight.name].shape), *values, *last)  # type: ignore[arg-type]

    @property
    def axes(self) -> int:
        """Axes that the kernel moves along."""
        return len(self.shape) - 2

    @property
    def kernel(self) -> tuple[int, ...]:
        """Size of the kernel."""
        return self.shape[2:]

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return self.shape[0] if self.transposed else self.shape[1] * self.groups

    @property
    def outputs(self) -> int:
        """Channels of the output."""
        return self.shape[1] * self.groups if self.transposed else self.shape[0]


def patch_attributes(
    matrix: Matrix,
    channels: int,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[str, Arg], ...]:
    """The attributes of an ``ll.mvm`` on patches; packed groups are one group to it."""
    return (
        ("matrix", matrix.name),
        ("kind", "conv2d"),
        ("channels", channels),
        ("kernel", kernel),
        ("stride", stride),
        ("padding", padding),
        ("dilation", dilation),
        ("groups", matrix.groups),
    )


def output_shape(node: Node, options: Convolution) -> tuple[Dim, ...]:
    """The shape of a convolution's result."""
    if not isinstance(node.type, TensorType):
        raise VerifyError(f"%{node.name}: a convolution of {options.axes} axes yields a tensor, got {node.type}.")
    return node.type.shape
