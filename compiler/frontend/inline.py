"""Put the bodies of wrapping ops (no_grad, autocast regions) where the ops stand."""

from __future__ import annotations

import copy

import torch
from torch import fx
from torch.export import ExportedProgram

from ...runtime.errors import CaptureError, complaint

_LEADING = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}
"""Wrapping ops, and how many settings stand before the wrapped graph."""


def inlined(program: ExportedProgram) -> ExportedProgram:
    """The program without ops that only wrap a graph; itself where it has none.

    Raises:
        CaptureError: an autocast region that is switched on: it would compute in another type than declared.
    """
    if not any(_wraps(node) for node in program.graph.nodes):
        return program
    module = copy.deepcopy(program.graph_module)
    _inline(module)
    module.recompile()
    return program._update(module, program.graph_signature)


def _wraps(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.HigherOrderOperator) and node.target.name() in _LEADING


def _inline(module: fx.GraphModule) -> None:
    graph = module.graph
    for node in list(graph.nodes):
        if not _wraps(node):
            continue
        lead = _LEADING[node.target.name()]
        settings, held, operands = node.args[:lead], node.args[lead], node.args[lead + 1 :]
        _refuse_autocast(node, settings)
        body = getattr(module, held.target)
        _inline(body)
        values = dict(zip((n for n in body.graph.nodes if n.op == "placeholder"), operands, strict=True))
        with graph.inserting_before(node):
            for inner in body.graph.nodes:
                if inner.op == "call_function":
                    values[inner] = graph.node_copy(inner, values.__getitem__)
                elif inner.op == "get_attr":
                    name = f"{held.target}_{inner.target}".replace(".", "_")
                    setattr(module, name, getattr(body, inner.target))
                    values[inner] = graph.get_attr(name)
        results = fx.map_arg(body.graph.output_node().args[0], values.__getitem__)
        for user in list(node.users):  # a wrapped graph yields a tuple, read item by item
            user.replace_all_uses_with(results[user.args[1]])
            graph.erase_node(user)
        graph.erase_node(node)
        if not held.users:
            graph.erase_node(held)


def _refuse_autocast(node: fx.Node, settings: tuple[object, ...]) -> None:
    if len(settings) == 1:
        return
    kind, dtype, enabled, _ = settings
    if enabled:
        raise CaptureError(
            complaint(
                "the model switches autocast on while it runs",
                where=str(next(iter((node.meta.get("nn_module_stack") or {}).values()), ("the model",))[0]),
                got=f"torch.autocast({kind!r}, {dtype})",
                next_step="convert the model with model.to(dtype) and take autocast out",
            )
        )
