"""What the host may not run, in terms of what it may: torch's own rules, and the Python of custom ops."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import fx
from torch._decomp import decomposition_table
from torch._library.custom_ops import OPDEFS
from torch.export import ExportedProgram, default_decompositions

from ...runtime.hostops import is_allowed
from ..refusals import UNDECIDED, why_refused
from .recurrent_ops import NAMES

Rules = dict[Any, Callable[..., Any]]
"""Decomposition rules by op, as ``ExportedProgram.run_decompositions`` takes them."""


def host_name(op: torch._ops.OpOverload) -> str:
    """The name that the allow-list of the host would have for an op."""
    name = f"{op._opname}.{op._overloadname}"
    return name if op.namespace == "aten" else f"{op.namespace}.{name}"


def is_known(op: torch._ops.OpOverload) -> bool:
    """Whether a program may name this op as it is."""
    return is_allowed(host_name(op)) or str(op) in NAMES


@cache
def aten_rules() -> Rules:
    """Rules for every functional op that the host has no entry for and torch can spell otherwise."""
    table: Rules = {**decomposition_table, **default_decompositions().materialize()}
    table.update((op, _each(op)) for op in _foreach_ops())
    return {op: rule for op, rule in table.items() if isinstance(op, torch._ops.OpOverload) and _is_to_spell(op)}


def rules_for(program: ExportedProgram) -> tuple[Rules, Rules]:
    """The rules of :func:`aten_rules`, and for the custom ops of a program the Python that implements them."""
    graphs = [module.graph for module in program.graph_module.modules() if isinstance(module, fx.GraphModule)]
    ops = {node.target for graph in graphs for node in graph.nodes if node.op == "call_function"}
    custom = {op: _implementation(op) for op in ops if isinstance(op, torch._ops.OpOverload) and not is_known(op)}
    return aten_rules(), {op: python for op, python in custom.items() if python is not None}


def _foreach_ops() -> list[torch._ops.OpOverload]:
    """Functional ops on lists of tensors that do to each what ``torch.<name>`` does to one."""
    names = [name for name in dir(torch) if name.startswith("_foreach_") and not name.endswith("_")]
    packets = [getattr(torch.ops.aten, name) for name in names if hasattr(torch, name.removeprefix("_foreach_"))]
    return [getattr(packet, overload) for packet in packets for overload in packet.overloads()]


def _each(op: torch._ops.OpOverload) -> Callable[..., Any]:
    function = getattr(torch, op._opname.removeprefix("_foreach_"))

    def rule(tensors: list[torch.Tensor], *args: Any, **kwargs: Any) -> list[torch.Tensor]:
        picked = (
            [arg[place] if isinstance(arg, list | tuple) else arg for arg in args] for place in range(len(tensors))
        )
        return [function(tensor, *mine, **kwargs) for tensor, mine in zip(tensors, picked, strict=True)]

    return rule


def _is_to_spell(op: torch._ops.OpOverload) -> bool:
    if op._schema.is_mutable or torch.Tag.nondeterministic_seeded in op.tags or is_known(op):
        return False
    # an op that only calls another one says more under its own name than that one does, where both are refused
    if op._opname.startswith("as_strided"):
        return False
    return op in decomposition_table or op.namespace != "aten" or why_refused(f"aten.{host_name(op)}") == UNDECIDED


def _implementation(op: torch._ops.OpOverload) -> Callable[..., Any] | None:
    """The Python of ``torch.library.custom_op``, the CPU's where there are several, if it writes to no argument."""
    found = OPDEFS.get(op.name())
    if found is None or op._schema.is_mutable:
        return None
    return found._backend_fns.get("cpu") or found._backend_fns.get(None)
