"""Decide for every op whether it runs on the chip or on the host, and record why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch

from ...runtime.errors import CompileError, complaint
from ...runtime.hostops import ONNX_REFERENCE, is_allowed
from ...runtime.onnx_reference import operator
from ...runtime.targets import Target
from ...runtime.values import Ref, references
from ..ir import Graph, Node, Placement
from ..refusals import why_refused
from .base import Options, matches, require_match
from .costs import MAC_OPS
from .fold_quantization import integers
from .input_ranges import input_range
from .product_operands import UNKNOWN, why_not
from .products import PRODUCTS

_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_LAYERS = ("ll.linear", "ll.conv2d", "ll.convolution")
_EXCLUDED = "excluded by the user: "


class NothingPhotonicError(CompileError):
    """A model without a single op that a mesh could run."""


@dataclass(frozen=True)
class Place:
    """Linear layers and convolutions with constant real weights run on the chip, everything else on the host."""

    options: Options = field(default_factory=Options)
    name: ClassVar[str] = "place"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "nn"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`.

        Raises:
            CompileError: weights that no chip can hold (NaN, infinite), a glob that matches nothing, no op for the
                chip at all, an op the host does not know, or, with ``strict``, multiply-accumulates left on the
                host. All offenders are named at once.
        """
        paths = [node.origin.path for node in graph.nodes if node.op in MAC_OPS and node.origin.path]
        paths = list(dict.fromkeys(paths))
        require_match(self.options.exclude, paths, "exclude")
        memory, producers = _memory(graph), {node.name: node for node in graph.nodes}
        placed = [
            replace(node, placement=self._placement(node, graph, memory, producers, target)) for node in graph.nodes
        ]
        _refuse_unknown(placed)
        _refuse_weights(placed, graph)
        self._refuse_host(placed)
        require_match(dict(self.options.overrides), _photonic_paths(placed), "overrides")
        return replace(graph, nodes=tuple(placed))

    def _placement(
        self, node: Node, graph: Graph, memory: dict[int, list[str]], producers: dict[str, Node], target: Target
    ) -> Placement:
        excluded = next((glob for glob in self.options.exclude if matches(node.origin.path, glob)), None)
        if node.op in _LAYERS:
            weight = node.args[1]
            if excluded is not None:
                return Placement("host", f"{_EXCLUDED}{excluded}")
            if not isinstance(weight, Ref) or weight.name not in graph.store:
                return Placement("host", "its weight is computed at run time")
            if isinstance(node.args[2], Ref) and node.args[2].name not in graph.store:
                return Placement("host", "its bias is computed at run time")
            if graph.store[weight.name].dtype not in _REAL:
                kind = str(graph.store[weight.name].dtype).removeprefix("torch.")
                return Placement("host", f"its weight is {kind}: a mesh holds real numbers of 16 bits or more")
            reason = _weights(weight.name, graph, memory) + self._range(node, producers, graph.store, target)
            return Placement("photonic", reason)
        if node.op == "ll.recurrent":
            shapes = " and ".join(" x ".join(map(str, graph.store[name].shape)) for name in _loop_weights(node))
            return Placement("photonic", f"constant {shapes} weights, on their tiles for all time steps")
        if node.op == "ll.product":
            return Placement("photonic", "both operands are computed: tiles reprogrammed for every sample")
        if node.op in MAC_OPS:
            if excluded is not None:
                return Placement("host", f"{_EXCLUDED}{excluded}")
            return Placement("host", _why_host(node, graph))
        if node.op == ONNX_REFERENCE:
            return Placement("host", f"no torch form: ONNX {operator(str(node.args[1]))} by onnx.reference")
        if node.op == "py.getitem":
            return Placement("host", "one of several results")
        if node.op.startswith("py.") or node.op.startswith("aten.sym_"):
            return Placement("host", "arithmetic on sizes")
        return Placement("host", "no weights to hold on a mesh")

    def _range(self, node: Node, producers: dict[str, Node], store: Mapping[str, torch.Tensor], target: Target) -> str:
        """What becomes of the quantizer before a layer."""
        found = input_range(node.args[0], producers, store)
        if found is None or isinstance(found, str):
            return f"; {found}" if found else ""
        scales = [
            changes["encoding.scale"]
            for glob, changes in self.options.overrides.items()
            if "encoding.scale" in changes and matches(node.origin.path, glob)
        ]
        if (scales[-1] if scales else target.encoding.scale) != "static":
            return "; its input is quantized on the host"
        zero = f" (zero point {found.zero}, taken off on the host)" if found.zero else ""
        return f"; input range from its quantizer{zero}"

    def _refuse_host(self, nodes: list[Node]) -> None:
        if not any(node.placement and node.placement.where == "photonic" for node in nodes):
            raise NothingPhotonicError(
                complaint(
                    "no op of the model can run on the chip",
                    got=_listing([n for n in nodes if n.op in MAC_OPS]) or "a model without weights",
                    allowed="linear layers and convolutions with constant weights",
                    next_step="compile a model that has some, or exclude fewer layers",
                )
            )
        offenders = [
            node
            for node in nodes
            if node.op in MAC_OPS and node.placement and node.placement.where == "host" and not _by_user(node)
        ]
        if self.options.strict and offenders:
            raise CompileError(
                complaint(
                    f"strict: {len(offenders)} op(s) that multiply and accumulate stay on the host",
                    got=_listing(offenders),
                    next_step="exclude them by name, or compile without strict",
                )
            )


_AT_RUN_TIME = 'both operands are computed at run time (dynamic_matmul="photonic" would reprogram tiles)'


def _why_host(node: Node, graph: Graph) -> str:
    """Why an op that multiplies and accumulates stays on the host."""
    attention = node.op == "aten.scaled_dot_product_attention.default"
    computed = {name for arg in node.args for name in references(arg) if name not in graph.store}
    if attention or (node.op in PRODUCTS and len(computed) == 2):
        return _AT_RUN_TIME
    reason = why_not(node, graph)
    if reason == UNKNOWN:
        return _AT_RUN_TIME
    return reason or f"no photonic lowering for {node.op}"


def _weights(name: str, graph: Graph, memory: dict[int, list[str]]) -> str:
    """Which weights a layer on the chip has, and whose memory they share as another matrix."""
    weight = graph.store[name]
    shape = " x ".join(map(str, weight.shape))
    dtype = integers(name)
    title = f"constant {shape} {dtype} weights, scale kept" if dtype else f"constant {shape} weights"
    others = (other for other in memory[weight.untyped_storage().data_ptr()] if other != name)
    for other in others:
        if weight.numel() == graph.store[other].numel():
            return f"{title}, {other} seen another way: a matrix of its own"
    return title


def _memory(graph: Graph) -> dict[int, list[str]]:
    """Names of the layers' weights by the memory that they lie in."""
    found: dict[int, list[str]] = {}
    for node in graph.nodes:
        weight = node.args[1] if node.op in _LAYERS else None
        if isinstance(weight, Ref) and weight.name in graph.store:
            names = found.setdefault(graph.store[weight.name].untyped_storage().data_ptr(), [])
            if weight.name not in names:
                names.append(weight.name)
    return found


def _by_user(node: Node) -> bool:
    return node.placement is not None and node.placement.reason.startswith(_EXCLUDED)


def _loop_weights(node: Node) -> tuple[str, ...]:
    """Names of the constants that a recurrent loop multiplies by."""
    return references((node.args[3], node.args[5]))


def _photonic_paths(nodes: list[Node]) -> list[str]:
    return [n.origin.path for n in nodes if n.placement and n.placement.where == "photonic"]


def _listing(nodes: list[Node]) -> str:
    return "".join(
        f"\n  - {node.origin.path or node.name} ({node.op}): {node.placement.reason if node.placement else ''}"
        for node in nodes
    )


def _refuse_unknown(nodes: list[Node]) -> None:
    unknown = [n for n in nodes if not n.op.startswith("ll.") and not is_allowed(n.op.removeprefix("aten."))]
    if unknown:
        raise CompileError(
            complaint(
                f"{len(unknown)} op(s) are not among the ops the host may run",
                got="".join(
                    f"\n  - {node.origin.path or node.name}: {node.op}: {why_refused(node.op)}" for node in unknown
                ),
                allowed="the ops of docs/host-ops.md",
                next_step="rewrite the model with these, or compile the part before and after it",
            )
        )


def _refuse_weights(nodes: list[Node], graph: Graph) -> None:
    """NaN and infinite weights cannot be programmed, nor those of loops in other numbers; say which, all at once."""
    faults: list[str] = []
    for node in nodes:
        if node.placement is None or node.placement.where != "photonic" or node.op == "ll.product":
            continue
        roles = ("weight", "bias", "projection") if node.op == "ll.recurrent" else ("weight", "bias")
        operands = node.args[3:6] if node.op == "ll.recurrent" else node.args[1:3]
        for role, arg in zip(roles, operands, strict=True):
            if not isinstance(arg, Ref):
                continue
            tensor = graph.store[arg.name]
            if tensor.dtype not in _REAL:
                faults.append(f"{node.origin.path} ({node.op}): its {role} is {tensor.dtype}".replace("torch.", ""))
            elif not bool(torch.isfinite(tensor).all()):
                bad = int((~torch.isfinite(tensor)).sum())
                faults.append(f"{node.origin.path} ({node.op}): {bad} of {tensor.numel()} {role} values are NaN or inf")
    if faults:
        raise CompileError(
            complaint(
                "weights that a mesh cannot hold",
                got="".join(f"\n  - {fault}" for fault in faults),
                allowed="finite float16, bfloat16, float32 or float64",
                next_step="repair the checkpoint, convert the layer, or leave it on the host with exclude=",
            )
        )
