"""Lower placed layers to matrix-vector products: declare matrices, keep im2col as geometry."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from ...runtime.errors import VerifyError
from ...runtime.targets import Target
from ...runtime.values import Arg, Ref, TensorType, ValueType
from ..ir import Graph, Matrix, Node
from .base import Options, matches


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
        del target
        matrices: dict[tuple[object, ...], Matrix] = {}
        nodes: list[Node] = []
        types = graph.types()
        for node in graph.nodes:
            if node.placement is not None and node.placement.where == "photonic":
                nodes.append(self._photonic(node, graph, matrices))
            else:
                nodes.extend(_host(node, types))
        lowered = replace(graph, stage="mvm", matrices=tuple(matrices.values()))
        return lowered.with_nodes(tuple(nodes))

    def _photonic(self, node: Node, graph: Graph, matrices: dict[tuple[object, ...], Matrix]) -> Node:
        x, weight, bias = node.args
        if not isinstance(weight, Ref):
            raise VerifyError(f"%{node.name} was placed on the chip, but its weight is no constant.")
        shape = tuple(graph.store[weight.name].shape)
        attributes: list[tuple[str, Arg]] = []
        groups = 1
        if node.op == "ll.conv2d":
            groups = int(node.attribute("groups"))  # type: ignore[arg-type]
            attributes = [("channels", shape[1] * groups), ("kernel", shape[2:]), *node.kwargs]
        rows = shape[0] // groups
        cols = 1
        for dim in shape[1:]:
            cols *= dim
        overrides = tuple(glob for glob in self.options.overrides if matches(node.origin.path, glob))
        key = (weight.name, groups, overrides)
        if key not in matrices:
            name = node.origin.path or node.name
            taken = {matrix.name for matrix in matrices.values()}
            if name in taken:  # several matrices of one module, such as an attention's projections
                name = weight.name
            while name in taken:
                name += "$"
            matrices[key] = Matrix(name, weight.name, groups, rows, cols)
        head: list[tuple[str, Arg]] = [("matrix", matrices[key].name), ("kind", node.op.removeprefix("ll."))]
        return replace(
            node, op="ll.mvm", args=(x, bias), kwargs=(*head, *attributes), origin=node.origin.via(self.name)
        )


def _host(node: Node, types: dict[str, ValueType]) -> tuple[Node, ...]:
    """The ATen form of a layer that stays on the host; other nodes as they are."""
    if node.op == "ll.linear":
        return (replace(node, op="aten.linear.default"),)
    if node.op != "ll.conv2d":
        return (node,)
    top, bottom, left, right = node.attribute("padding")  # type: ignore[misc]
    stride, dilation, groups = (node.attribute(key) for key in ("stride", "dilation", "groups"))
    x, weight, bias = node.args
    if (top, left) == (bottom, right):
        args: tuple[Arg, ...] = (x, weight, bias, stride, (top, left), dilation, groups)
        return (replace(node, op="aten.conv2d.default", args=args, kwargs=()),)
    padded = replace(
        node,
        name=f"{node.name}$padded",
        op="aten.constant_pad_nd.default",
        args=(x, (left, right, top, bottom), 0.0),
        kwargs=(),
        type=_padded_type(types[x.name] if isinstance(x, Ref) else None, node.attribute("padding")),
    )
    args = (Ref(padded.name), weight, bias, stride, (0, 0), dilation, groups)
    return padded, replace(node, op="aten.conv2d.default", args=args, kwargs=())


def _padded_type(kind: ValueType | None, padding: Arg) -> TensorType:
    if not isinstance(kind, TensorType) or not isinstance(padding, tuple):
        raise VerifyError(f"conv2d of {kind} with padding {padding}: expected a tensor and four sides.")
    top, bottom, left, right = (side if isinstance(side, int) else 0 for side in padding)
    *lead, height, width = kind.shape
    spans = [
        span + extra if isinstance(span, int) else f"{span} + {extra}"
        for span, extra in ((height, top + bottom), (width, left + right))
    ]
    return TensorType(kind.dtype, (*lead, *spans))
