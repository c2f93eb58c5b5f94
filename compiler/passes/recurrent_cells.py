"""Recurrent cells, one time step each: two linear products, and the gates as host ops."""

from __future__ import annotations

from ...runtime.recurrent import GATES
from ...runtime.values import Arg, Ref, TensorType
from ..ir import Graph, Node
from .rewriting import Writer

CELLS = {f"aten.{kind}_cell.default": kind for kind in GATES}


def expand_cell(node: Node, graph: Graph, writer: Writer) -> tuple[str, ...] | None:
    """Write a cell as linears and gates (equations in :mod:`lightloom.runtime.recurrent`).

    Returns:
        Names of its results: h and, of an LSTM, c. None, and nothing written, where a weight is no constant.
    """
    x, hx, *parameters = node.args
    parameters = [*parameters, None, None][:4]
    if any(isinstance(arg, Ref) and arg.name not in graph.store for arg in parameters):
        return None
    kind = CELLS[node.op]
    states = hx if isinstance(hx, tuple) else (hx,)
    path = node.origin.path
    prefix = f"{path}.weight" if path else "weight"
    ih = _linear(writer, f"{node.name}.ih", x, parameters[0], parameters[2], f"{prefix}_ih")
    hh = _linear(writer, f"{node.name}.hh", states[0], parameters[1], parameters[3], f"{prefix}_hh")
    width = int(writer.tensor(parameters[0]).shape[0]) // GATES[kind]
    if kind == "lstm":
        return _lstm(writer, ih, hh, states[-1], width)
    if kind == "gru":
        return _gru(writer, ih, hh, states[0], width)
    total = writer.elementwise("add.Tensor", ih, hh, what="sum")
    return (writer.elementwise(f"{kind.removeprefix('rnn_')}.default", total, what="h").name,)


def _linear(writer: Writer, name: str, x: Arg, weight: Arg, bias: Arg, path: str) -> Ref:
    kind = writer.tensor(x)
    shape = (*kind.shape[:-1], writer.tensor(weight).shape[0])
    return writer.add(name, "ll.linear", (x, weight, bias), TensorType(kind.dtype, shape), path)


def _lstm(writer: Writer, x: Ref, y: Ref, c: Arg, width: int) -> tuple[str, ...]:
    total = writer.elementwise("add.Tensor", x, y, what="sum")
    parts = [writer.sliced(total, i * width, (i + 1) * width, name) for i, name in enumerate("ifgo")]
    i, f, o = (writer.elementwise("sigmoid.default", parts[k], what="gate") for k in (0, 1, 3))
    g = writer.elementwise("tanh.default", parts[2], what="gate")
    kept = writer.elementwise("mul.Tensor", f, c, what="kept")
    new = writer.elementwise("mul.Tensor", i, g, what="new")
    c_next = writer.elementwise("add.Tensor", kept, new, what="c")
    bounded = writer.elementwise("tanh.default", c_next, what="tanh")
    return writer.elementwise("mul.Tensor", o, bounded, what="h").name, c_next.name


def _gru(writer: Writer, x: Ref, y: Ref, h: Arg, width: int) -> tuple[str, ...]:
    (x_r, x_z, x_n), (y_r, y_z, y_n) = (
        [writer.sliced(arg, i * width, (i + 1) * width, name) for i, name in enumerate("rzn")] for arg in (x, y)
    )
    r, z = (
        writer.elementwise("sigmoid.default", writer.elementwise("add.Tensor", a, b, what="sum"), what="gate")
        for a, b in ((x_r, y_r), (x_z, y_z))
    )
    gated = writer.elementwise("mul.Tensor", r, y_n, what="reset")
    n = writer.elementwise("tanh.default", writer.elementwise("add.Tensor", x_n, gated, what="sum"), what="n")
    moved = writer.elementwise("mul.Tensor", z, writer.elementwise("sub.Tensor", h, n, what="rest"), what="moved")
    return (writer.elementwise("add.Tensor", n, moved, what="h").name,)
