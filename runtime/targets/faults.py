"""Faults of a chip description, collected and told in one :class:`TargetError`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import Any

from pydantic import ValidationError

from ..errors import TargetError, complaint, shorten

ROUNDING = 1e-9
"""Relative slack of comparisons: sums of times that are meant to be equal differ by rounding."""

_ALLOWED = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "finite_number": "a finite number",
    "string_too_short": "a text of at least {min_length} characters",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "model_type": "a table of fields",
    "model_attributes_type": "a table of fields",
}


def close_names(name: str, known: Iterable[str]) -> str:
    """The known names closest to ``name``, at most three about as close, or all of them where none is close."""
    known = sorted(known)
    found = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    alike = [difflib.SequenceMatcher(None, other, name).ratio() for other in found]
    found = [other for other, share in zip(found, alike, strict=True) if share > alike[0] - 0.1]
    return f"did you mean {' or '.join(found)}?" if found else f"known: {', '.join(known)}"


def unknown_field(path: str, known: Iterable[str]) -> str:
    """The fault of a field that no target has."""
    known = list(known)
    name = path if any("." in other for other in known) and "." in path else path.rpartition(".")[2]
    return complaint("unknown field", where=path, next_step=close_names(name, known))


def from_pydantic(error: ValidationError, fields: Mapping[str, Iterable[str]] | None = None) -> list[str]:
    """One fault a line of a pydantic error; ``fields`` maps a part's path to its field names."""
    faults: list[str] = []
    for item in error.errors():
        path = ".".join(str(step) for step in item["loc"] if isinstance(step, str)) or "target"
        kind = item["type"]
        if kind == "extra_forbidden":
            known = (fields or {}).get(path.rpartition(".")[0], ())
            faults.append(unknown_field(path, known) if known else complaint("unknown field", where=path))
        elif kind == "missing":
            faults.append(complaint("missing field", where=path, next_step="give it a value"))
        else:
            context: dict[str, Any] = item.get("ctx") or {}
            allowed = _ALLOWED.get(kind, "")
            faults.append(
                complaint(
                    "impossible value",
                    where=path,
                    got=shorten(item["input"]),
                    allowed=allowed.format(**context) if allowed else item["msg"],
                )
            )
    return faults


def target_error(name: str, faults: list[str]) -> TargetError:
    """All faults of one target in one error: a line if there is one, a list if there are more."""
    if len(faults) == 1:
        return TargetError(f"{name}: {faults[0]}")
    lines = "\n".join(f"  - {fault}" for fault in faults)
    return TargetError(f"{name} has {len(faults)} faults:\n{lines}")


def at_least(value: float) -> str:
    """A value to raise a field to, in six digits that are enough."""
    return _digits(value, ROUND_CEILING) if float(f"{value:g}") < value * (1 - ROUNDING / 10) else f"{value:g}"


def at_most(value: float) -> str:
    """A value to lower a field to, in six digits that are few enough."""
    return _digits(value, ROUND_FLOOR) if float(f"{value:g}") > value * (1 + ROUNDING / 10) else f"{value:g}"


def _digits(value: float, rounding: str) -> str:
    return f"{float(Context(prec=6, rounding=rounding).create_decimal_from_float(value)):g}"
