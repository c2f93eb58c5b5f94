"""The graph that passes rewrite: immutable, ordered, with weights by reference.

Stages: ``nn`` (ATen host ops plus ``ll.linear``, ``ll.conv2d``, ``ll.convolution``), ``mvm`` (matrix-vector products
``ll.mvm`` with im2col geometry and declared matrices), ``tile`` (the matrices cut into banks of tiles).
Two graphs are equal when their text is; tensors and tile tables travel beside and do not compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from ...runtime.program import BankSpec, Parameter, TileBank
from ...runtime.values import Arg, TensorType, ValueType, references

STAGES = ("nn", "mvm", "tile")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node comes from: the user's layer path, and the passes that made or changed it."""

    path: str = ""
    passes: tuple[str, ...] = ()

    def via(self, pass_name: str) -> Origin:
        """This origin, with one more pass in its history."""
        if self.passes and self.passes[-1] == pass_name:
            return self
        return Origin(self.path, (*self.passes, pass_name))


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a node runs (``photonic`` or ``host``), and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Value:
    """A named, typed input or constant of a graph."""

    name: str
    type: TensorType


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix that photonic ops multiply by: ``groups`` parts of ``rows x cols`` of one constant.

    Each part of a packed matrix is block-diagonal with ``blocks`` equal blocks; the constant holds only these.
    The ``weight`` of a ``dynamic`` matrix is no constant but a computed value, one matrix for every sample.
    """

    name: str
    weight: str
    groups: int
    rows: int
    cols: int
    blocks: int = 1
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """Name, dtype (numpy) and shape of one column of a tile table."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bank:
    """A tiled matrix: its shape and the columns that the passes have filled so far."""

    spec: BankSpec
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """One op: ``name = op(*args, **kwargs)``. Torch ops are ``aten.*`` or ``py.*``, ours ``ll.*``."""

    name: str
    op: str
    args: tuple[Arg, ...]
    type: ValueType
    kwargs: tuple[tuple[str, Arg], ...] = ()
    origin: Origin = Origin()
    placement: Placement | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the values this node reads, in order, with repetitions."""
        return references(self.args) + tuple(name for _, value in self.kwargs for name in references(value))

    def attribute(self, key: str) -> Arg:
        """The keyword argument ``key``; KeyError where there is none."""
        return dict(self.kwargs)[key]


@dataclass(frozen=True, slots=True)
class Graph:
    """A model at one stage. ``structure`` rebuilds the user's output from the flat ``outputs``,
    ``parameters`` take the user's inputs apart.

    ``sizes`` holds the value that each symbolic size had in the example; costs count with it. ``ranges`` holds the
    lowest and highest value (None: no limit) of each symbolic size that has limits. ``samples`` is how many
    samples the sizes of the graph hold: 1 where the batch is symbolic, or where nothing tells how many there are.
    """

    stage: str
    name: str
    inputs: tuple[Value, ...]
    constants: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Arg, ...]
    matrices: tuple[Matrix, ...] = ()
    banks: tuple[Bank, ...] = ()
    structure: object = field(default=None, compare=False, repr=False)
    parameters: tuple[Parameter, ...] = field(default=(), compare=False, repr=False)
    samples: int = field(default=1, compare=False, repr=False)
    store: Mapping[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor], compare=False, repr=False)
    tables: Mapping[str, TileBank] = field(default_factory=dict[str, TileBank], compare=False, repr=False)
    sizes: Mapping[str, int] = field(default_factory=dict[str, int], compare=False, repr=False)
    ranges: Mapping[str, tuple[int, int | None]] = field(
        default_factory=dict[str, tuple[int, int | None]], compare=False, repr=False
    )

    def node(self, name: str) -> Node:
        """The node of that name; KeyError where there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def types(self) -> dict[str, ValueType]:
        """The type of every named value."""
        types: dict[str, ValueType] = {value.name: value.type for value in (*self.inputs, *self.constants)}
        types.update((node.name, node.type) for node in self.nodes)
        return types

    def with_nodes(self, nodes: tuple[Node, ...]) -> Graph:
        """The graph with other nodes; constants that nothing reads any more are dropped."""
        read = {name for node in nodes for name in node.reads} | set(references(self.outputs))
        read |= {matrix.weight for matrix in self.matrices}
        constants = tuple(value for value in self.constants if value.name in read)
        store = {value.name: self.store[value.name] for value in constants if value.name in self.store}
        return replace(self, nodes=nodes, constants=constants, store=store)
