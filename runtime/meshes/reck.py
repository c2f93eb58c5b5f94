"""The triangular mesh of Reck et al., Phys. Rev. Lett. 73, 58 (1994)."""

from __future__ import annotations

from .mesh import Mesh


def reck(ports: int) -> Mesh:
    """Triangular mesh: diagonals of cells run down from port 0, each one shorter than the one before.

    The first diagonal holds the cells (0, 1), (1, 2) ... (ports - 2, ports - 1) in windows 0, 1 ...; the
    next starts two windows later and leaves out the lowest port::

        window:   0       1       2       3       4
        port 0 ─┤ 0 ├───────────┤ 2 ├───────────┤ 5 ├─▢─
        port 1 ─┤   ├───┤ 1 ├───┤   ├───┤ 4 ├───┤   ├─▢─
        port 2 ─────────┤   ├───┤ 3 ├───┤   ├─────────▢─
        port 3 ─────────────────┤   ├─────────────────▢─

    ports (ports - 1) / 2 cells in 2 ports - 3 windows reach every unitary. Paths differ in length: the
    lowest port meets one cell.
    """
    depth = max(0, 2 * ports - 3)
    windows = tuple(tuple(range(window % 2, min(window, depth - 1 - window) + 1, 2)) for window in range(depth))
    return Mesh("reck", ports, windows)
