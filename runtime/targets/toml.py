"""Targets as TOML files: every number ``{value, unit, source, kind}``, nothing unexplained.

.. code-block:: toml

    name = "mychip"
    [timing]
    window_s = {value = 1.0, unit = "ns", source = "A. Author, Journal 1, 2 (2024)", kind = "quoted"}
"""

from __future__ import annotations

import json
import os
import tomllib
from typing import Any, TypeVar

from pydantic import ValidationError

from ..errors import TargetError, complaint, shorten
from ..files import as_path, write_text
from .edit import field_names, is_number, numbers
from .faults import from_pydantic, target_error, unknown_field
from .fields import TargetFields
from .sizing import COMPUTED, FIELD, overruled
from .units import accepted_units, to_si, unit_of

AnyTarget = TypeVar("AnyTarget", bound=TargetFields)
KINDS = ("measured", "quoted", "assumed")
DEFAULT_SOURCE = "default of the target schema"
_KEYS = {"value", "unit", "source", "kind"}


def read_target(path: str | os.PathLike[str], kind: type[AnyTarget]) -> AnyTarget:
    """Read a target from a TOML file.

    Raises:
        TargetError: the file cannot be read, is not TOML, or has faults; all faults are listed.
    """
    path = as_path(path, TargetError)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(
            complaint("cannot read the target file", where=str(path), got=error, next_step="check the path")
        ) from error
    return parse_target(text, kind, name=path.name)


def parse_target(text: str, kind: type[AnyTarget], name: str = "target") -> AnyTarget:
    """A target of that kind from the text of a TOML file; ``name`` stands in error messages."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TargetError(complaint(f"{name} is not valid TOML", got=error)) from error
    data, provenance, faults = split_numbers(document)
    stated = provenance.get(FIELD)
    if stated and data["detection"].get("laser") == "sized" and not stated["source"].startswith(COMPUTED):
        faults.append(overruled(data["detection"]["launch_power_w"]))
    target = None
    try:
        target = kind.model_validate({**data, "provenance": provenance})
    except TargetError as error:
        # Faults of the tables would be told twice as faults of the values: only those told once stay.
        cause = error.__cause__
        found = from_pydantic(cause, field_names(TargetFields)) if isinstance(cause, ValidationError) else [str(error)]
        known = {_where(fault) for fault in faults}
        faults += [fault for fault in found if _where(fault) not in known]
    if faults or target is None:
        raise target_error(name, faults)
    defaults = {
        path: {"unit": unit_of(path.rpartition(".")[2]), "source": DEFAULT_SOURCE, "kind": "assumed"}
        for path in numbers(target)
        if path not in provenance
    }
    return kind.model_validate({**data, "provenance": {**provenance, **defaults}})


def split_numbers(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Values in SI units, provenance and faults of a TOML document with some of a target's tables."""
    known = field_names(TargetFields)
    data: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    faults: list[str] = []
    for part, content in document.items():
        if part not in known[""] or part == "provenance":
            faults.append(unknown_field(part, [name for name in known[""] if name != "provenance"]))
        elif part not in known or not isinstance(content, dict):
            data[part] = content
        else:
            data[part] = {}
            for name, item in content.items():
                path = f"{part}.{name}"
                if name not in known[part]:
                    faults.append(unknown_field(path, known[part]))
                elif isinstance(item, dict):
                    fault = _number_fault(path, name, item)
                    data[part][name] = item.get("value")
                    if fault:
                        faults.append(fault)
                    else:
                        data[part][name] = to_si(name, item["value"], item["unit"])
                        provenance[path] = {
                            "unit": unit_of(name), "source": item["source"], "kind": item["kind"]
                        }  # fmt: skip
                else:
                    data[part][name] = item
                    if is_number(item):
                        faults.append(
                            complaint(
                                "a number without unit, source and kind",
                                where=path,
                                got=item,
                                next_step=f'write {{value = {item}, unit = "{unit_of(name)}", '
                                'source = "...", kind = "quoted"}',
                            )
                        )
    return data, provenance, faults


def _number_fault(path: str, name: str, item: dict[str, Any]) -> str | None:
    """What is wrong with a number's table, or None."""
    missing = sorted(_KEYS - item.keys())
    extra = sorted(item.keys() - _KEYS)
    if missing or extra:
        got = "no " + ", no ".join(missing) if missing else "also " + ", ".join(extra)
        return complaint("an incomplete number", where=path, got=got, allowed="value, unit, source and kind, all four")
    if not is_number(item["value"]):
        return complaint("not a number", where=f"{path}.value", got=shorten(item["value"]))
    if item["unit"] not in accepted_units(name):
        allowed = ", ".join(accepted_units(name))
        return complaint("wrong unit", where=f"{path}.unit", got=shorten(item["unit"]), allowed=allowed)
    if not isinstance(item["source"], str) or len(item["source"].strip()) < 3:
        return complaint(
            "no source",
            where=f"{path}.source",
            got=shorten(item["source"]),
            next_step="say where it comes from",
        )
    if item["kind"] not in KINDS:
        return complaint("unknown kind", where=f"{path}.kind", got=shorten(item["kind"]), allowed=", ".join(KINDS))
    return None


def _where(fault: str) -> str:
    """Field path that a fault names, without the key inside a number's table."""
    path = fault.partition("(at ")[2].partition(")")[0]
    return ".".join(path.split(".")[:2])


def dump_target(target: TargetFields) -> str:
    """The TOML text of a target: ``parse_target(dump_target(t)) == t`` when every number has a source.

    Numbers without provenance are written as assumed, with their lack of a source said.
    """
    lines = [f"name = {_text(target.name)}", f"description = {_text(target.description)}"]
    for part, names in field_names(TargetFields).items():
        if not part:
            continue
        values = getattr(target, part)
        if all(getattr(values, name) is None for name in names):
            continue
        lines += ["", f"[{part}]"]
        for name in names:
            value = getattr(values, name)
            if is_number(value):
                known = target.provenance.get(f"{part}.{name}")
                source = known.source if known else "no source given"
                kind = known.kind if known else "assumed"
                lines.append(
                    f'{name} = {{value = {value!r}, unit = "{unit_of(name)}", '
                    f'source = {_text(source)}, kind = "{kind}"}}'
                )
            elif value is not None:
                lines.append(f"{name} = {str(value).lower() if isinstance(value, bool) else _text(value)}")
    return "\n".join(lines) + "\n"


def write_target(target: TargetFields, path: str | os.PathLike[str]) -> None:
    """Write a target to a TOML file. Raises InputError where it cannot be written."""
    write_text(path, dump_target(target))


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
