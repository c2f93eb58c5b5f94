"""Trees of inputs and outputs in a file: their form, their keys, and that leaves name what is there."""

from __future__ import annotations

import keyword
from typing import Any

from ..program import ProgramBody
from .codec import MAX_DEPTH, fault

_LITERALS = (bool, int, float, str)


def check_structures(body: ProgramBody, where: str) -> None:
    """Check the tree of the outputs and those of the parameters.

    Raises:
        ArtefactError: a tree of no known form, a leaf of a missing output, an input in no parameter or in two.
    """
    found = _leaves(body.structure, f"{where}, structure")
    if any(leaf not in range(len(body.outputs)) for leaf in found):
        raise fault("The output structure names a missing output", where, found, f"0 to {len(body.outputs) - 1}")
    if not body.parameters:
        return
    names = [parameter.name for parameter in body.parameters]
    if len(set(names)) != len(names):
        raise fault("Two parameters have the same name", where, names)
    held: list[int] = []
    for parameter in body.parameters:
        held += _leaves(parameter.tree, f"{where}, parameter {parameter.name}", constants=True)
    if sorted(held) != list(range(len(body.inputs))):
        raise fault("Parameters and inputs disagree", where, held, "every input in one parameter")


def _leaves(tree: Any, place: str, depth: int = 0, constants: bool = False) -> list[int]:
    """The numbers of a tree's leaves, after its form has been checked."""
    if depth <= MAX_DEPTH and isinstance(tree, dict) and len(tree) == 1:
        ((kind, content),) = tree.items()
        if kind == "leaf" and type(content) is int:
            return [content]
        if kind == "none" and content is True:
            return []
        if kind == "constant" and constants and isinstance(content, _LITERALS):
            return []
        children = _children(kind, content)
        if children is not None:
            return [leaf for child in children for leaf in _leaves(child, place, depth + 1, constants)]
    raise fault("A structure is not understood", place, tree)


def _children(kind: str, content: Any) -> list[Any] | None:
    """The trees in a tree of a known form; None for any other."""
    if kind in ("tuple", "list") and isinstance(content, list | tuple):
        return list(content)
    if kind == "dict":
        pairs = _pairs(content)
        return None if pairs is None else list(pairs.values())
    if kind == "record" and isinstance(content, dict) and set(content) == {"class", "fields"}:
        name, fields = content["class"], _pairs(content["fields"])
        if isinstance(name, str) and fields is not None and all(_is_field(field) for field in fields):
            return list(fields.values())
    return None


def _pairs(content: Any) -> dict[Any, Any] | None:
    """Keys and trees, where every key is a literal and there once; 1 and True are one key in Python."""
    if not isinstance(content, list | tuple):
        return None
    found: dict[Any, Any] = {}
    for pair in content:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], _LITERALS):
            return None
        if pair[0] in found:
            return None
        found[pair[0]] = pair[1]
    return found


def _is_field(name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
