"""Mesh topologies: one file a family, one table of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType

from ..errors import TargetError, complaint
from .base import Mesh
from .clements import clements

TOPOLOGIES: Mapping[str, Callable[[int], Mesh]] = MappingProxyType({"clements": clements})
"""Every mesh family by name: ports -> Mesh."""


@lru_cache(maxsize=64, typed=True)
def mesh(topology: str, ports: int) -> Mesh:
    """The mesh of a topology at a width; the same object for the same arguments.

    Args:
        topology: a name of ``TOPOLOGIES``.
        ports: waveguides, at least 1.

    Raises:
        TargetError: unknown topology (names the close ones) or an impossible width.
    """
    if topology not in TOPOLOGIES:
        close = get_close_matches(str(topology), TOPOLOGIES, n=3)
        raise TargetError(
            complaint(
                "Unknown mesh topology",
                where="topology",
                got=repr(topology),
                allowed=", ".join(sorted(TOPOLOGIES)),
                next_step=f"did you mean {' or '.join(close)}?" if close else "",
            )
        )
    if isinstance(ports, bool) or not isinstance(ports, int) or ports < 1:
        raise TargetError(
            complaint("A mesh needs a whole number of ports", where=topology, got=repr(ports), allowed="1 or more")
        )
    return TOPOLOGIES[topology](ports)


__all__ = ["TOPOLOGIES", "Mesh", "mesh"]
