"""The rules a graph must keep at each stage; run after capture and after every pass."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from ...runtime.errors import VerifyError
from ...runtime.hostops import is_allowed
from ...runtime.program import TileBank
from ...runtime.recurrent import GATES
from ...runtime.values import TensorType, TupleType, dtype_name, references
from .graph import STAGES, Graph, Node

LL_OPS = {
    "nn": {"ll.product", "ll.linear", "ll.conv2d", "ll.convolution", "ll.recurrent"},
    "mvm": {"ll.mvm", "ll.recurrence", "ll.product"},
    "tile": {"ll.mvm", "ll.recurrence", "ll.product"},
}
"""The ops of our own that each stage may hold; ATen and ``py`` ops are allowed at every stage."""


def verify(graph: Graph, after: str = "") -> None:
    """Check a graph against the rules of its stage.

    Args:
        graph: The graph.
        after: Name of the pass that made it, for the message.

    Raises:
        VerifyError: naming every broken rule and the nodes involved.
    """
    faults = list(_faults(graph))
    if faults:
        where = f" after pass {after!r}" if after else ""
        listing = "\n".join(f"  - {fault}" for fault in faults)
        raise VerifyError(
            f"The {graph.stage} graph {graph.name!r} breaks {len(faults)} rule(s){where}:\n{listing}\n"
            "This is a fault of the pass, not of the model: please report it with the output of dump()."
        )


def _faults(graph: Graph) -> Iterator[str]:
    if graph.stage not in STAGES:
        yield f"unknown stage {graph.stage!r}; allowed: {', '.join(STAGES)}"
        return
    yield from _names(graph)
    yield from _store(graph)
    for node in graph.nodes:
        yield from _node(graph, node)
    yield from _matrices(graph)
    if graph.stage == "tile":
        yield from _banks(graph)


def _names(graph: Graph) -> Iterator[str]:
    """Every name defined once, and before it is read."""
    defined: dict[str, str] = {}
    for kind, names in (("input", graph.inputs), ("constant", graph.constants)):
        for value in names:
            if value.name in defined:
                yield f"{kind} %{value.name} has the name of an earlier {defined[value.name]}"
            defined[value.name] = kind
    later = {node.name for node in graph.nodes}
    for node in graph.nodes:
        for name in node.reads:
            if name not in defined:
                hint = (
                    "which is defined only after it: the order is wrong" if name in later else "which nothing defines"
                )
                yield f"%{node.name} ({node.op}) reads %{name}, {hint}"
        if node.name in defined:
            yield f"%{node.name} ({node.op}) has the name of an earlier {defined[node.name]}"
        defined[node.name] = "node"
    for name in references(graph.outputs):
        if name not in defined:
            yield f"the output reads %{name}, which nothing defines"


def _store(graph: Graph) -> Iterator[str]:
    """Constants in the store have the type that the graph declares (a parsed graph has no store)."""
    for value in graph.constants if graph.store else ():
        tensor = graph.store.get(value.name)
        if tensor is None:
            yield f"constant %{value.name} has no tensor"
        elif TensorType(dtype_name(tensor.dtype), tuple(tensor.shape)) != value.type:
            yield f"constant %{value.name} is {tensor.dtype} {tuple(tensor.shape)}, declared {value.type}"


def _node(graph: Graph, node: Node) -> Iterator[str]:
    namespace = node.op.split(".", 1)[0]
    if namespace == "ll":
        if node.op not in LL_OPS[graph.stage]:
            allowed = ", ".join(sorted(LL_OPS[graph.stage]))
            yield f"%{node.name}: {node.op} does not belong in a {graph.stage} graph; allowed: {allowed}"
    elif namespace not in ("aten", "py") and not is_allowed(node.op):
        yield f"%{node.name}: unknown op {node.op}; allowed: aten.*, py.*, ll.*, and those of runtime/hostops.py"
    if graph.stage != "nn" and node.placement is None:
        yield f"%{node.name} ({node.op}) has no placement"
    if node.placement is not None and node.placement.where not in ("photonic", "host"):
        yield f"%{node.name} is placed on {node.placement.where!r}; allowed: photonic, host"
    on_chip = node.op in LL_OPS[graph.stage]
    if graph.stage != "nn" and node.placement and (node.placement.where == "photonic") != on_chip:
        yield f"%{node.name} ({node.op}) is placed on {node.placement.where}: only ll.* ops run on the chip"
    if node.op == "ll.mvm":
        yield from _mvm(graph, node)
    if node.op == "ll.recurrence":
        yield from _recurrence(graph, node)
    if node.op == "ll.product" and graph.stage != "nn":
        yield from _product(graph, node)


def _product(graph: Graph, node: Node) -> Iterator[str]:
    name = dict(node.kwargs).get("matrix")
    matrix = next((matrix for matrix in graph.matrices if matrix.name == name), None)
    if matrix is None or not matrix.dynamic:
        yield f"%{node.name} multiplies by @{name}, which is not declared as dynamic"
    elif not isinstance(node.type, TensorType) or node.type.shape[-1] != matrix.rows:
        yield f"%{node.name} yields {node.type}, matrix @{matrix.name} has {matrix.rows} rows"


def _recurrence(graph: Graph, node: Node) -> Iterator[str]:
    attributes, matrices = dict(node.kwargs), {matrix.name: matrix for matrix in graph.matrices}
    for role in ("matrix", "projection"):
        if attributes.get(role) is not None and attributes[role] not in matrices:
            yield f"%{node.name} multiplies by @{attributes[role]}, which is not declared"
            return
    kind = attributes.get("kind")
    first = node.type.items[0] if isinstance(node.type, TupleType) and node.type.items else None
    if kind not in GATES or not isinstance(first, TensorType) or len(first.shape) != 3:
        yield f"%{node.name}: an ll.recurrence of {kind} yields (sequence, h[, c]), got {node.type}"
        return
    hidden, projection = matrices[str(attributes["matrix"])], matrices.get(str(attributes["projection"]))
    units = hidden.rows // GATES[str(kind)]
    last = (units, units) if projection is None else (projection.cols, projection.rows)
    if hidden.rows % GATES[str(kind)] or last != (units, hidden.cols) or first.shape[2] != hidden.cols:
        yield f"%{node.name} yields {first.shape[2]} of {units} units, matrix @{hidden.name} keeps {hidden.cols}"


def _mvm(graph: Graph, node: Node) -> Iterator[str]:
    name = dict(node.kwargs).get("matrix")
    matrix = next((matrix for matrix in graph.matrices if matrix.name == name), None)
    if matrix is None:
        yield f"%{node.name} multiplies by @{name}, which is not declared"
        return
    if not isinstance(node.type, TensorType):
        yield f"%{node.name}: an ll.mvm yields one tensor, got {node.type}"
        return
    axis = 1 if dict(node.kwargs).get("kind") == "conv2d" else -1
    if node.type.shape[axis] != matrix.groups * matrix.rows:
        rows = matrix.groups * matrix.rows
        yield f"%{node.name} yields {node.type.shape[axis]} rows, matrix @{matrix.name} has {rows}"


def _matrices(graph: Graph) -> Iterator[str]:
    if graph.stage == "nn" and (graph.matrices or graph.banks):
        yield "an nn graph declares no matrices or banks"
    types = graph.types()
    for matrix in graph.matrices:
        kind = types.get(matrix.weight)
        if matrix.dynamic:
            if not isinstance(kind, TensorType) or kind.shape[-2:] != (matrix.cols, matrix.rows):
                yield f"dynamic matrix @{matrix.name}: its value %{matrix.weight} is {kind}"
        elif not isinstance(kind, TensorType) or not kind.static:
            yield f"matrix @{matrix.name}: its weight %{matrix.weight} is not a constant"
        elif matrix.blocks < 1 or matrix.rows % matrix.blocks or matrix.cols % matrix.blocks:
            yield f"matrix @{matrix.name}: {matrix.rows} x {matrix.cols} has no {matrix.blocks} equal blocks"
        elif prod(int(dim) for dim in kind.shape) != matrix.groups * matrix.rows * matrix.cols // matrix.blocks:
            yield f"matrix @{matrix.name} has not as many elements as its weight %{matrix.weight} {kind.shape}"


def _banks(graph: Graph) -> Iterator[str]:
    banks = {bank.spec.name: bank for bank in graph.banks}
    if set(banks) != {matrix.name for matrix in graph.matrices}:
        yield f"banks {sorted(banks)} and matrices {sorted(m.name for m in graph.matrices)} differ"
        return
    for matrix in graph.matrices:
        spec = banks[matrix.name].spec
        wanted = (matrix.groups, matrix.rows, matrix.cols, matrix.blocks)
        if (spec.groups, spec.rows, spec.cols, spec.blocks) != wanted:
            blocks = f" in {spec.blocks} blocks" if spec.blocks > 1 else ""
            yield f"bank @{matrix.name} is {spec.groups} x {spec.rows} x {spec.cols}{blocks}, its matrix is not"
        if matrix.name in graph.tables:
            yield from _table(graph.tables[matrix.name])


def _table(bank: TileBank) -> Iterator[str]:
    """Tiles lie in the grid, each at most once, in order; columns have one row a tile."""
    spec = bank.spec
    for name, column in bank.columns.items():
        if len(column) != spec.tiles:
            yield f"bank @{spec.name}: column {name} has {len(column)} rows for {spec.tiles} tiles"
            return
    place = [bank.columns[name].astype(np.int64) for name in ("group", "row", "col")]
    limits = (spec.groups, spec.grid_rows, spec.grid_cols)
    if any(((index < 0) | (index >= limit)).any() for index, limit in zip(place, limits, strict=True)):
        yield f"bank @{spec.name}: a tile lies outside the grid {limits}"
    flat = (place[0] * limits[1] + place[1]) * limits[2] + place[2]
    if (np.diff(flat) <= 0).any():
        yield f"bank @{spec.name}: tiles are repeated or not sorted by group, row, column"
