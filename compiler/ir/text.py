"""Print a graph as text, one op a line: deterministic, and :mod:`.parse` reads it back."""

from __future__ import annotations

import re

from ...runtime.values import Arg, Dim, Ref, ScalarType, TensorType, Token, TupleType, ValueType
from .graph import Bank, Graph, Matrix, Node

_PLAIN_DIM = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.$]+\Z")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(text: str) -> str:
    """A double-quoted string literal of the IR."""
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def show_name(name: str, sigil: str = "%") -> str:
    """A value (``%``) or matrix (``@``) name; names with unusual characters are quoted."""
    return sigil + (name if _PLAIN_NAME.match(name) else quote(name))


def _show_dim(dim: Dim) -> str:
    if isinstance(dim, int) or _PLAIN_DIM.match(dim):
        return str(dim)
    return quote(dim)


def show_type(kind: ValueType | None) -> str:
    """A type: ``f32[s0, 10]``, ``int``, ``(f32[3], none)``."""
    match kind:
        case None:
            return "none"
        case TensorType(dtype, shape):
            return f"{dtype}[{', '.join(map(_show_dim, shape))}]"
        case ScalarType(name):
            return name
        case TupleType(items):
            return f"({', '.join(map(show_type, items))})"


def show_arg(arg: Arg) -> str:
    """An argument: literals, ``%refs``, ``!tokens`` and ``[lists]``."""
    match arg:
        case None:
            return "none"
        case bool():
            return "true" if arg else "false"
        case int() | float():
            return repr(arg)
        case str():
            return quote(arg)
        case Ref(name):
            return show_name(name)
        case Token(text):
            return f"!{text}"
        case tuple():
            return f"[{', '.join(map(show_arg, arg))}]"


def _show_node(node: Node) -> str:
    args = [show_arg(arg) for arg in node.args]
    args += [f"{key}={show_arg(value)}" for key, value in node.kwargs]
    text = f"{show_name(node.name)}: {show_type(node.type)} = {node.op}({', '.join(args)})"
    if node.placement:
        text += f" on {node.placement.where} because {quote(node.placement.reason)}"
    if node.origin.path:
        text += f" from {quote(node.origin.path)}"
    if node.origin.passes:
        text += f" via {', '.join(node.origin.passes)}"
    return text


def _show_matrix(matrix: Matrix) -> str:
    size = f"{matrix.groups} x {matrix.rows} x {matrix.cols}"
    if matrix.blocks > 1:
        size += f" in {matrix.blocks} blocks"
    ending = " dynamic" if matrix.dynamic else ""
    return f"matrix {show_name(matrix.name, '@')}: {size} of {show_name(matrix.weight)}{ending}"


def _show_bank(bank: Bank) -> str:
    spec = bank.spec
    fields: list[tuple[str, Arg]] = [
        ("topology", spec.topology),
        ("ports", spec.ports),
        ("groups", spec.groups),
        ("rows", spec.rows),
        ("cols", spec.cols),
        ("tiles", spec.tiles),
        ("phase_bits", spec.phase_bits),
        ("attenuator_bits", spec.attenuator_bits),
    ]
    if spec.blocks > 1:
        fields.append(("blocks", spec.blocks))
    if spec.layers is not None:
        fields.append(("layers", spec.layers))
    if spec.dynamic:
        fields.append(("dynamic", True))
    head = ", ".join(f"{key}={show_arg(value)}" for key, value in fields)
    columns = ", ".join(
        f"{column.name}: {column.dtype}[{', '.join(map(str, column.shape))}]" for column in bank.columns
    )
    return f"bank {show_name(spec.name, '@')}({head}) {{{columns}}}"


def show(graph: Graph) -> str:
    """The text of a graph. ``parse(show(g)) == g``.

    Args:
        graph: A graph of any stage.

    Returns:
        The text, ending in a newline.
    """
    lines = [f"{graph.stage} {quote(graph.name)} {{"]
    lines += [f"  input {show_name(v.name)}: {show_type(v.type)}" for v in graph.inputs]
    lines += [f"  const {show_name(v.name)}: {show_type(v.type)}" for v in graph.constants]
    lines += [f"  {_show_matrix(matrix)}" for matrix in graph.matrices]
    lines += [f"  {_show_bank(bank)}" for bank in graph.banks]
    lines += [f"  {_show_node(node)}" for node in graph.nodes]
    lines += [f"  return {', '.join(map(show_arg, graph.outputs))}", "}"]
    return "\n".join(lines) + "\n"
