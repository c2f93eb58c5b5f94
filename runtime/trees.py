"""Trees of tuples, lists, dicts and records: how a model takes its inputs and gives its outputs.

A tree is plain data, so that a file can hold it: ``{"leaf": 3}`` is the fourth value of a flat list, ``{"none": true}``
is None, ``{"constant": 0.5}`` a number or text that was compiled in; ``{"tuple": [...]}`` and ``{"list": [...]}`` hold
trees; ``{"dict": [[key, tree], ...]}`` keeps keys as they are (1 is not "1"); ``{"record": {"class": "module:Name",
"fields": [[name, tree], ...]}}`` is a named tuple or a dataclass.
"""

from __future__ import annotations

import dataclasses
import keyword
import math
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch.utils import _pytree as pytree

from .errors import VerifyError, complaint

Tree = Mapping[str, Any]
MAX_SHOWN = 400


class Mismatch(Exception):
    """A value that is not of a tree's form: where, what was given, and what the tree has there."""

    def __init__(self, where: str, got: str, wanted: str) -> None:
        super().__init__(where, got, wanted)
        self.where, self.got, self.wanted = where, got, wanted


def leaves(tree: Any) -> Iterator[int]:
    """Numbers of the leaves, in order."""
    for kind, content in tree.items():
        if kind == "leaf":
            yield content
        for child in _children(kind, content):
            yield from leaves(child)


def _children(kind: str, content: Any) -> list[Tree]:
    if kind in ("tuple", "list"):
        return list(content)
    if kind == "dict":
        return [child for _, child in content]
    return [child for _, child in content["fields"]] if kind == "record" else []


def structured(tree: object, values: Sequence[Any]) -> Any:
    """Put flat values into a tree.

    A record becomes an object of its class where that is loaded already and has these fields; a file never makes
    Python import anything. Else it becomes a stand-in of the same name and fields.
    """
    match tree:
        case {"leaf": int(index)} if 0 <= index < len(values):
            return values[index]
        case {"none": _}:
            return None
        case {"constant": value}:
            return value
        case {"tuple": list() | tuple() as items}:
            return tuple(structured(item, values) for item in items)
        case {"list": list() | tuple() as items}:
            return [structured(item, values) for item in items]
        case {"dict": list() | tuple() as items}:
            return {key: structured(item, values) for key, item in items}
        case {"record": {"class": str(name), "fields": list() | tuple() as items}}:
            return _record(name, {key: structured(item, values) for key, item in items})
    raise VerifyError(complaint("unknown structure", got=repr(tree)[:200], allowed="leaf, tuple, list, dict, record"))


def _record(name: str, fields: dict[str, Any]) -> Any:
    found = _known(name)
    names = tuple(fields)
    if isinstance(found, type) and issubclass(found, tuple) and getattr(found, "_fields", None) == names:
        return tuple.__new__(found, fields.values())
    if (
        isinstance(found, type)
        and hasattr(found, "n_sequence_fields")
        and getattr(found, "__match_args__", ()) == names
    ):
        return found(fields.values())  # torch.return_types: a sequence of C, with names
    if found in pytree.SUPPORTED_NODES and dataclasses.is_dataclass(found) and callable(found):
        known = {field.name for field in dataclasses.fields(found) if field.init}
        if known.issuperset(names):
            return found(**fields)
    title = name.rpartition(":")[2].rpartition(".")[2]
    title = title if title.isidentifier() and not keyword.iskeyword(title) else "Record"
    if name.startswith("tuple:"):
        return namedtuple(title, names)(**fields)
    return dataclasses.make_dataclass(title, names)(**fields)


def record_name(kind: type) -> str:
    """What a file calls the class of a record: ``module:Name``, after ``tuple:`` where it is a named tuple."""
    name = f"{kind.__module__}:{kind.__qualname__}"
    return f"tuple:{name}" if issubclass(kind, tuple) else name


def _known(name: str) -> Any:
    """The class of that name, if its module is loaded."""
    module, _, path = name.removeprefix("tuple:").partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = vars(found).get(part) if found is not None and hasattr(found, "__dict__") else None
    return found


def taken_apart(tree: Tree, value: Any, where: str, take: Callable[[int, Any], None]) -> None:
    """Hand every leaf of a value to ``take``, with its number; dicts by key, records by field, never by position alone.

    Raises:
        Mismatch: the value is not of this form, or a constant is not the one that was compiled in.
    """
    ((kind, content),) = tree.items()
    if kind == "leaf":
        if value is None or isinstance(value, Mapping | tuple | list):
            raise _mismatch(tree, value, where)
        take(content, value)
    elif kind in ("none", "constant"):
        if not _same(None if kind == "none" else content, value):
            raise _mismatch(tree, value, where)
    elif kind in ("tuple", "list"):
        if not isinstance(value, tuple | list) or len(value) != len(content):
            raise _mismatch(tree, value, where)
        for place, (child, item) in enumerate(zip(content, value, strict=True)):
            taken_apart(child, item, f"{where}[{place}]", take)
    elif kind == "dict":
        if not isinstance(value, Mapping) or {key for key, _ in content} != set(value):
            raise _mismatch(tree, value, where)
        for key, child in content:
            taken_apart(child, value[key], f"{where}[{key!r}]", take)
    else:
        fields, held = _fields(value), {name: "none" in child for name, child in content["fields"]}
        given = {name for name, item in (fields or {}).items() if item is not None}
        if fields is None or not {name for name, absent in held.items() if not absent} <= given <= set(held):
            raise _mismatch(tree, value, where)
        for name, child in content["fields"]:
            taken_apart(child, fields.get(name), f"{where}.{name}", take)


def _fields(value: Any) -> Mapping[str, Any] | None:
    """The fields of a record, whether it is a dict, a named tuple or a dataclass."""
    if isinstance(value, Mapping):
        return value
    names = getattr(value, "_fields", None)
    if isinstance(value, tuple) and names is not None:
        return dict(zip(names, value, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _same(constant: Any, value: Any) -> bool:
    if constant is None or value is None or isinstance(constant, bool | str) or isinstance(value, bool | str):
        return type(constant) is type(value) and constant == value
    if not isinstance(value, int | float) or not isinstance(constant, int | float):
        return False
    return constant == value or (math.isnan(constant) and math.isnan(value))


def _mismatch(tree: Tree, value: Any, where: str) -> Mismatch:
    return Mismatch(where, shown_value(value), shown(tree))


def shown(tree: Tree) -> str:
    """A tree as a user would write it, ``T`` for a tensor: ``{'a': T, 'b': (T, T)}``."""
    ((kind, content),) = tree.items()
    if kind == "leaf":
        return "T"
    if kind in ("none", "constant"):
        return repr(None if kind == "none" else content)
    if kind in ("tuple", "list"):
        return _sequence([shown(child) for child in content], kind == "list")
    if kind == "dict":
        return "{" + ", ".join(f"{key!r}: {shown(child)}" for key, child in content) + "}"
    name = content["class"].rpartition(":")[2]
    return f"{name}({', '.join(f'{field}={shown(child)}' for field, child in content['fields'])})"


def shown_value(value: Any, depth: int = 0) -> str:
    """A value in the form of :func:`shown`."""
    if depth > 8:
        return "..."
    fields = None if isinstance(value, Mapping) else _fields(value)
    if fields is not None:
        inner = ", ".join(f"{name}={shown_value(item, depth + 1)}" for name, item in fields.items())
        text = f"{type(value).__name__}({inner})"
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key!r}: {shown_value(item, depth + 1)}" for key, item in value.items()) + "}"
    elif isinstance(value, tuple | list):
        text = _sequence([shown_value(item, depth + 1) for item in value], isinstance(value, list))
    elif value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
    else:
        text = "T" if hasattr(value, "shape") else type(value).__name__
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _sequence(items: list[str], square: bool) -> str:
    if square:
        return f"[{', '.join(items)}]"
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
