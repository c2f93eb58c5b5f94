"""Put the bodies of wrapping ops (no_grad, autocast regions) where the ops stand."""

from __future__ import annotations

import copy

import torch
from torch import fx
from torch.export import ExportedProgram

_LEADING = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}
"""Wrapping ops, and how many settings stand before the wrapped graph."""


def inlined(program: ExportedProgram) -> ExportedProgram:
    """The program without ops that only wrap a graph; itself where it has none.

    An autocast region that is switched on stays: the casts in it have to be traced.
    """
    if not any(_wraps(node) for node in program.graph.nodes):
        return program
    module = copy.deepcopy(program.graph_module)
    _inline(module)
    module.recompile()
    return program._update(module, program.graph_signature)


def _wraps(node: fx.Node) -> bool:
    if not isinstance(node.target, torch._ops.HigherOrderOperator) or node.target.name() not in _LEADING:
        return False
    return node.target.name() != "wrap_with_autocast" or node.args[2] is False


def _inline(module: fx.GraphModule) -> None:
    graph = module.graph
    for node in list(graph.nodes):
        if not _wraps(node):
            continue
        lead = _LEADING[node.target.name()]
        held, operands = node.args[lead], node.args[lead + 1 :]
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
