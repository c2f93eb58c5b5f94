"""The presets that come with lightloom, by name."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import resources
from pathlib import Path

from ..errors import TargetError, complaint, shorten
from .faults import close_names
from .schema import Target, parse_target, read_target

PACKAGE = __name__.rpartition(".")[0]


def names() -> list[str]:
    """Names of the presets, sorted."""
    folder = resources.files(PACKAGE) / "presets"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


@lru_cache
def _preset(name: str) -> Target:
    text = (resources.files(PACKAGE) / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_target(text, name=f"preset {name}")


def get(target: str | os.PathLike[str] | Target) -> Target:
    """The target meant: a preset's name, the path of a ``.toml`` file, or a Target, which is returned.

    Raises:
        TargetError: no such preset (close names are given), or the file has faults.
    """
    if isinstance(target, Target):
        return target
    if isinstance(target, Path) or (isinstance(target, (str, os.PathLike)) and str(target).endswith(".toml")):
        return read_target(target)
    if not isinstance(target, str):
        raise TargetError(
            complaint("not a target", got=shorten(target), allowed="a preset's name, a .toml path or a Target")
        )
    if target not in names():
        raise TargetError(complaint("unknown target", got=shorten(target), next_step=close_names(target, names())))
    return _preset(target)
