"""Copies of a target with fields changed, and the map of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from ..errors import TargetError, complaint, shorten
from .faults import target_error, unknown_field
from .fields import TargetFields
from .sizing import FIELD, overruled
from .units import unit_of

AnyTarget = TypeVar("AnyTarget", bound=TargetFields)
SOURCE = "set by Target.with_"


def field_names(model: type[BaseModel]) -> dict[str, list[str]]:
    """Field names of a target by part path: ``{"": [...], "mesh": [...], ...}``."""
    names = {"": list(model.model_fields)}
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            names[name] = list(info.annotation.model_fields)
    return names


def is_number(value: object) -> bool:
    """Whether a field's value is a number that needs a unit and a source."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numbers(target: TargetFields) -> dict[str, float]:
    """Every number of a target by its dotted path, in the schema's order."""
    found: dict[str, float] = {}
    for part, names in field_names(type(target)).items():
        if part:
            values = getattr(target, part)
            found |= {f"{part}.{name}": getattr(values, name) for name in names}
    return {path: value for path, value in found.items() if is_number(value)}


def with_changes(target: AnyTarget, changes: Mapping[str, Any] | None, parts: Mapping[str, Any]) -> AnyTarget:
    """A copy of ``target`` with fields changed, see :meth:`Target.with_`.

    Raises:
        TargetError: a field is unknown (close names are given), a value is impossible, or the power of a sized laser is
            stated.
    """
    known = field_names(type(target))
    data = target.model_dump()
    faults: list[str] = []
    provenance = dict(data["provenance"])
    asked = {**changes_of({} if changes is None else changes), **parts}
    stated = dict(flat(asked, whole=False))
    for path, value in flat(asked):
        part, _, name = path.rpartition(".")
        if not part and name in known:
            faults.append(complaint("not a table of fields", where=path, got=shorten(value)))
            continue
        if part not in known or name not in known[part]:
            candidates = known[part] if part in known and part else [*known[""], *_paths(known)]
            faults.append(unknown_field(path, candidates))
            continue
        if not part:
            data[name] = value
            continue
        data[part][name] = value
        provenance.pop(path, None)
        if is_number(value):
            provenance[path] = {"unit": unit_of(name), "source": SOURCE, "kind": "assumed"}
    if faults:
        raise target_error(f"target {target.name!r}", faults)
    if "provenance" not in asked:
        if target.detection.laser == "sized" and data["detection"]["laser"] == "given" and FIELD not in stated:
            provenance[FIELD] = {"unit": "W", "source": f"{SOURCE}, kept as it was computed", "kind": "assumed"}
        data["provenance"] = provenance
    changed = type(target).model_validate(data)
    if (
        changed.detection.laser == "sized"
        and stated.get(FIELD, computed := changed.detection.launch_power_w) != computed
    ):
        raise target_error(f"target {target.name!r}", [overruled(stated[FIELD], computed)])
    return changed


def _paths(known: Mapping[str, list[str]]) -> list[str]:
    return [f"{part}.{name}" for part, names in known.items() if part for name in names]


def changes_of(changes: Any) -> Mapping[str, Any]:
    """What was given, where it is fields and values. Raises TargetError for anything else."""
    if isinstance(changes, Mapping) and all(isinstance(path, str) for path in changes):
        return changes
    allowed = "a dict of fields and values, as in {'mesh.cores': 4}"
    raise TargetError(complaint("not changes of a target", got=shorten(changes), allowed=allowed))


def flat(changes: Mapping[str, Any], whole: bool = True) -> list[tuple[str, Any]]:
    """Dotted paths and values of dotted and nested changes; ``whole``: also of parts that are given as they are."""
    flat: list[tuple[str, Any]] = []
    for path, value in changes.items():
        if isinstance(value, BaseModel):
            if not whole:
                continue
            value = value.model_dump()
        if isinstance(value, Mapping) and path != "provenance":
            flat += [(f"{path}.{name}", item) for name, item in value.items()]
        else:
            flat.append((path, value))
    return flat
