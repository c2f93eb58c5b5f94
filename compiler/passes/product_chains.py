"""Products of several operands as products of two, where all but one operand are constants."""

from __future__ import annotations

from dataclasses import replace

from ...runtime.values import Dim, Ref, TensorType, ValueType
from ..ir import Node
from .constants import Constants
from .products import CHAINS


def pairs(node: Node, types: dict[str, ValueType], constants: Constants) -> list[Node]:
    """The node, or the products of two that make it up: the runtime operand times each constant in turn.

    Args:
        node: Any node; ``linalg_multi_dot``, ``chain_matmul`` and ``einsum`` of three or more are taken apart.
        types: The types of all named values.
        constants: What is constant, and new names.
    """
    equation = node.args[0] if node.op == "aten.einsum.default" else None
    listed = node.args[1] if equation is not None else node.args[0] if node.op in CHAINS else None
    if not isinstance(listed, tuple) or len(listed) < 3 - (equation is None) or not isinstance(node.type, TensorType):
        return [node]
    kinds = [types.get(item.name) if isinstance(item, Ref) else None for item in listed]
    operands = [(item, kind.shape) for item, kind in zip(listed, kinds, strict=True) if isinstance(kind, TensorType)]
    runtime = [ref for ref, _ in operands if isinstance(ref, Ref) and ref.name not in constants.store]
    if len(operands) != len(listed) or len(runtime) != 1:
        return [node]
    if equation is None:
        letters = "abcdefghijklmnopqrstuvwxyz"[: len(operands) + 1]
        terms = [letters[place : place + 2] for place in range(len(operands))]
        terms[0] = terms[0][-len(operands[0][1]) :]
        terms[-1] = terms[-1][: len(operands[-1][1])]
        out = letters[: len(operands[0][1]) - 1] + letters[len(letters) - len(operands[-1][1]) + 1 :]
    else:
        left, arrow, out = str(equation).replace(" ", "").partition("->")
        terms = left.split(",")
        if not arrow or "." in left or any(len(set(term)) < len(term) for term in terms):
            return [node]
    return _taken_apart(node, terms, out, operands, listed.index(runtime[0]), constants)  # type: ignore[arg-type]


def _taken_apart(
    node: Node,
    terms: list[str],
    out: str,
    operands: list[tuple[Ref, tuple[Dim, ...]]],
    runtime: int,
    constants: Constants,
) -> list[Node]:
    sizes = {
        letter: dim
        for term, (_, shape) in zip(terms, operands, strict=True)
        for letter, dim in zip(term, shape, strict=True)
    }
    value, term = operands[runtime][0], terms[runtime]
    rest = [place for place in range(len(terms)) if place != runtime]
    made: list[Node] = []
    while rest:
        place = next((place for place in rest if set(terms[place]) & set(term)), None)
        if place is None:
            return [node]
        rest.remove(place)
        needed = set(out).union(*(terms[other] for other in rest))
        result = out if not rest else "".join(dict.fromkeys(c for c in term + terms[place] if c in needed))
        kind = TensorType(node.type.dtype, tuple(sizes[letter] for letter in result))  # type: ignore[union-attr]
        name = node.name if not rest else constants.unique(f"{node.name}$pair{len(made)}")
        equation = f"{term},{terms[place]}->{result}"
        made.append(
            replace(
                node,
                name=name,
                op="aten.einsum.default",
                args=(equation, (value, operands[place][0])),
                kwargs=(),
                type=kind,
            )
        )
        value, term = Ref(name), result
    return made
