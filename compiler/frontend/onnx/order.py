"""Order of nodes: every value made before it is read, made once, and no cycles."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator, Sequence

from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto

from ....runtime.errors import CaptureError, complaint


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs among a node's attributes."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def check_nesting(graph: GraphProto | FunctionProto, depth: int, nodes: int) -> None:
    """Refuse graphs inside graphs that would take forever to read: every level reads all below it.

    Raises:
        CaptureError: more than ``depth`` levels, or more than ``nodes`` nodes times the levels above them.
    """
    level, work = [graph], 0
    for below in range(depth + 2):
        work += sum(len(item.node) for item in level) * max(below, 1)
        inner = [item for outer in level for node in outer.node for item in subgraphs(node)]
        if not inner:
            return
        if work > nodes or len(inner) > nodes:
            break
        level = inner
    raise CaptureError(
        complaint(
            "graphs nest too deep inside each other, or hold too much",
            where=f"graph {graph.name!r}",
            allowed=f"{depth} levels, {nodes} nodes in all",
            next_step="export the model without nested control flow",
        )
    )


def reads(graph: GraphProto) -> list[str]:
    """Every name a graph and the graphs inside it read, in order of appearance."""
    names: dict[str, None] = {}
    for node in graph.node:
        names.update(dict.fromkeys(all_inputs(node)))
    names.update(dict.fromkeys(info.name for info in graph.output))
    return [name for name in names if name]


def all_inputs(node: NodeProto) -> list[str]:
    """A node's inputs and what its subgraphs read from outside."""
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        made = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
        made.update(name for inner in graph.node for name in inner.output)
        names.extend(name for name in reads(graph) if name not in made)
    return names


def ordered(nodes: Sequence[NodeProto], made: Container[str], graph: str) -> list[tuple[int, NodeProto]]:
    """Nodes with their positions in the file, sorted so that values are made before they are read.

    The file's own order is kept where it is one, as the format demands.

    Raises:
        CaptureError: a cycle, or a value made twice.
    """
    producer: dict[str, int] = {}
    for position, node in enumerate(nodes):
        for name in node.output:
            if not name:
                continue
            if name in producer or name in made:
                raise CaptureError(
                    complaint(
                        "a value is made twice",
                        where=f"node {node.name or node.op_type!r} of graph {graph!r}",
                        got=repr(name),
                        next_step="give every value a name of its own",
                    )
                )
            producer[name] = position
    needs = [{producer[name] for name in all_inputs(node) if name in producer} for node in nodes]
    if all(other < position for position, others in enumerate(needs) for other in others):
        return list(enumerate(nodes))
    readers: dict[int, list[int]] = {}
    for position, others in enumerate(needs):
        for other in others:
            readers.setdefault(other, []).append(position)
    waiting = [len(others) for others in needs]
    ready = deque(position for position, count in enumerate(waiting) if count == 0)
    result: list[tuple[int, NodeProto]] = []
    while ready:
        position = ready.popleft()
        result.append((position, nodes[position]))
        for reader in readers.get(position, ()):
            waiting[reader] -= 1
            if waiting[reader] == 0:
                ready.append(reader)
    if len(result) < len(nodes):
        left = [nodes[i].name or f"{nodes[i].op_type}_{i}" for i, count in enumerate(waiting) if count > 0]
        raise CaptureError(
            complaint(
                "the graph has a cycle",
                where=f"graph {graph!r}",
                got=", ".join(map(repr, left[:6])) + (f" and {len(left) - 6} more" if len(left) > 6 else ""),
                allowed="nodes that read only what earlier nodes make",
                next_step="express loops with Loop or Scan",
            )
        )
    return result


def leading_to(nodes: Sequence[NodeProto], value: str, inputs: Sequence[str], where: str) -> GraphProto:
    """The part of a graph that computes a value from some others, as a graph of its own.

    Raises:
        CaptureError: the value does not depend on any of them.
    """
    producer = {name: node for node in nodes for name in node.output if name}
    graph = GraphProto(name=f"gradient of {value}")
    taken: set[int] = set()
    waiting, found = [value], False
    while waiting:
        name = waiting.pop()
        found = found or name in inputs
        node = producer.get(name)
        if name in inputs or node is None or id(node) in taken:
            continue
        taken.add(id(node))
        waiting.extend(all_inputs(node))
    if not found:
        raise CaptureError(complaint("a value does not depend on what it is to be derived by", where=where, got=value))
    graph.node.extend(node for node in nodes if id(node) in taken)
    for name in inputs:
        graph.input.add().name = name
    graph.output.add().name = value
    return graph
