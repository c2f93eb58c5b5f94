"""The rectangular mesh of Clements et al., Optica 3, 1460 (2016)."""

from __future__ import annotations

from .base import Mesh


def clements(ports: int) -> Mesh:
    """Rectangular mesh: ``ports`` windows, cells on even ports in even windows, on odd ports in odd ones.

    ports (ports - 1) / 2 cells reach every unitary; with the screen that is ports**2 phases.
    """
    depth = ports if ports > 1 else 0
    return Mesh("clements", ports, tuple(tuple(range(window % 2, ports - 1, 2)) for window in range(depth)))
