"""The diamond mesh of Shokraneh et al., Optics Express 28, 23495 (2020)."""

from __future__ import annotations

from ..errors import TargetError, complaint
from .mesh import Mesh


def diamond(ports: int) -> Mesh:
    """Diamond mesh: the triangle of Reck on the upper ports / 2 + 1 waveguides, and its mirror image below.

    Every path through the triangle's waveguides meets cells of both halves, so losses are even; the cells
    of the lower half also serve as taps. ``ports`` waveguides carry a unitary of m = ports / 2 + 1 ports, on
    ports 0 to m - 1, and not more::

        window:   0       1       2
        port 0 ─────────┤ 1 ├───────────▢─
        port 1 ─┤ 0 ├───┤   ├───┤ 3 ├───▢─
        port 2 ─┤   ├───┤ 2 ├───┤   ├───▢─     (4 waveguides, m = 3)
        port 3 ─────────┤   ├───────────▢─

    Raises:
        TargetError: an odd number of ports above 1.
    """
    if ports % 2 and ports > 1:
        raise TargetError(
            complaint(
                "A diamond mesh has an even number of waveguides",
                where="diamond",
                got=ports,
                allowed="1, 2, 4, 6, ...: 2 m - 2 waveguides for a unitary of m ports",
            )
        )
    depth = max(0, ports - 1)
    windows = []
    for window in range(depth):
        half = min(window, depth - 1 - window)
        middle = ports // 2 - 1
        windows.append(tuple(range(middle - half, middle + half + 1, 2)))
    return Mesh("diamond", ports, tuple(windows))


def diamond_ports(size: int) -> int:
    """Waveguides of the diamond that holds unitaries of ``size`` ports."""
    return max(1, 2 * size - 2)
