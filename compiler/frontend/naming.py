"""What the nodes of an exported program are called in a graph: ops, layers, and the module that a weight is of."""

from __future__ import annotations

import operator

import torch

from ...runtime.values import Arg, Ref
from .recurrent_ops import NAMES


def op_name(target: object) -> str:
    """``aten.<op>.<overload>`` for ATen, ``py.<name>`` for arithmetic on sizes."""
    if isinstance(target, torch._ops.OpOverload):
        namespace, _, name = target.name().partition("::")
        overload = "" if "." in name else ".default"
        full = f"{namespace}.{name}{overload}"
        return NAMES.get(full, full)
    name = getattr(target, "__name__", str(target))
    if getattr(operator, name, None) is target:
        return f"py.{name}"
    return f"py.{getattr(target, '__module__', '')}.{name}".replace("py.torch.", "py.")


def path_of(node: torch.fx.Node) -> str:
    """The user's layer path, from the innermost module that made the node."""
    stack = node.meta.get("nn_module_stack") or {}
    entries = list(stack.values())
    path = str(entries[-1][0]).removeprefix("_export_root.") if entries else ""
    return "" if path.startswith("_empty_nn_module_stack") else path


def home_of_weight(args: tuple[Arg, ...]) -> str:
    """The module that an op's weight belongs to: the layer path of an op that no module made."""
    for arg in args[1:]:
        for item in arg if isinstance(arg, tuple) else (arg,):
            home, _, leaf = item.name.rpartition(".") if isinstance(item, Ref) else ("", "", "")
            if home and leaf in ("weight", "weight_ih_l0"):
                return home
    return ""
