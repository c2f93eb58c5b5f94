"""Fold batch norm (inference) into the linear or convolution layer before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from ...runtime.targets import Target
from ...runtime.values import Ref, TensorType, dtype_name, references, rename
from ..ir import Graph, Node, Value

_LEGIT = "aten._native_batch_norm_legit_no_training.default"
_PLAIN = "aten.batch_norm.default"


@dataclass(frozen=True)
class FoldBatchNorm:
    """y = gamma (W x + b - mean) / sqrt(var + eps) + beta becomes one layer with new W and b.

    Only where the layer's result has no other reader and all the tensors are constants; a batch norm
    that stays is a host op and appears as such in ``explain()``. A layer and its norm that run twice stay one layer.
    """

    name: ClassVar[str] = "fold_batch_norm"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "nn"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`."""
        del target
        readers = Counter(name for node in graph.nodes for name in node.reads)
        readers.update(references(graph.outputs))
        nodes = {node.name: node for node in graph.nodes}
        first_results = _first_results(graph, readers)
        store = dict(graph.store)
        constants = list(graph.constants)
        names: dict[str, str] = {}
        folded: dict[tuple[object, ...], list[Ref]] = {}
        for norm in graph.nodes:
            result = first_results.get(norm.name) if norm.op == _LEGIT else norm.name
            layer = nodes.get(norm.args[0].name) if norm.args and isinstance(norm.args[0], Ref) else None
            if norm.op not in (_LEGIT, _PLAIN) or result is None or layer is None:
                continue
            if readers[layer.name] != 1 or not _foldable(layer, norm, store):
                continue
            key = (*layer.args[1:3], layer.kwargs, *_norm_args(norm))
            refs = folded.setdefault(key, [])
            for suffix, tensor in () if refs else zip(("weight", "bias"), _folded(layer, norm, store), strict=True):
                name = f"{layer.origin.path or layer.name}.{suffix}$folded"
                while name in store:
                    name += "$"
                store[name] = tensor
                constants.append(Value(name, TensorType(dtype_name(tensor.dtype), tuple(tensor.shape))))
                refs.append(Ref(name))
            nodes[layer.name] = replace(layer, args=(layer.args[0], *refs), origin=layer.origin.via(self.name))
            names[result] = layer.name
            nodes.pop(norm.name)
            nodes.pop(result, None)
            for item in [item.name for item in nodes.values() if item.op == "py.getitem" and norm.name in item.reads]:
                nodes.pop(item)  # a result that nothing reads
        renamed = tuple(
            replace(
                node,
                args=tuple(rename(arg, names) for arg in node.args),
                kwargs=tuple((key, rename(value, names)) for key, value in node.kwargs),
            )
            for node in nodes.values()
        )
        outputs = tuple(rename(arg, names) for arg in graph.outputs)
        return replace(graph, outputs=outputs, constants=tuple(constants), store=store).with_nodes(renamed)


def _first_results(graph: Graph, readers: Mapping[str, int]) -> dict[str, str]:
    """For each norm that yields three values: the one node that reads the first, if nothing reads the rest."""
    first: dict[str, str] = {}
    spoiled: set[str] = set(references(graph.outputs))
    for node in graph.nodes:
        for name in node.reads:
            if node.op == "py.getitem" and node.args[1] != 0 and not readers[node.name]:
                continue  # taken, but never looked at
            if node.op == "py.getitem" and node.args[1] == 0 and name not in first:
                first[name] = node.name
            else:
                spoiled.add(name)
    return {norm: item for norm, item in first.items() if norm not in spoiled}


def _norm_args(norm: Node) -> tuple[tuple[object, ...], float]:
    """(gamma, beta, mean, var) arguments and eps."""
    return norm.args[1:5], float(norm.args[6] if norm.op == _LEGIT else norm.args[7])  # type: ignore[arg-type]


def _foldable(layer: Node, norm: Node, store: dict[str, torch.Tensor]) -> bool:
    if layer.op not in ("ll.linear", "ll.conv2d", "ll.convolution") or (
        norm.op == _PLAIN and norm.args[5] is not False
    ):
        return False
    if layer.op == "ll.linear" and (not isinstance(layer.type, TensorType) or len(layer.type.shape) != 2):
        return False  # on (N, C, L) batch norm runs over axis 1, a linear layer over the last
    if layer.op == "ll.convolution" and not _batched(layer, store):
        return False  # without a batch, axis 1 is no channel
    arguments, _ = _norm_args(norm)
    if arguments[2] is None or arguments[3] is None or layer.args[1] is None:
        return False
    tensors = [layer.args[1], layer.args[2], *arguments]
    return all(arg is None or (isinstance(arg, Ref) and arg.name in store) for arg in tensors)


def _batched(layer: Node, store: dict[str, torch.Tensor]) -> bool:
    """Whether a convolution has a batch: its result has as many axes as its weight."""
    weight = store.get(layer.args[1].name) if isinstance(layer.args[1], Ref) else None
    return weight is not None and isinstance(layer.type, TensorType) and len(layer.type.shape) == weight.ndim


def _folded(layer: Node, norm: Node, store: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    def tensor(arg: object, default: float) -> torch.Tensor | float:
        return store[arg.name].double() if isinstance(arg, Ref) else default

    (gamma, beta, mean, var), eps = _norm_args(norm)
    weight = store[layer.args[1].name]  # type: ignore[union-attr]
    gain = torch.rsqrt(tensor(var, 1.0) + eps) * tensor(gamma, 1.0)  # type: ignore[arg-type]
    shift = (tensor(layer.args[2], 0.0) - tensor(mean, 0.0)) * gain + tensor(beta, 0.0)
    gain, shift = gain.to(weight.dtype), shift.to(weight.dtype)
    ones = [1] * (weight.ndim - 2)
    if layer.op == "ll.convolution" and layer.attribute("transposed"):  # (inputs, outputs of a group, ...)
        groups = layer.attribute("groups")
        each = weight.reshape(groups, -1, *weight.shape[1:])  # type: ignore[arg-type]
        return (each * gain.reshape(groups, 1, -1, *ones)).reshape(weight.shape), shift  # type: ignore[arg-type]
    return weight * gain.reshape(-1, 1, *ones), shift
