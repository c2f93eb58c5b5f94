"""Read the text that :mod:`.text` prints back into a graph (without tensors)."""

from __future__ import annotations

import re
from typing import NoReturn

from ...runtime.errors import LightloomError, complaint
from ...runtime.program import BankSpec
from ...runtime.values import Arg, Dim, Ref, ScalarType, TensorType, Token, TupleType, ValueType
from .graph import STAGES, Bank, Column, Graph, Matrix, Node, Origin, Placement, Value

_TOKENS = re.compile(
    r"""(?P<space>[ \t\n]+)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<ref>[%@](?:[A-Za-z0-9_.$]+|"(?:[^"\\\n]|\\.)*"))
      | (?P<token>![A-Za-z0-9_.:+-]+)
      | (?P<number>-?(?:inf|nan)\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![A-Za-z_]))
      | (?P<name>[A-Za-z_$][A-Za-z0-9_.$]*)
      | (?P<punct>[:=(){}\[\],])""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


class ParseError(LightloomError):
    """IR text that does not follow the grammar."""


def unquote(literal: str) -> str:
    """The text of a double-quoted string literal."""
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match.group(1), match.group(1)), literal[1:-1])


class _Reader:
    """A cursor over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str, int]] = []
        self.at = 0
        position, line = 0, 1
        while position < len(text):
            match = _TOKENS.match(text, position)
            if match is None:
                raise ParseError(
                    complaint("unreadable character in IR text", where=f"line {line}", got=repr(text[position]))
                )
            kind = match.lastgroup or ""
            if kind != "space":
                self.tokens.append((kind, match.group(), line))
            line += match.group().count("\n")
            position = match.end()

    def fail(self, wanted: str) -> NoReturn:
        if self.at < len(self.tokens):
            _, got, line = self.tokens[self.at]
            raise ParseError(complaint("IR text breaks off", where=f"line {line}", got=repr(got), allowed=wanted))
        raise ParseError(complaint("IR text ends too early", allowed=wanted))

    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def peek(self, text: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at][1] == text

    def accept(self, text: str) -> bool:
        if self.peek(text):
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.fail(repr(text))

    def take(self, kind: str) -> str:
        if self.at >= len(self.tokens) or self.tokens[self.at][0] != kind:
            self.fail(f"a {kind}")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def string(self) -> str:
        return unquote(self.take("string"))

    def integer(self) -> int:
        text = self.take("number")
        try:
            return int(text)
        except ValueError:
            self.at -= 1
            self.fail("an integer")

    def name(self, sigil: str) -> str:
        """The name behind ``%`` or ``@``, unquoted."""
        if not (self.at < len(self.tokens) and self.tokens[self.at][1].startswith(sigil)):
            self.fail(f"a name after {sigil}")
        text = self.take("ref")[1:]
        return unquote(text) if text.startswith('"') else text


def _read_type(reader: _Reader) -> ValueType | None:
    if reader.accept("("):
        items: list[ValueType | None] = []
        while not reader.accept(")"):
            items.append(_read_type(reader))
            if not reader.peek(")"):
                reader.expect(",")
        return TupleType(tuple(items))
    name = reader.take("name")
    if name == "none":
        return None
    if not reader.accept("["):
        return ScalarType(name)
    dims: list[Dim] = []
    while not reader.accept("]"):
        kind = reader.kind()
        dims.append(
            reader.integer() if kind == "number" else reader.string() if kind == "string" else reader.take("name")
        )
        if not reader.peek("]"):
            reader.expect(",")
    return TensorType(name, tuple(dims))


def _value_type(reader: _Reader) -> ValueType:
    kind = _read_type(reader)
    return kind if kind is not None else reader.fail("a type")


def _tensor_type(reader: _Reader) -> TensorType:
    kind = _read_type(reader)
    return kind if isinstance(kind, TensorType) else reader.fail("a tensor type")


def _read_arg(reader: _Reader) -> Arg:
    kind = reader.kind()
    if kind == "ref":
        return Ref(reader.name("%"))
    if kind == "token":
        return Token(reader.take("token")[1:])
    if reader.accept("["):
        items: list[Arg] = []
        while not reader.accept("]"):
            items.append(_read_arg(reader))
            if not reader.peek("]"):
                reader.expect(",")
        return tuple(items)
    for word, value in (("none", None), ("true", True), ("false", False)):
        if reader.accept(word):
            return value
    if kind == "string":
        return reader.string()
    text = reader.take("number")
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def _read_call(reader: _Reader) -> tuple[tuple[Arg, ...], tuple[tuple[str, Arg], ...]]:
    reader.expect("(")
    args: list[Arg] = []
    kwargs: list[tuple[str, Arg]] = []
    while not reader.accept(")"):
        following = reader.tokens[reader.at + 1][1] if reader.at + 1 < len(reader.tokens) else ""
        if following == "=":
            key = reader.take("name")
            reader.expect("=")
            kwargs.append((key, _read_arg(reader)))
        else:
            args.append(_read_arg(reader))
        if not reader.peek(")"):
            reader.expect(",")
    return tuple(args), tuple(kwargs)


def _read_node(reader: _Reader) -> Node:
    name = reader.name("%")
    reader.expect(":")
    kind = _value_type(reader)
    reader.expect("=")
    op = reader.take("name")
    args, kwargs = _read_call(reader)
    placement = None
    if reader.accept("on"):
        where = reader.take("name")
        reader.expect("because")
        placement = Placement(where, reader.string())
    path = reader.string() if reader.accept("from") else ""
    passes: list[str] = []
    if reader.accept("via"):
        passes.append(reader.take("name"))
        while reader.accept(","):
            passes.append(reader.take("name"))
    return Node(name, op, args, kind, kwargs, Origin(path, tuple(passes)), placement)


def _read_matrix(reader: _Reader) -> Matrix:
    name = reader.name("@")
    reader.expect(":")
    groups = reader.integer()
    reader.expect("x")
    rows = reader.integer()
    reader.expect("x")
    cols = reader.integer()
    blocks = 1
    if reader.accept("in"):
        blocks = reader.integer()
        reader.expect("blocks")
    reader.expect("of")
    weight = reader.name("%")
    return Matrix(name, weight, groups, rows, cols, blocks, dynamic=reader.accept("dynamic"))


def _read_bank(reader: _Reader) -> Bank:
    name = reader.name("@")
    _, fields = _read_call(reader)
    reader.expect("{")
    columns: list[Column] = []
    while not reader.accept("}"):
        column = reader.take("name")
        reader.expect(":")
        kind = _tensor_type(reader)
        columns.append(Column(column, kind.dtype, tuple(int(dim) for dim in kind.shape)))
        if not reader.peek("}"):
            reader.expect(",")
    try:
        return Bank(BankSpec(name, **dict(fields)), tuple(columns))  # type: ignore[arg-type]
    except TypeError as error:
        raise ParseError(complaint("bank with wrong fields", where=f"@{name}", got=str(error))) from error


def parse(text: str) -> Graph:
    """Read the text of a graph.

    Args:
        text: What :func:`show` printed.

    Returns:
        The graph, equal to the printed one; its store and tables are empty.

    Raises:
        ParseError: the text does not follow the grammar; says the line and what was expected.
    """
    reader = _Reader(text)
    stage = reader.take("name")
    if stage not in STAGES:
        raise ParseError(complaint("unknown stage in IR text", got=stage, allowed=", ".join(STAGES)))
    name = reader.string()
    reader.expect("{")
    inputs: list[Value] = []
    constants: list[Value] = []
    matrices: list[Matrix] = []
    banks: list[Bank] = []
    nodes: list[Node] = []
    for word, values in (("input", inputs), ("const", constants)):
        while reader.accept(word):
            value = reader.name("%")
            reader.expect(":")
            values.append(Value(value, _tensor_type(reader)))
    while reader.accept("matrix"):
        matrices.append(_read_matrix(reader))
    while reader.accept("bank"):
        banks.append(_read_bank(reader))
    while reader.kind() == "ref":
        nodes.append(_read_node(reader))
    reader.expect("return")
    outputs: list[Arg] = []
    while not reader.peek("}"):
        outputs.append(_read_arg(reader))
        if not reader.peek("}"):
            reader.expect(",")
    reader.expect("}")
    if reader.at != len(reader.tokens):
        reader.fail("the end of the text")
    return Graph(
        stage,
        name,
        tuple(inputs),
        tuple(constants),
        tuple(nodes),
        tuple(outputs),
        tuple(matrices),
        tuple(banks),
    )
