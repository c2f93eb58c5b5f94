"""Ops that hold graphs of their own (branches, loops, maps, wrappers) as plain ops, where that can be.

Bodies are put where the ops stand. A branch on a constant is that branch; one on data becomes both, and a choice
between their results, for a chip has no branches. Loops are unrolled where constants tell how often they run. A map is
its body, vectorised.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from ...runtime.errors import CaptureError, complaint
from ..chip_ops import CHIP
from .known import Known
from .vectorised import associative, attention, mapped

MAX_TURNS = 1024
"""Turns of a loop that are unrolled; each is written out, layers and all."""

_WRAPPERS: dict[str, tuple[int, int]] = {
    "wrap_with_set_grad_enabled": (1, 2),
    "wrap_with_autocast": (4, 5),
    "tag_activation_checkpoint": (0, 1),
    "checkpoint": (0, 1),
    "wrap": (0, 1),
    "wrap_activation_checkpoint": (0, 1),
    "strict_mode": (0, 1),
    "invoke_subgraph": (0, 2),
}
"""Ops that only wrap a graph: places of the graph and of its first operand."""


class ControlError(CaptureError):
    """An op that holds graphs and has no plain form."""


Node = Any
"""A node of the graph; its arguments are of so many types that none helps."""
_TENSOR = torch.empty(0)
Guard = tuple[Any, bool]
"""A predicate, and the outcome of it under which a branch is taken."""
Operand = Any
"""A node, a number, or None: what a graph takes."""


def without_control(program: ExportedProgram) -> tuple[ExportedProgram, bool]:
    """The program without ops that hold graphs, and whether it has to be traced anew because types may have changed.

    An autocast region that is switched on stays: the casts in it have to be traced.

    Raises:
        ControlError: such an op that has no plain form here; it is named with the reason.
    """
    if not any(_to_lower(node) for node in program.graph.nodes):
        return program, False
    module = copy.deepcopy(program.graph_module)
    lowering = _Lowering(module, Known(program))
    while lowering.step():
        pass
    module.graph.eliminate_dead_code(_stays)
    module.recompile()
    changed = copy.copy(program)
    changed._graph_module = module  # not by _update: that takes no calls of Python, which tracing anew takes away
    return changed, lowering.retrace


def without_checkpoints(module: fx.GraphModule) -> fx.GraphModule:
    """A graph of Dynamo with the bodies of checkpoints in their place: torch.export cannot read it with them."""

    def is_checkpoint(node: Node) -> bool:
        return _to_lower(node) and node.target.name() == "tag_activation_checkpoint"

    if not any(is_checkpoint(node) for node in module.graph.nodes):
        return module
    changed = copy.deepcopy(module)
    lowering = _Lowering(changed, lambda _: None)
    while lowering.step(is_checkpoint):
        pass
    changed.recompile()
    return changed


def _to_lower(node: Node) -> bool:
    if node.op != "call_function" or not isinstance(node.target, torch._ops.HigherOrderOperator):
        return False
    return node.target.name() != "wrap_with_autocast" or node.args[2] is False


def _stays(node: Node) -> bool:
    """Whether a node that nothing reads has a use: what opens and closes a vmap, say."""
    if node.op != "call_function":
        return node.op in ("placeholder", "output")
    return not isinstance(node.target, torch._ops.OpOverload) or node.target._schema.is_mutable


class _Lowering:
    """A graph whose ops that hold graphs are replaced one by one."""

    def __init__(self, module: fx.GraphModule, known: Callable[[Any], Any]) -> None:
        self.module = module
        self.graph = module.graph
        self.known = known
        self.retrace = False
        self._under: dict[fx.Node, tuple[Guard, ...]] = {}
        self._guards: tuple[Guard, ...] = ()

    def step(self, chosen: Callable[[Node], bool] = _to_lower) -> bool:
        """Replace the first op that holds a graph, of those chosen; False where there is none."""
        node = next((node for node in self.graph.nodes if chosen(node)), None)
        if node is None:
            return False
        name = node.target.name()
        self._guards = self._under.pop(node, ())
        rule: Callable[[fx.Node], Any] | None = getattr(self, f"_{name}", None)
        with self.graph.inserting_before(node):
            if name in _WRAPPERS:
                held, first = _WRAPPERS[name]
                results = self._body(node.args[held], node.args[first:])
            elif rule is not None:
                self.retrace = True
                results = rule(node)
            else:
                raise _refusal(node, "it holds a graph or an effect that no program can hold")
        self._replace(node, results)
        return True

    def _replace(self, node: Node, results: Any) -> None:
        if isinstance(results, fx.Node):  # a node that yields what the op yielded
            node.replace_all_uses_with(results)
        else:
            for user in list(node.users):  # results are read item by item
                result = results[user.args[1]]
                if isinstance(result, fx.Node):
                    user.replace_all_uses_with(result)
                else:
                    _give(user, result)
                self.graph.erase_node(user)
        helds = [arg for arg in node.all_input_nodes if arg.op == "get_attr"]
        self.graph.erase_node(node)
        for held in helds:
            if not held.users:
                self.graph.erase_node(held)

    def _body(self, held: Any, operands: Any, guard: Guard | None = None) -> list[Operand]:
        """Copy a graph to where the cursor is; its results. ``guard``: when they are wanted, if not always."""
        guards = self._guards if guard is None else (*self._guards, guard)
        body: Any = self.module.get_submodule(held.target)
        holders = [node for node in body.graph.nodes if node.op == "placeholder"]
        values: dict[fx.Node, Any] = dict(zip(holders, operands, strict=True))
        for inner in body.graph.nodes:
            if inner.op in ("call_function", "call_method"):
                made = values[inner] = self.graph.node_copy(inner, values.__getitem__)
                if guards and _to_lower(made):
                    self._under[made] = guards
                elif guards and getattr(made.target, "_opname", "") in CHIP:
                    self._protect(made, guards)
            elif inner.op == "get_attr":
                name = f"{held.target}_{inner.target}".replace(".", "_")
                if not hasattr(self.module, name):
                    setattr(self.module, name, getattr(body, inner.target))
                values[inner] = self.graph.get_attr(name)
        results = fx.map_arg(body.graph.output_node().args[0], values.__getitem__)
        return list(results) if isinstance(results, list | tuple) else [results]

    def _protect(self, node: Node, guards: tuple[Guard, ...]) -> None:
        """Give a layer zeros where its branch is not taken: there its input may be what no chip takes, NaN for one."""

        def protected(arg: Node) -> Node:
            if not isinstance(arg.meta.get("val", _TENSOR), torch.Tensor) or self.known(arg) is not None:
                return arg
            with self.graph.inserting_before(node):
                for predicate, wanted in guards:
                    where, pair = (torch.ops.aten.where.ScalarOther, (arg, 0))
                    if not wanted:
                        where, pair = torch.ops.aten.where.ScalarSelf, (0, arg)
                    arg = self._call(where, predicate, *pair)
            return arg

        node.args, node.kwargs = fx.map_arg((node.args, node.kwargs), protected)

    def _call(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        return self.graph.call_function(target, args, kwargs)

    def _python(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        """A call of Python, which tracing the program anew replaces by what it does; graphs among its arguments."""
        nodes: list[fx.Node] = []
        fx.map_arg((args, kwargs), lambda arg: nodes.append(arg) or arg)
        graphs = {node: self.module.get_submodule(str(node.target)) for node in nodes if node.op == "get_attr"}
        others = [node for node in nodes if node not in graphs]

        def call(*values: Any) -> Any:
            found = {**graphs, **dict(zip(others, values, strict=True))}
            positional, named = fx.map_arg((args, kwargs), found.__getitem__)
            return function(*positional, **named)

        return self._call(call, *others)

    def _cond(self, node: Node) -> list[Operand]:
        predicate, yes, no, operands = node.args
        value = self.known(predicate)
        if value is not None:
            return self._body(yes if bool(value) else no, operands)
        if isinstance(predicate.meta.get("val"), torch.SymBool):  # of sizes
            predicate = self._call(torch.sym_ite, predicate, 1, 0)
            predicate = self._call(torch.ops.aten.scalar_tensor.default, predicate, dtype=torch.bool)
        else:
            predicate = self._call(torch.ops.aten.reshape.default, predicate, [])
        first, second = self._body(yes, operands, (predicate, True)), self._body(no, operands, (predicate, False))
        return [a if a is b else self._choice(node, predicate, a, b) for a, b in zip(first, second, strict=True)]

    def _choice(self, node: Node, predicate: fx.Node, first: Operand, second: Operand) -> Operand:
        if not isinstance(first, fx.Node) or not isinstance(second, fx.Node):
            if first == second:
                return first
            raise _refusal(node, "its branches yield different numbers, which only a run can choose from")
        return self._call(torch.ops.aten.where.self, predicate, first, second)

    def _while_loop(self, node: Node) -> list[Operand]:
        going_on, body, carried, extra = node.args
        for _ in range(MAX_TURNS + 1):
            (more,) = self._body(going_on, (*carried, *extra))
            value = self.known(more)
            if value is None:
                raise _refusal(
                    node, "how often it runs depends on the input, and only a known count can be written out"
                )
            if not bool(value):
                return list(carried)
            carried = self._body(body, (*carried, *extra))
        raise _refusal(node, f"it runs more than {MAX_TURNS} times, and every turn would be written out")

    def _scan(self, node: Node) -> list[Operand]:
        body, carried, sequences, extra = node.args
        turns = sequences[0].meta["val"].shape[0]
        if not isinstance(turns, int) or turns > MAX_TURNS:
            raise _refusal(node, f"it takes {turns} turns, where a number of at most {MAX_TURNS} is needed")
        kept: list[list[Operand]] = []
        for turn in range(turns):
            items = [self._call(torch.ops.aten.select.int, sequence, 0, turn) for sequence in sequences]
            results = self._body(body, (*carried, *items, *extra))
            carried = results[: len(carried)]
            kept.append(results[len(carried) :])
        stacked = [self._call(torch.ops.aten.stack.default, list(each)) for each in zip(*kept, strict=True)]
        return [*carried, *stacked]

    def _map_impl(self, node: Node) -> fx.Node:
        body, sequences, extra = node.args
        return self._python(mapped, body, list(sequences), list(extra))

    def _associative_scan(self, node: Node) -> fx.Node:
        body, sequences, extra = node.args
        return self._python(associative, body, list(sequences), list(extra))

    def _flex_attention(self, node: Node) -> fx.Node:
        return self._python(attention, *node.args, **node.kwargs)


def _give(user: fx.Node, value: Any) -> None:
    """Hand a number to all readers of a node."""
    for reader in list(user.users):
        reader.args = fx.map_arg(reader.args, lambda arg: value if arg is user else arg)
        reader.kwargs = fx.map_arg(reader.kwargs, lambda arg: value if arg is user else arg)


def _refusal(node: Node, reason: str) -> ControlError:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    name = node.target.name() if isinstance(node.target, torch._ops.HigherOrderOperator) else str(node.target)
    return ControlError(
        complaint(
            f"{name} cannot be in a program: {reason}",
            where=str(stack[-1][0] if stack else "") or node.name,
            next_step="write it without (torch.where, a fixed number of turns), or compile the parts around it",
        )
    )
