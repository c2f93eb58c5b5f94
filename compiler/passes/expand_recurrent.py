"""Recurrent layers in the ops they are made of: products of the whole sequence, and one loop a direction.

A layer of LSTM, GRU or RNN becomes, for each direction, an ``ll.linear`` of the whole sequence with the input
weights, and one ``ll.recurrent``: the loop over time with the hidden weights. Nothing is unrolled: the loop is
one node, whatever the length of the sequence. Inside, sequences are (samples, time, features).

``ll.recurrent(x, h, c, hidden weights, hidden bias, projection weights)`` with ``kind`` and ``reverse`` yields
(sequence, h) or, with a c, (sequence, h, c); absent operands are none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from ...runtime.errors import CompileError, complaint
from ...runtime.recurrent import GATES
from ...runtime.targets import Target
from ...runtime.values import Arg, Ref, TensorType, TupleType, rename
from ..ir import Graph, Node
from .base import Options, matches
from .recurrent_cells import CELLS, expand_cell
from .rewriting import Writer

SEQUENCES = {f"aten.{kind}.input": kind for kind in GATES}


@dataclass(frozen=True)
class ExpandRecurrent:
    """Expand the recurrent layers that the chip will hold; the others keep their ATen op, on the host.

    Layers stay whole that the user excludes, whose weights are computed at run time, or whose results are used
    as a tuple. The parts are called after torch's parameters: ``lstm.weight_ih_l0``, ``lstm.weight_hh_l0_reverse``.
    """

    options: Options = field(default_factory=Options)
    name: ClassVar[str] = "expand_recurrent"
    consumes: ClassVar[str] = "nn"
    produces: ClassVar[str] = "nn"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`.

        Raises:
            CompileError: dropout between layers that is switched on, or an ``exclude`` that would split a loop.
        """
        del target
        nodes: list[Node] = []
        names: dict[str, str] = {}
        writer = Writer(graph, self.name)
        for node in graph.nodes:
            node = replace(
                node,
                args=tuple(rename(arg, names) for arg in node.args),
                kwargs=tuple((key, rename(value, names)) for key, value in node.kwargs),
            )
            writer.path = node.origin.path
            found = self._results(node, graph, writer)
            if found is None:
                nodes.append(node)
                continue
            nodes += writer.take()
            if isinstance(node.type, TupleType):
                users = [user for user in graph.nodes if _item(user, node.name) is not None]
                names |= {user.name: found[_item(user, node.name) or 0] for user in users}
            else:
                names[node.name] = found[0]
        if not names:
            return graph
        outputs = tuple(rename(arg, names) for arg in graph.outputs)
        kept = tuple(node for node in nodes if node.name not in names)
        return replace(graph, outputs=outputs).with_nodes(kept)

    def _results(self, node: Node, graph: Graph, writer: Writer) -> tuple[str, ...] | None:
        """Names of the values that take the place of a node's results; None where it stays as it is."""
        if node.op not in SEQUENCES and node.op not in CELLS:
            return None
        path = node.origin.path
        if any(matches(path, glob) for glob in self.options.exclude) or not _itemized(node, graph):
            return None
        if node.op in CELLS:
            return expand_cell(node, graph, writer)
        return self._sequence(node, graph, writer)

    def _sequence(self, node: Node, graph: Graph, writer: Writer) -> tuple[str, ...] | None:
        x, hx, parameters, has_biases, layers, _, _, bidirectional, batch_first = node.args
        states = hx if isinstance(hx, tuple) else (hx,)
        constant = isinstance(parameters, tuple) and all(
            isinstance(arg, Ref) and arg.name in graph.store and graph.store[arg.name].is_floating_point()
            for arg in parameters
        )
        if not constant or not isinstance(parameters, tuple) or not isinstance(layers, int):
            return None
        loop = _Loops(node, writer, SEQUENCES[node.op], states, self.options)
        if not batch_first:
            x = writer.transposed(x)
        directions = 2 if bidirectional else 1
        each = len(parameters) // (layers * directions)  # two matrices, their biases, a projection
        for layer in range(layers):
            parts = [
                _parts(parameters[(layer * directions + d) * each :][:each], bool(has_biases))
                for d in range(directions)
            ]
            x = loop.layer(x, layer, parts)
        sequence = x if batch_first else writer.transposed(x)
        finals = [writer.stacked(items) for items in loop.finals]
        return tuple(arg.name for arg in (sequence, *finals) if isinstance(arg, Ref))


Parts = tuple[Arg, Arg, Arg, Arg, Arg]
"""Input weights, hidden weights, input bias, hidden bias, projection weights; None where there are none."""


def _parts(arguments: tuple[Arg, ...], has_biases: bool) -> Parts:
    biases = arguments[2:4] if has_biases else (None, None)
    rest = arguments[4:] if has_biases else arguments[2:]
    return arguments[0], arguments[1], biases[0], biases[1], rest[0] if rest else None


class _Loops:
    """Writes the layers of one recurrent module; ``finals`` are the last h and c of every direction."""

    def __init__(self, node: Node, writer: Writer, kind: str, states: tuple[Arg, ...], options: Options) -> None:
        self.node, self.writer, self.kind, self.states, self.options = node, writer, kind, states, options
        self.finals: list[list[Arg]] = [[] for _ in states]

    def layer(self, x: Arg, layer: int, parts: list[Parts]) -> Arg:
        """The sequence that a layer makes of its input (N, T, features); products first, so that loops overlap."""
        products = [self._product(x, layer, direction, part) for direction, part in enumerate(parts)]
        made = [self._loop(products[d], layer, d, part, len(parts)) for d, part in enumerate(parts)]
        return made[0] if len(made) == 1 else self.writer.joined(made)

    def _path(self, what: str, layer: int, direction: int) -> str:
        path, name = self.node.origin.path, f"{what}_l{layer}{'_reverse' if direction else ''}"
        return f"{path}.{name}" if path else name

    def _product(self, x: Arg, layer: int, direction: int, part: Parts) -> Arg:
        kind = self.writer.tensor(x)
        rows = self.writer.tensor(part[0]).shape[0]
        return self.writer.add(
            f"{self.node.name}.ih_l{layer}{'_reverse' if direction else ''}",
            "ll.linear",
            (x, part[0], part[2]),
            TensorType(kind.dtype, (*kind.shape[:-1], rows)),
            self._path("weight_ih", layer, direction),
        )

    def _loop(self, products: Arg, layer: int, direction: int, part: Parts, directions: int) -> Arg:
        writer = self.writer
        _, weight, _, bias, projection = part
        self._refuse_split([self._path("weight_hh", layer, direction), self._path("weight_hr", layer, direction)])
        kind = writer.tensor(products)
        samples, times = kind.shape[:2]
        hidden = int(writer.tensor(weight).shape[0]) // GATES[self.kind]
        kept = int(writer.tensor(weight).shape[1])
        index = layer * directions + direction
        states = [writer.selected(state, index) for state in self.states]
        sizes = (kept, hidden)[: len(states)]
        results = (
            TensorType(kind.dtype, (samples, times, kept)),
            *(TensorType(kind.dtype, (samples, size)) for size in sizes),
        )
        name = f"{self.node.name}.l{layer}{'_reverse' if direction else ''}"
        loop = writer.add(
            name,
            "ll.recurrent",
            (products, states[0], states[1] if len(states) > 1 else None, weight, bias, projection),
            TupleType(results),
            self._path("weight_hh", layer, direction),
            (("kind", self.kind), ("reverse", bool(direction))),
        )
        items = [writer.add(f"{name}.{i}", "py.getitem", (loop, i), item) for i, item in enumerate(results)]
        for final, item in zip(self.finals, items[1:], strict=True):
            final.append(item)
        return items[0]

    def _refuse_split(self, paths: list[str]) -> None:
        glob = next((glob for glob in self.options.exclude for path in paths if matches(path, glob)), None)
        if glob is not None:
            raise CompileError(
                complaint(
                    "the loop of a recurrent layer cannot be taken apart",
                    where=self.node.origin.path or self.node.name,
                    got=f"exclude={glob!r}",
                    allowed="the whole layer, or its input weights (weight_ih_*)",
                    next_step=f"exclude {self.node.origin.path!r}" if self.node.origin.path else "",
                )
            )


def _item(user: Node, name: str) -> int | None:
    """Which result of node ``name`` a node takes out of the tuple, if that is what it does."""
    if user.op == "py.getitem" and user.args[0] == Ref(name) and isinstance(user.args[1], int):
        return user.args[1]
    return None


def _itemized(node: Node, graph: Graph) -> bool:
    """Whether a node yields one tensor, or its results are only ever taken one by one."""
    if not isinstance(node.type, TupleType):
        return True
    users = [user for user in graph.nodes if node.name in user.reads]
    taken = all(_item(user, node.name) is not None for user in users)
    return taken and Ref(node.name) not in graph.outputs
