"""Symbolic sizes of a program's inputs: bound by the tensors of a run, and checked against their ranges."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence

from .errors import InputError, complaint
from .values import Dim

_BINARY: dict[type[ast.AST], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_MAX_TEXT = 1000


class Sizes:
    """The sizes of one run's symbols."""

    def __init__(self, ranges: Mapping[str, tuple[int, int | None]]) -> None:
        self._ranges = ranges
        self._known: dict[str, tuple[int, str]] = {}
        self._derived: list[tuple[str, int, str]] = []

    def bind(self, declared: Sequence[Dim], shape: Sequence[int], where: str) -> None:
        """Take the sizes of one input.

        Raises:
            InputError: a symbol that was bound to another size, or whose range excludes this one.
        """
        for want, got in zip(declared, shape, strict=True):
            if isinstance(want, int):
                continue
            if not want.isidentifier():
                self._derived.append((want, got, where))
                continue
            low, high = self._ranges.get(want, (0, None))
            if got < low or (high is not None and got > high):
                raise InputError(
                    complaint("a size is out of range", where=where, got=f"{want} = {got}",
                              allowed=show_range(want, low, high))
                )  # fmt: skip
            size, first = self._known.setdefault(want, (got, where))
            if size != got:
                raise InputError(
                    complaint("inputs disagree on a size", where=where, got=f"{want} = {got}",
                              allowed=f"{want} = {size}, as in {first}")
                )  # fmt: skip

    def check(self) -> None:
        """Check the dimensions that are computed from symbols, such as ``2*s0``.

        Raises:
            InputError: a size that is not what the other inputs make it.
        """
        known = {name: size for name, (size, _) in self._known.items()}
        for text, got, where in self._derived:
            wanted = evaluate(text, known)
            if wanted is None:
                wanted = _multiple(text, got)
                allowed = f"a size of the form {text}"
            else:
                allowed = f"{text} = {wanted}"
            if wanted is not None and wanted != got:
                raise InputError(complaint("a size does not fit", where=where, got=got, allowed=allowed))


def show_range(name: str, low: int, high: int | None) -> str:
    """``2 <= name <= 64`` in words: ``name from 2 to 64``."""
    return f"{name} of {low} or more" if high is None else f"{name} from {low} to {high}"


def evaluate(text: str, known: Mapping[str, int]) -> int | None:
    """The value of a symbolic size, an expression of integers, symbols and ``+ - * // %``.

    None where a symbol is not known or the text holds anything else: nothing of it is ever executed.
    """
    if len(text) > _MAX_TEXT:
        return None
    try:
        return _value(ast.parse(text, mode="eval").body, known)
    except (SyntaxError, ValueError, RecursionError, MemoryError, ZeroDivisionError, KeyError):
        return None


def _value(node: ast.AST, known: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            return number
        case ast.Name(id=name):
            return known[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, known)
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _BINARY:
            return _BINARY[type(operation)](_value(left, known), _value(right, known))
        case ast.Call(func=ast.Name(id="FloorDiv" | "CleanDiv"), args=[left, right], keywords=[]):
            return _value(left, known) // _value(right, known)
        case ast.Call(func=ast.Name(id="Mod" | "PythonMod"), args=[left, right], keywords=[]):
            return _value(left, known) % _value(right, known)
    raise ValueError("not an expression of sizes")


def _multiple(text: str, got: int) -> int | None:
    """The nearest size at or below ``got`` that ``factor*symbol + rest`` can be, for text of that form."""
    try:
        names = {node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if len(text) > _MAX_TEXT or len(names) != 1:
        return None
    (name,) = names
    values = [evaluate(text, {name: value}) for value in (0, 1, 2)]
    zero, one, two = values
    if zero is None or one is None or two is None or two - one != one - zero or one <= zero:
        return None
    return zero + (got - zero) // (one - zero) * (one - zero)
