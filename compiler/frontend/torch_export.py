"""A functional torch.export program as an ``nn`` graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind

from ...runtime.errors import CaptureError, complaint
from ...runtime.values import (
    Arg,
    Dim,
    Ref,
    ScalarType,
    TensorType,
    Token,
    TupleType,
    ValueType,
    complex_token,
    dtype_name,
    references,
)
from ..ir import Graph, Node, Origin, Value
from ..ir.identity import Identity, identity
from .checks import refuse_custom, refuse_mutation, refuse_strides, refuse_training
from .example import Leaf
from .naming import home_of_weight, op_name, path_of
from .structure import outputs_of, parameters_of

_CONSTANT_KINDS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
_CHECKS = re.compile(r"aten\.(_assert|sym_constrain|_assert_scalar|_assert_tensor_metadata|_assert_async)")
"""Ops that only check sizes at run time; the program checks its inputs itself."""
_SYMBOL = re.compile(r"\b[su]\d+\b")
_NAME = re.compile(r"[A-Za-z_]\w*")
_UNLIMITED = 2**31
"""An upper limit this high is no limit."""


@dataclass(frozen=True)
class Wanted:
    """What the user said of the tensor inputs, in order; ``names`` are those of all inputs, if they have other ones."""

    leaves: tuple[Leaf, ...] = ()
    names: tuple[str, ...] = ()


def graph_of(program: ExportedProgram, in_place: frozenset[str], name: str, wanted: Wanted | None = None) -> Graph:
    """Translate an exported program.

    Args:
        program: Functional but for the nodes in ``in_place``, inference only.
        in_place: Names of nodes whose result stands for the value they write (see :mod:`.functional`).
        name: Name of the graph.
        wanted: Names of dynamic sizes and shapes of the example inputs.

    Returns:
        A graph whose constants carry the user's fully-qualified names; a tensor that several names
        share is one constant. Inputs that are constants (None, numbers, text) are compiled in.

    Raises:
        CaptureError: the model writes to its buffers or inputs, or fixes a size that was to vary.
    """
    return _Translation(program, in_place, name, wanted or Wanted()).graph()


class _Translation:
    def __init__(self, program: ExportedProgram, in_place: frozenset[str], name: str, wanted: Wanted) -> None:
        self.program = program
        self.wanted = wanted
        self.sizes: dict[str, int] = {}
        self.batch = ""
        self.in_place = in_place
        self.memory: dict[str, list[str]] = {}
        self.name = name
        self.names: dict[str, str] = {}
        self.symbols: dict[str, str] = {}
        self.used: set[str] = set()

    def graph(self) -> Graph:
        refuse_mutation(self.program)
        refuse_custom(self.program)
        inputs, constants, store = self._placeholders()
        nodes = tuple(
            self._node(node)
            for node in self.program.graph.nodes
            if node.op == "call_function" and not _CHECKS.match(op_name(node.target))
        )
        refuse_training(nodes)
        specs = self.program.graph_signature.output_specs
        results: Any = self.program.graph.output_node().args[0]
        # what a model writes into its inputs it writes into a copy: the caller's tensors stay as they are
        outputs = tuple(
            self._arg(arg)
            for arg, spec in zip(results, specs, strict=True)
            if spec.kind is not OutputKind.USER_INPUT_MUTATION
        )
        graph = Graph(
            "nn",
            self.name,
            inputs,
            constants,
            nodes,
            outputs,
            store=store,
            structure=outputs_of(self.program),
            parameters=parameters_of(self.program, self.wanted.names),
            sizes=dict(self.sizes),
            ranges=self._ranges(),
        )
        return replace(graph.with_nodes(nodes), samples=_fixed_samples(graph))

    def _unique(self, name: str) -> str:
        while name in self.used:
            name += "$"
        self.used.add(name)
        return name

    def _placeholders(self) -> tuple[tuple[Value, ...], tuple[Value, ...], dict[str, torch.Tensor]]:
        nodes = {node.name: node for node in self.program.graph.nodes if node.op == "placeholder"}
        inputs: list[Value] = []
        store: dict[str, torch.Tensor] = {}
        shared: dict[Identity, str] = {}
        for spec in self.program.graph_signature.input_specs:
            node = nodes.get(getattr(spec.arg, "name", ""))
            if spec.kind is InputKind.USER_INPUT:
                if isinstance(spec.arg, ConstantArgument):
                    continue
                if node is not None and isinstance(node.meta.get("val"), torch.Tensor):
                    self._name_sizes(node.name, len(inputs), node.meta["val"])
                kind = self._type(node.meta.get("val")) if node is not None else None
                if not isinstance(kind, TensorType) or node is None:
                    raise CaptureError(
                        complaint(
                            "an input of the model is not a tensor",
                            where=getattr(spec.arg, "name", "?"),
                            got=getattr(spec.arg, "value", kind),
                            next_step="fix it with functools.partial or a wrapping module",
                        )
                    )
                given = self.wanted.names[len(inputs)] if self.wanted.names else node.name
                name = self.names[node.name] = self._unique(given)
                inputs.append(Value(name, kind))
            elif spec.kind in _CONSTANT_KINDS and node is not None:
                target = str(spec.target)
                tensor = self._constant(target)
                key = identity(tensor)
                if key is not None and key in shared:
                    self.names[node.name] = shared[key]
                    continue
                name = self.names[node.name] = self._unique(target)
                if key is not None:
                    shared[key] = name
                store[target] = tensor
        constants = tuple(Value(name, self._tensor_type(tensor)) for name, tensor in store.items())
        return tuple(inputs), constants, store

    def _name_sizes(self, where: str, place: int, tensor: torch.Tensor) -> None:
        """Give the symbolic sizes of an input their names, and note the sizes that the example had."""
        leaf = self.wanted.leaves[place] if place < len(self.wanted.leaves) else None
        example = leaf.tensor.shape if leaf else None
        for dim, size in enumerate(tensor.shape):
            user, text = leaf.named.get(dim) if leaf else None, str(size)
            if user is not None and text.isdigit():
                raise CaptureError(
                    complaint(
                        f"the model takes the size {user.name!r} for a constant"
                        if user.name
                        else "a size is a constant",
                        where=f"input {where!r}, dimension {dim}",
                        got=f"always {example[dim] if example else text}",
                        next_step="leave it out of dynamic_shapes, or use x.shape where the model has a number",
                    )
                )
            if user is not None and user.name and _SYMBOL.fullmatch(text):
                self.symbols.setdefault(text, user.name)
            if leaf is not None and leaf.batched and dim == 0 and _SYMBOL.fullmatch(text):
                # tracing may not see that two inputs must have the same batch; samples are one and the same
                self.batch = self.symbols.setdefault(text, self.batch or str(self._dim(size)))
            shown = self._dim(size)
            if isinstance(shown, str) and example is not None:
                self.sizes.update(_solved(shown, example[dim], self.sizes))

    def _ranges(self) -> dict[str, tuple[int, int | None]]:
        """The sizes each symbol may take. Tracing always assumes 2 or more, without meaning it: that is not a limit."""
        users = [user for leaf in self.wanted.leaves for user in leaf.named.values()]
        lows = {user.name: user.low for user in users if user and user.low}
        found: dict[str, tuple[int, int | None]] = {}
        for symbol, limits in self.program.range_constraints.items():
            name = self.symbols.get(str(symbol))
            if name is None or name not in self.sizes:
                continue
            low = int(limits.lower) if isinstance(limits.lower, sympy.Integer) else 0
            high = int(limits.upper) if isinstance(limits.upper, sympy.Integer) else None
            low = max(low if low > 2 else 0, lows.get(name, 0))
            if low or (high is not None and high < _UNLIMITED):
                found[name] = (low, high if high is not None and high < _UNLIMITED else None)
        return found

    def _constant(self, target: str) -> torch.Tensor:
        tensors: Mapping[str, object] = self.program.state_dict
        tensor = tensors[target] if target in tensors else self.program.constants[target]
        if not isinstance(tensor, torch.Tensor):
            kind = type(tensor).__name__
            raise CaptureError(complaint("the model holds a constant that is no tensor", where=target, got=kind))
        return tensor.detach()

    @staticmethod
    def _tensor_type(tensor: torch.Tensor) -> TensorType:
        return TensorType(dtype_name(tensor.dtype), tuple(tensor.shape))

    def _node(self, node: torch.fx.Node) -> Node:
        name = self.names[node.name] = self._unique(node.name)
        kind = self._type(node.meta.get("val"))
        if kind is None:
            raise CaptureError(complaint("an op yields no value", where=path_of(node), got=str(node.target)))
        op = op_name(node.target)
        if op == "aten.as_strided.default":
            refuse_strides(node)
        args = tuple(self._arg(arg) for arg in node.args)
        if node.name in self.in_place:
            base, _, overload = op.rpartition(".")
            op = f"{base.removesuffix('_')}.{overload}"
            written = node.args[0]
            if isinstance(written, torch.fx.Node):
                memory = self.memory.setdefault(written.name, [written.name])
                self.memory[node.name] = memory
                for alias in memory:
                    self.names[alias] = name
                memory.append(node.name)
        return Node(
            name,
            op,
            args,
            kind,
            tuple((key, self._arg(value)) for key, value in node.kwargs.items()),
            Origin(path_of(node) or home_of_weight(args), ("capture",)),
        )

    def _arg(self, arg: object) -> Arg:
        match arg:
            case torch.fx.Node():
                return Ref(self.names[arg.name])
            case None | bool() | int() | float() | str():
                return arg
            case list() | tuple():
                return tuple(self._arg(item) for item in arg)
            case torch.dtype() | torch.layout() | torch.memory_format():
                return Token(str(arg).removeprefix("torch."))
            case torch.device():
                return Token(str(arg))
            case complex():
                return complex_token(arg)
        raise CaptureError(complaint("an op has an argument the IR cannot hold", got=repr(arg)))

    def _type(self, value: object) -> ValueType | None:
        match value:
            case None:
                return None
            case torch.Tensor():
                return TensorType(dtype_name(value.dtype), tuple(self._dim(dim) for dim in value.shape))
            case bool() | torch.SymBool():
                return ScalarType("bool")
            case int() | torch.SymInt():
                return ScalarType("int")
            case float() | torch.SymFloat():
                return ScalarType("float")
            case list() | tuple():
                return TupleType(tuple(self._type(item) for item in value))
        raise CaptureError(complaint("an op yields a value the IR cannot type", got=type(value).__name__))

    def _dim(self, dim: int | torch.SymInt) -> Dim:
        """A dimension; symbols are renumbered s0, s1, ... in order of appearance."""
        if isinstance(dim, int):
            return dim
        text = str(dim)
        if text.lstrip("-").isdigit():
            return int(text)

        def renumber(match: re.Match[str]) -> str:
            if match.group() not in self.symbols:
                number = len(self.symbols)
                while f"s{number}" in self.symbols.values():
                    number += 1
                self.symbols[match.group()] = f"s{number}"
            return self.symbols[match.group()]

        return _SYMBOL.sub(renumber, text)


def _fixed_samples(graph: Graph) -> int:
    """The batch of a graph that fixes it: what the first input and all outputs have as their first size; else 1."""
    if not graph.inputs or any(value.type.shape and isinstance(value.type.shape[0], str) for value in graph.inputs):
        return 1
    types = graph.types()
    results = [types.get(name) for name in references(graph.outputs)]
    kinds = (graph.inputs[0].type, *results)
    found = {kind.shape[0] if isinstance(kind, TensorType) and kind.shape else 1 for kind in kinds}
    only = found.pop()
    return only if not found and isinstance(only, int) and only > 0 else 1


def _solved(dim: str, value: int, known: Mapping[str, int]) -> dict[str, int]:
    """The sizes that make a symbolic dimension ``dim`` come out as ``value``, where it has one unknown."""
    if dim.isidentifier():
        return {} if dim in known else {dim: value}
    symbols: dict[str, Any] = {name: sympy.Symbol(name) for name in _NAME.findall(dim)}
    expression: Any = sympy.sympify(dim, locals=symbols)  # type: ignore[call-overload]
    unknown = [symbol for symbol in expression.free_symbols if str(symbol) not in known]
    if len(unknown) != 1:
        return {}
    fixed = expression.subs({symbol: known[str(symbol)] for symbol in expression.free_symbols if str(symbol) in known})
    roots = [root for root in sympy.solve(fixed - value, unknown[0]) if root.is_Integer]
    return {str(unknown[0]): int(roots[0])} if roots else {}
