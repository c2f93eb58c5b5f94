"""Read in-place ops of an exported program as functional ones, where that is plainly the same.

``run_decompositions`` makes any program functional by tracing it again, which takes longer than the export. Most
programs write in place only into values that nothing else shares (``relu_`` after a convolution): those are read as
they stand. Everything else goes the long way, where what the host
has no entry for is spelled in ops that it has.
"""

from __future__ import annotations

import warnings

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind

from ...runtime.hostops import is_allowed
from .control import without_control
from .decompositions import is_known, rules_for

_NEVER_SHARED = """
    adaptive_avg_pool1d adaptive_avg_pool2d add addmm avg_pool1d avg_pool2d batch_norm bmm cat clamp conv1d conv2d
    conv3d div elu embedding exp gelu group_norm hardsigmoid hardswish hardtanh layer_norm leaky_relu linear matmul
    max_pool1d max_pool2d mean mm mul neg pow relu relu6 rsqrt selu sigmoid silu softmax sqrt stack sub sum tanh where
"""
_FRESH = frozenset(_NEVER_SHARED.split())
"""Ops whose result never shares memory with an argument."""


def functional(program: ExportedProgram) -> tuple[ExportedProgram, frozenset[str]]:
    """A program without writes, as far as its readers can tell.

    Returns:
        The program, and the names of its nodes to be read as their functional form: the op without the trailing
        underscore, whose result stands for the written value from there on. The set is empty where the program
        had to be traced anew.
    """
    program, retrace = without_control(program)
    in_place = None if retrace else _plain_writes(program)
    if in_place is not None:
        return program, in_place
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rules, custom = rules_for(program)
        try:
            return program.run_decompositions({**rules, **custom}), frozenset()
        except Exception:
            if not custom:
                raise
            # the Python of a custom op that leaves torch: the op stays, to be refused by name
            return program.run_decompositions(rules), frozenset()


def written_inputs(program: ExportedProgram, in_place: frozenset[str]) -> tuple[str, ...]:
    """Names of the inputs that the model itself would have written to, given what :func:`functional` returned."""
    specs = program.graph_signature.output_specs
    found = [str(spec.target) for spec in specs if spec.kind is OutputKind.USER_INPUT_MUTATION]
    for node in program.graph.nodes:
        memory = node
        while memory.name in in_place:
            memory = memory.args[0]
        if memory is not node and memory.op == "placeholder":
            found.append(memory.name)
    return tuple(dict.fromkeys(found))


def _plain_writes(program: ExportedProgram) -> frozenset[str] | None:
    """The in-place nodes, if all are plain; None if any op needs the long way."""
    if any(spec.kind is not OutputKind.USER_OUTPUT for spec in program.graph_signature.output_specs):
        return None
    inputs = frozenset(name for name in program.graph_signature.user_inputs if isinstance(name, str))
    in_place: set[str] = set()
    order = {node: place for place, node in enumerate(program.graph.nodes)}
    for node in program.graph.nodes:
        if node.op not in ("call_function", "placeholder", "output"):
            return None
        if node.op != "call_function":
            continue
        if not isinstance(node.target, torch._ops.OpOverload):
            if _is_arithmetic(node.target):
                continue
            return None  # Python that torch.export left in, of vmap for one
        if not node.target._schema.is_mutable:
            if not is_known(node.target) and "assert" not in str(node.target):
                return None
            continue
        if not _is_plain(node, order, inputs):
            return None
        in_place.add(node.name)
    return frozenset(in_place)


def _is_arithmetic(target: object) -> bool:
    """Whether a function computes on sizes, or reads one of several results."""
    name = getattr(target, "__name__", "")
    return getattr(target, "__module__", "") in ("_operator", "math") or name.startswith("sym_")


def _is_plain(node: torch.fx.Node, order: dict[torch.fx.Node, int], inputs: frozenset[str]) -> bool:
    """Whether an in-place op writes its first argument only, into memory that nothing read before shares.

    Inputs count as such memory: a program works on a copy of what it is given, the caller's tensors stay as they are.
    """
    op = node.target
    written = node.args[0] if node.args else None
    if not isinstance(op, torch._ops.OpOverload) or not isinstance(written, torch.fx.Node):
        return False
    writes = [argument for argument in op._schema.arguments if argument.alias_info and argument.alias_info.is_write]
    if len(writes) != 1 or op._schema.arguments[0] is not writes[0] or not op._opname.endswith("_"):
        return False
    memory = [written]  # the nodes that name the written memory: earlier in-place ops and what they wrote
    while _mutates(memory[-1]):
        memory.append(memory[-1].args[0])  # type: ignore[arg-type]
    owned = memory[-1].name in inputs or (memory[-1].op == "call_function" and _fresh(memory[-1].target))
    earlier = (user for name in memory for user in name.users if order[user] < order[node])
    alone = all(user.op == "call_function" and _fresh(user.target) for user in earlier)
    return owned and alone and is_allowed(f"{op._opname[:-1]}.{op._overloadname}") and _keeps_type(node, written)


def _fresh(target: object) -> bool:
    return isinstance(target, torch._ops.OpOverload) and target._opname.removesuffix("_") in _FRESH


def _mutates(node: torch.fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _keeps_type(node: torch.fx.Node, written: torch.fx.Node) -> bool:
    """A functional op may promote its dtype or broadcast, where the in-place one keeps those of what it writes."""
    others = [arg.meta.get("val") for arg in node.args[1:] if isinstance(arg, torch.fx.Node)]
    tensor = written.meta.get("val")
    return isinstance(tensor, torch.Tensor) and all(
        not isinstance(other, torch.Tensor) or other.dtype == tensor.dtype for other in others
    )
