"""Lower placed layers to matrix-vector products: declare matrices, keep im2col as geometry."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import ClassVar

from ...runtime.errors import VerifyError
from ...runtime.targets import Target
from ...runtime.values import Arg, Ref, TensorType, TupleType, ValueType
from ..ir import Graph, Matrix, Node
from .base import Options, matches
from .constants import Constants
from .costs import sample_sizes, shape
from .host_convolutions import host_convolution
from .lower_convolutions import lower_conv2d, lower_convolution
from .lower_recurrent import lower_recurrent
from .packing import choose_blocks


@dataclass(frozen=True)
class Lower:
    """Photonic layers become ``ll.mvm``; layers left on the host become ATen ops again.

    Layers that share a weight share the matrix, unless their overrides differ.
    """

    options: Options = field(default_factory=Options)
    name: ClassVar[str] = "lower"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "mvm"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`."""
        matrices = _Matrices(self.options, target)
        constants = Constants(graph)
        nodes: list[Node] = []
        types = graph.types()
        graph = replace(graph, samples=_samples(graph))
        for node in graph.nodes:
            if node.placement is None or node.placement.where != "photonic":
                nodes.extend(_host(node, types))
            elif node.op == "ll.conv2d":
                nodes.append(lower_conv2d(node, constants, matrices.declare))
            elif node.op == "ll.convolution":
                nodes.extend(lower_convolution(node, types, constants, matrices.declare))
            elif node.op == "ll.product":
                nodes.append(_product(node, types, graph, matrices))
            elif node.op == "ll.recurrent":
                loop = lower_recurrent(node, graph, matrices.declared, matrices.overrides(node))
                nodes.append(replace(loop, origin=node.origin.via(self.name)))
            else:
                nodes.append(_linear(node, constants, matrices))
        lowered = replace(graph, stage="mvm", matrices=tuple(matrices.declared.values()))
        return constants.into(lowered, tuple(nodes))


class _Matrices:
    """The matrices that the layers ask for, one for each weight as each use of it wants it."""

    def __init__(self, options: Options, target: Target) -> None:
        self.options = options
        self.target = target
        self.declared: dict[tuple[object, ...], Matrix] = {}

    def declare(self, node: Node, weight: str, groups: int, rows: int, cols: int) -> Matrix:
        """The matrix of a layer: ``groups`` parts of ``rows x cols``, small ones packed unless switched off."""
        key = (weight, groups, self.overrides(node))
        if key not in self.declared:
            name = node.origin.path or node.name
            taken = {matrix.name for matrix in self.declared.values()}
            if name in taken:  # several matrices of one module, such as an attention's projections
                name = weight
            while name in taken:
                name += "$"
            blocks = choose_blocks(groups, rows, cols, self.target.mesh.ports) if self._packs(node) else 1
            self.declared[key] = Matrix(name, weight, groups // blocks, blocks * rows, blocks * cols, blocks)
        return self.declared[key]

    def declare_dynamic(self, node: Node, value: str, groups: int, rows: int, cols: int) -> Matrix:
        """The matrix of a product of two computed values; each has its own."""
        name = node.name if node.name.endswith("$scores") else node.origin.path or node.name
        taken = {matrix.name for matrix in self.declared.values()}
        while name in taken:
            name += "$"
        found = Matrix(name, value, groups, rows, cols, dynamic=True)
        self.declared["dynamic", name] = found
        return found

    def _packs(self, node: Node) -> bool:
        """Whether groups may share tiles: not where a shift would light the zeros between them and add noise."""
        kinds = [self.options.overrides[glob].get("detection.kind") for glob in self.overrides(node)]
        detection = next((kind for kind in reversed(kinds) if kind), self.target.detection.kind)
        return self.options.pack and detection == "coherent"

    def overrides(self, node: Node) -> tuple[str, ...]:
        """The overrides that a layer falls under."""
        return tuple(glob for glob in self.options.overrides if matches(node.origin.path, glob))


def _linear(node: Node, constants: Constants, matrices: _Matrices) -> Node:
    x, weight, bias = node.args
    if not isinstance(weight, Ref):
        raise VerifyError(f"%{node.name} was placed on the chip, but its weight is no constant.")
    rows, *rest = constants.store[weight.name].shape
    matrix = matrices.declare(node, weight.name, 1, rows, prod(rest))
    attributes: tuple[tuple[str, Arg], ...] = (("matrix", matrix.name), ("kind", "linear"))
    return replace(node, op="ll.mvm", args=(x, bias), kwargs=attributes, origin=node.origin.via("lower"))


def _samples(graph: Graph) -> int:
    """Samples of a run whose batch is fixed; 1 where the vectors of a layer on the chip do not share out among them."""
    sizes = sample_sizes(graph)
    for node in graph.nodes:
        if node.placement is not None and node.placement.where == "photonic":
            kind = node.type.items[0] if isinstance(node.type, TupleType) else node.type
            *lead, _ = shape(kind, sizes)
            if node.op in ("ll.conv2d", "ll.convolution", "ll.product"):
                lead = lead[:1] if node.op != "ll.product" else lead[:-1]
            if prod(lead) % graph.samples:
                return 1
    return graph.samples


def _product(node: Node, types: dict[str, ValueType], graph: Graph, matrices: _Matrices) -> Node:
    _, right = node.args
    kind = types[right.name] if isinstance(right, Ref) else None
    if not isinstance(right, Ref) or not isinstance(kind, TensorType):
        raise VerifyError(f"%{node.name}: an ll.product multiplies two tensors, got {right}.")
    *lead, cols, rows = shape(kind, sample_sizes(graph))
    matrix = matrices.declare_dynamic(node, right.name, prod(lead) // graph.samples, rows, cols)
    return replace(node, kwargs=(("matrix", matrix.name),), origin=node.origin.via("lower"))


def _host(node: Node, types: dict[str, ValueType]) -> tuple[Node, ...]:
    """The ATen form of a layer that stays on the host; other nodes as they are."""
    if node.op == "ll.linear":
        return (replace(node, op="aten.linear.default"),)
    if node.op in ("ll.conv2d", "ll.convolution"):
        return host_convolution(node, types)
    return (node,)
