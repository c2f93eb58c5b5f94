"""Forms that things of the ground floor are shown or checked in, made on floors above them.

A schedule is checked by rules and drawn by reports that read it, so neither can be imported from where it is defined.
The front door (:mod:`lightloom.attached`) says which function makes each form; it is imported at the first use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import LightloomError, complaint

Maker = Callable[..., Any]
_find: list[Callable[[str], Maker]] = []


def attach(find: Callable[[str], Maker]) -> None:
    """Say how the function of a form is found by its name."""
    _find[:] = [find]


def form(name: str, *args: Any) -> Any:
    """Make the form ``name`` of the first argument.

    Raises:
        LightloomError: nothing is attached: the package was not imported by its front door.
    """
    if not _find:
        raise LightloomError(complaint("no forms are attached", got=name, next_step="import lightloom first"))
    return _find[0](name)(*args)
