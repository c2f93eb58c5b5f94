"""An ONNX graph to an :class:`OnnxModule`: scopes, constants, functions inlined, one child module a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from onnx import FunctionProto, GraphProto, NodeProto

from ....runtime.errors import CaptureError, complaint
from .constants import Constants, add_bytes, prepare
from .dtypes import FOREIGN, NARROW, is_foreign, narrow_result
from .fallback import reference_entry
from .functions import function_body, substituted
from .infos import InputInfo, input_info
from .known import Value
from .load import Loaded
from .module import OnnxGraph, OnnxModule, OnnxNode, Step
from .names import identifier
from .node import NodeContext
from .order import check_nesting, leading_to, ordered, reads
from .registry import Entry, lookup
from .schema import check_node, is_newer, schema_of, unknown
from .tensors import sparse_tensor_of, tensor_of

MAX_DEPTH = 64
"""How deep functions and subgraphs may nest."""
MAX_NODES = 200_000
"""Nodes of the model with its functions inlined."""

Scope = dict[str, int]


@dataclass(frozen=True)
class Context:
    """What is the same all over one model."""

    functions: Mapping[tuple[str, str, str], FunctionProto]
    folder: Path | None
    counter: list[int]
    """Nodes so far."""
    folded: list[int]
    """Bytes of computed constants so far."""


class Builder:
    """Builds one graph module: the model itself, or a subgraph that runs as a whole."""

    def __init__(self, context: Context, module: OnnxGraph, parent: Builder | None = None) -> None:
        self.context = context
        self.module = module
        self.parent = parent
        self.constants = Constants()
        self.slots = 0
        self.steps: list[Step] = []
        self.module_names: set[str] = set()
        self.derived: dict[tuple[int, str], int] = {}
        self.narrow: dict[int, int] = {}
        """Slots of values whose ONNX type is narrower than a byte or unknown to torch, to that type."""
        self.siblings: Sequence[NodeProto] = ()
        """Nodes of the graph that is being emitted."""
        self.captured: dict[int, int] = {}
        """Slots of the parent's values that this graph reads, to slots of its own."""

    # Values ------------------------------------------------------------------------------------------------------

    def new_slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def constant(self, value: Value, name: str) -> int:
        """A slot that holds a constant."""
        slot = self.new_slot()
        self.constants.put(slot, value, name)
        return slot

    # Graphs ------------------------------------------------------------------------------------------------------

    def graph(self, graph: GraphProto, opsets: Mapping[str, int], scope: Scope, prefix: str, depth: int) -> list[int]:
        """Emit a graph's initialisers and nodes; returns the slots of its outputs."""
        scope = dict(scope)
        seen: set[str] = set()
        for tensor in graph.initializer:
            self._once(seen, tensor.name, "two initialisers have one name")
            where = f"initializer {tensor.name!r}"
            scope[tensor.name] = self.constant(tensor_of(tensor, where, self.context.folder), tensor.name)
            if tensor.data_type in NARROW or tensor.data_type in FOREIGN:
                self.narrow[scope[tensor.name]] = tensor.data_type
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            self._once(seen, name, "two initialisers have one name")
            where = f"sparse initializer {name!r}"
            scope[name] = self.constant(sparse_tensor_of(sparse, where, self.context.folder), name)
        self.nodes(graph.node, opsets, scope, prefix, depth, graph.name)
        return [self._read(scope, info.name, f"output {info.name!r} of graph {graph.name!r}") for info in graph.output]

    @staticmethod
    def _once(seen: set[str], name: str, what: str) -> None:
        if name in seen:
            raise CaptureError(complaint(what, got=repr(name), next_step="give every value a name of its own"))
        seen.add(name)

    def nodes(
        self, nodes: Sequence[NodeProto], opsets: Mapping[str, int], scope: Scope, prefix: str, depth: int, graph: str
    ) -> None:
        """Emit nodes in an order in which every value is made before it is read."""
        if depth > MAX_DEPTH:
            raise CaptureError(complaint("functions or subgraphs nest too deep", where=prefix, allowed=f"{MAX_DEPTH}"))
        self.siblings = nodes
        for position, node in ordered(nodes, scope, graph):
            self.context.counter[0] += 1
            if self.context.counter[0] > MAX_NODES:
                raise CaptureError(complaint("the model has too many nodes", allowed=f"{MAX_NODES}"))
            name = node.name or f"{node.op_type}_{position}"
            self._node(node, prefix + name, opsets, scope, depth)

    def _read(self, scope: Scope, name: str, where: str) -> int:
        if name not in scope:
            raise CaptureError(
                complaint(
                    "a value is read that nothing makes",
                    where=where,
                    got=repr(name),
                    next_step="its initializer or node is missing: export the model again",
                )
            )
        return scope[name]

    def _inputs(self, node: NodeProto, scope: Scope, where: str) -> list[int]:
        return [self._read(scope, name, where) if name else -1 for name in node.input]

    # Nodes -------------------------------------------------------------------------------------------------------

    def _node(self, node: NodeProto, name: str, opsets: Mapping[str, int], scope: Scope, depth: int) -> None:
        domain = "" if node.domain == "ai.onnx" else node.domain
        where = f"node {name!r} ({f'{domain}::' if domain else ''}{node.op_type})"
        function = self.context.functions.get((domain, node.op_type, node.overload))
        if function is not None:
            self._inline(function, node, name, opsets, scope, depth, where)
            return
        opset = opsets.get(domain)
        if opset is None:
            # Models of com.microsoft are often written without importing it.
            opset = 1 if domain else None
        if opset is None:
            raise CaptureError(complaint("the model uses a domain it does not import", where=where, got="ai.onnx"))
        schema = schema_of(node.op_type, domain, opset)
        check_node(node, schema, where)
        if node.op_type == "If" and not domain and self._branch(node, name, opsets, scope, depth, where):
            return
        if schema is None and is_newer(domain, node.op_type, opset):
            raise unknown(node, domain, opset, where)
        entry = lookup(domain, node.op_type, opset)
        attributes = {attribute.name: attribute for attribute in node.attribute}
        context = NodeContext(node, name, opset, schema, attributes)
        context.narrow = tuple(self.narrow.get(scope.get(name, -1), 0) for name in node.input)
        if node.op_type == "Gradient" and domain == "ai.onnx.preview.training":
            context.graph_protos["gradient"] = leading_to(self.siblings, context["y"], list(node.input), where)
        if is_foreign(context.op, context.attributes, context.narrow):
            entry = reference_entry(node, schema, opset, context)
            if entry is None:
                raise CaptureError(complaint("the operator cannot compute with types that torch lacks", where=where))
        if entry is None:
            body = function_body(schema, opset)
            if body is not None:
                self._inline(body, node, name, opsets, scope, depth, where)
                return
            entry = reference_entry(node, schema, opset, context)
        if entry is None:
            raise unknown(node, domain, opset, where)
        self._emit(node, context, entry, scope, opsets, depth, where)

    def _branch(
        self, node: NodeProto, name: str, opsets: Mapping[str, int], scope: Scope, depth: int, where: str
    ) -> bool:
        """Emit the branch that a constant condition takes in place of its node; whether there is one."""
        condition = self.constants.known.get(self._read(scope, node.input[0], where))
        if condition is None or condition.array.size != 1 or not condition.is_concrete:
            return False
        key = "then_branch" if condition.item() else "else_branch"
        branch = next(attribute.g for attribute in node.attribute if attribute.name == key)
        made = {tensor.name for tensor in branch.initializer} | {out for item in branch.node for out in item.output}
        inner = {outer: slot for outer, slot in scope.items() if outer not in made}
        outputs = self.graph(branch, opsets, inner, f"{name}/", depth + 1)
        if len(outputs) < len(node.output):
            got, allowed = f"{len(outputs)} outputs", f"{len(node.output)}"
            raise CaptureError(complaint("a branch has too few outputs", where=where, got=got, allowed=allowed))
        scope.update({outer: slot for outer, slot in zip(node.output, outputs, strict=False) if outer})
        return True

    def _emit(
        self,
        node: NodeProto,
        context: NodeContext,
        entry: Entry,
        scope: Scope,
        opsets: Mapping[str, int],
        depth: int,
        where: str,
    ) -> None:
        inputs = self._inputs(node, scope, where)
        context.constants = tuple(self.constants.tensors.get(slot) for slot in inputs)
        module = OnnxNode(context, entry)
        outer: dict[int, None] = {}
        for key, graph in context.graph_protos.items():
            body, captured = self._body(graph, opsets, scope, f"{context.name}/{key}", depth)
            module.add_graph(key, body, captured)
            outer.update(dict.fromkeys(captured))
        captured_slots = list(outer)
        if self.constants.feed(entry, (*inputs, *captured_slots)):
            values = self.constants.fold(module, inputs, captured_slots)
            add_bytes(self.context.folded, values, where)
            for name, value in zip(node.output, values, strict=False):
                if name:
                    scope[name] = self.constant(value, name)
            self._mark_narrow(node, context, scope)
            return
        prepare(entry, context)
        for position, (how, tensor) in context.replaced.items():
            inputs[position] = self._derive(inputs[position], how, tensor)
        context.constants = ()
        path = self._module_name(context.name)
        context.path = path
        outputs = []
        for name in node.output:
            slot = self.new_slot() if name else -1
            if name:
                scope[name] = slot
            outputs.append(slot)
        self._mark_narrow(node, context, scope)
        self.steps.append(Step(path, module, tuple(inputs), tuple(captured_slots), tuple(outputs)))

    def _mark_narrow(self, node: NodeProto, context: NodeContext, scope: Scope) -> None:
        code = narrow_result(context.op, context.attributes, context.narrow)
        if code and node.output and node.output[0]:
            self.narrow[scope[node.output[0]]] = code

    def _derive(self, slot: int, how: str, tensor: torch.Tensor) -> int:
        """A constant made from another, once for all nodes that want the same."""
        key = (slot, how)
        if key not in self.derived:
            self.derived[key] = self.constant(tensor, f"{self.constants.names[slot]}_{how}")
        return self.derived[key]

    def _module_name(self, name: str) -> str:
        base = identifier(name)
        unique, count = base, 1
        while unique in self.module_names or hasattr(self.module, unique):
            unique, count = f"{base}_{count}", count + 1
        self.module_names.add(unique)
        return unique

    # Subgraphs and functions -------------------------------------------------------------------------------------

    def _body(
        self, graph: GraphProto, opsets: Mapping[str, int], scope: Scope, prefix: str, depth: int
    ) -> tuple[OnnxGraph, list[int]]:
        """A subgraph as a module of its own, and the slots of this graph that it reads."""
        if depth > MAX_DEPTH:
            raise CaptureError(complaint("functions or subgraphs nest too deep", where=prefix, allowed=f"{MAX_DEPTH}"))
        module = OnnxGraph()
        builder = Builder(self.context, module, self)
        inner: Scope = {}
        slots: list[int] = []
        formals: list[int] = []
        made = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
        made.update(name for node in graph.node for name in node.output)
        for name in reads(graph):
            if name in made or name not in scope:
                continue
            outer = scope[name]
            if outer in self.constants:
                inner[name] = builder.constant(self.constants.get(outer), self.constants.names[outer])
            else:
                inner[name] = builder.new_slot()
            if outer in self.narrow:
                builder.narrow[inner[name]] = self.narrow[outer]
            if outer in self.constants:
                continue
            slots.append(outer)
            formals.append(inner[name])
        inputs = []
        for info in graph.input:
            inner[info.name] = builder.new_slot()
            inputs.append(inner[info.name])
        outputs = builder.graph(graph, opsets, inner, "", depth + 1)
        module.finish(builder.steps, builder.constants, (*inputs, *formals), outputs)
        return module, slots

    def _inline(
        self,
        function: FunctionProto,
        node: NodeProto,
        name: str,
        opsets: Mapping[str, int],
        scope: Scope,
        depth: int,
        where: str,
    ) -> None:
        """Emit a function's body in place of the node that calls it."""
        if len(node.input) > len(function.input) or len(node.output) > len(function.output):
            raise CaptureError(
                complaint(
                    "a function is called with more values than it takes",
                    where=where,
                    got=f"{len(node.input)} inputs, {len(node.output)} outputs",
                    allowed=f"{len(function.input)} inputs, {len(function.output)} outputs",
                )
            )
        inputs = self._inputs(node, scope, where)
        inner: Scope = {
            formal: slot for formal, slot in zip(function.input, inputs, strict=False) if formal and slot >= 0
        }
        given = {attribute.name: attribute for attribute in node.attribute}
        for default in function.attribute_proto:
            given.setdefault(default.name, default)
        imports = {"" if e.domain == "ai.onnx" else e.domain: e.version for e in function.opset_import}
        missing = {formal for formal in function.input if formal and formal not in inner}
        body = [substituted(item, given, missing) for item in function.node]
        self.nodes(body, {**opsets, **imports}, inner, f"{name}/", depth + 1, name)
        for formal, actual in zip(function.output, node.output, strict=False):
            if actual:
                scope[actual] = self._read(inner, formal, f"output {formal!r} of function {function.name!r}")


def build_module(loaded: Loaded) -> OnnxModule:
    """Build the module of a loaded model.

    Raises:
        CaptureError: anything in the model that cannot be executed; names node and input.
    """
    proto = loaded.proto
    functions: dict[tuple[str, str, str], FunctionProto] = {}
    for function in proto.functions:
        key = ("" if function.domain == "ai.onnx" else function.domain, function.name, function.overload)
        if key in functions:
            raise CaptureError(complaint("two functions of the model have one name", got="::".join(key[:2])))
        functions[key] = function
    module = OnnxModule(loaded.name)
    builder = Builder(Context(functions, loaded.folder, [0], [0]), module)
    graph = proto.graph
    check_nesting(graph, MAX_DEPTH, MAX_NODES)
    for function in proto.functions:
        check_nesting(function, MAX_DEPTH, MAX_NODES)
    initialised = {t.name for t in graph.initializer} | {s.values.name for s in graph.sparse_initializer}
    scope: Scope = {}
    infos: list[InputInfo] = []
    for info in graph.input:
        if info.name in initialised:
            continue
        if not info.name or info.name in scope:
            raise CaptureError(complaint("two inputs of the model have one name", got=repr(info.name)))
        slot = scope[info.name] = builder.new_slot()
        if info.type.tensor_type.elem_type in NARROW or info.type.tensor_type.elem_type in FOREIGN:
            builder.narrow[slot] = info.type.tensor_type.elem_type
        infos.append(input_info(info))
    inputs = list(scope.values())
    outputs = builder.graph(graph, loaded.opsets, scope, "", 0)
    if not outputs:
        raise CaptureError(complaint("the model has no outputs", where=loaded.name))
    module.finish(builder.steps, builder.constants, inputs, outputs)
    module.describe(tuple(infos), tuple(info.name for info in graph.output))
    return module
