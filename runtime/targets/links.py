"""Links between a host and a chip, by name: numbers with their sources, to put under a target."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from typing import Any

from ..errors import TargetError, complaint, shorten
from .faults import close_names, target_error
from .schema import LinkSpec, Target
from .toml import split_numbers

PACKAGE = __name__.rpartition(".")[0]


@lru_cache
def _documents() -> dict[str, dict[str, Any]]:
    return tomllib.loads((resources.files(PACKAGE) / "links.toml").read_text(encoding="utf-8"))


def links() -> list[str]:
    """Names of the links that :func:`linked` knows, sorted."""
    return sorted(_documents())


def linked(target: Target, name: str) -> Target:
    """A copy of a target whose host is at the other end of a named link; its numbers keep their sources.

    Raises: TargetError for an unknown name (close ones are given).
    """
    if name not in _documents():
        raise TargetError(complaint("unknown link", got=shorten(name), next_step=close_names(str(name), links())))
    data, provenance, faults = split_numbers({"link": _documents()[name]})
    if faults:
        raise target_error(f"link {name}", faults)
    fields = target.model_dump()
    known = {path: item for path, item in fields["provenance"].items() if not path.startswith("link.")}
    changed = {**fields, "link": LinkSpec(**data["link"]).model_dump(), "provenance": {**known, **provenance}}
    return Target.model_validate(changed)
