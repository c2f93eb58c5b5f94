"""Mesh topologies: one file a family, one table of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from inspect import signature
from types import MappingProxyType
from typing import Protocol

from ..errors import TargetError, complaint
from .base import CELL_KINDS, CellKind
from .butterfly import butterfly
from .clements import clements, rectangular
from .clements_bell import clements_bell
from .diamond import diamond, diamond_ports
from .fldzhyan import fldzhyan, fldzhyan_bell
from .mesh import Mesh
from .reck import reck

TOPOLOGIES: Mapping[str, Callable[..., Mesh]] = MappingProxyType(
    {
        "clements": clements,
        "clements_bell": clements_bell,
        "reck": reck,
        "diamond": diamond,
        "fldzhyan": fldzhyan,
        "fldzhyan_bell": fldzhyan_bell,
        "butterfly": butterfly,
        "rectangular": rectangular,
    }
)
"""Every mesh family by name: (ports, options of the family by keyword) -> Mesh."""

UNIVERSAL = frozenset({"clements", "clements_bell", "reck"})
"""Families that hold every unitary of their ports exactly, by an analytic rule."""


@lru_cache(maxsize=64, typed=True)
def mesh(topology: str, ports: int, **options: int) -> Mesh:
    """The mesh of a topology at a width; the same object for the same arguments.

    Args:
        topology: a name of ``TOPOLOGIES``.
        ports: waveguides, at least 1.
        options: the family's own, for example ``mesh("fldzhyan", 8, layers=16)``.

    Raises:
        TargetError: unknown topology (names the close ones) or option, or an impossible width.
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
    build = TOPOLOGIES[topology]
    known = [*signature(build).parameters][1:]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        raise TargetError(
            complaint(
                "A mesh family does not know this option",
                where=topology,
                got=", ".join(unknown),
                allowed=", ".join(known) or "none",
            )
        )
    return build(ports, **options)


class TileShape(Protocol):
    """What says which mesh a tile needs: a target's ``mesh``, or the spec of a bank."""

    @property
    def topology(self) -> str: ...
    @property
    def ports(self) -> int: ...
    @property
    def layers(self) -> int | None: ...


def tile_mesh(shape: TileShape) -> Mesh:
    """The mesh that holds a unitary of ``shape.ports``: as wide, but for the diamond, which takes 2 n - 2 waveguides.

    The tile's ports are the upper ones; what light strays to the others is lost between the two meshes of a tile.
    """
    ports = diamond_ports(shape.ports) if shape.topology == "diamond" else shape.ports
    return mesh(shape.topology, ports) if shape.layers is None else mesh(shape.topology, ports, layers=shape.layers)


__all__ = ["CELL_KINDS", "TOPOLOGIES", "UNIVERSAL", "CellKind", "Mesh", "TileShape", "mesh", "tile_mesh"]
