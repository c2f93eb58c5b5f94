"""The rectangular mesh of Clements et al., Optica 3, 1460 (2016), whole or of reduced depth."""

from __future__ import annotations

from .mesh import Mesh
from .options import whole_number


def clements(ports: int) -> Mesh:
    """Rectangular mesh: ``ports`` windows, cells on even ports in even windows, on odd ports in odd ones.

    ports (ports - 1) / 2 cells reach every unitary; with the screen that is ports**2 phases.
    """
    return Mesh("clements", ports, brickwork(ports, ports))


def rectangular(ports: int, layers: int | None = None) -> Mesh:
    """The first ``layers`` windows of the Clements mesh, ``ports // 2`` by default, and its screen.

    Shallower than ``ports`` windows it reaches some unitaries only (light of a port reaches no more than
    ``layers`` ports to either side), with less loss and fewer phases.

    Raises:
        TargetError: layers below 1.
    """
    layers = max(1, ports // 2) if layers is None else whole_number("rectangular", "layers", layers)
    return Mesh("rectangular", ports, brickwork(ports, layers))


def brickwork(ports: int, layers: int) -> tuple[tuple[int, ...], ...]:
    """Windows of cells side by side, from port 0 in even windows and from port 1 in odd ones."""
    depth = layers if ports > 1 else 0
    return tuple(tuple(range(window % 2, ports - 1, 2)) for window in range(depth))
