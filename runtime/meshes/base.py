"""What a mesh is: windows of two-port cells, then a phase screen.

Every topology is described by the same table, so the slicing engine, the gauge and the chip simulator
know only windows and cells::

    window:        0        1        2
    port 0 ───┤cell 0├──────────┤cell 2├──▢──
    port 1 ───┤      ├──┤cell 1├┤      ├──▢──
    port 2 ─────────────┤      ├──────────▢──      (clements, 3 ports)

A cell on ports (p, p + 1) is ``BS . P(theta) . BS . P(phi)``, phi met first, with the beam splitter
``BS = 1/sqrt2 [[1, j], [j, 1]]`` and the phase shifter ``P(x) = diag(e^{jx}, 1)`` on the upper arm::

    cell = j e^{j theta/2} [[s, c], [c, -s]] diag(e^{j phi}, 1),   s = sin(theta/2), c = cos(theta/2)

so theta = pi is the bar state and theta = 0 the cross state. Source: Clements et al., Optica 3, 1460 (2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import TargetError, complaint


@dataclass(frozen=True)
class Mesh:
    """Windows of cells on ``ports`` waveguides, port 0 on top, light from window 0 to the last.

    The phases of a mesh are one flat vector ``[theta of cells | phi of cells | screen of ports]``;
    cells are counted window by window, top to bottom.

    Args:
        topology: name of the family.
        ports: number of waveguides.
        windows: for every window the upper ports of its active cells, ascending; a port of no cell
            passes by.

    Raises:
        TargetError: a window holds a cell outside the ports, or two cells that share a port.
    """

    topology: str
    ports: int
    windows: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if self.ports < 1:
            raise TargetError(complaint("A mesh needs ports", where=self.topology, got=self.ports, allowed="1 or more"))
        for window, uppers in enumerate(self.windows):
            free = 0
            for port in uppers:
                if not free <= port <= self.ports - 2:
                    raise TargetError(
                        complaint(
                            "A cell overlaps its neighbour, is out of order or leaves the mesh",
                            where=f"{self.topology}, window {window}",
                            got=f"upper port {port}",
                            allowed=f"{free} to {self.ports - 2}",
                        )
                    )
                free = port + 2

    def __hash__(self) -> int:
        # meshes are cache keys: the windows of a wide one are too long to hash at every look-up
        return hash((self.topology, self.ports, self.depth, self.cells))

    @property
    def depth(self) -> int:
        """Windows that light passes."""
        return len(self.windows)

    @cached_property
    def cells(self) -> int:
        """Active cells of all windows."""
        return sum(len(window) for window in self.windows)

    @property
    def phases(self) -> int:
        """Phase shifters: two a cell and the screen."""
        return 2 * self.cells + self.ports

    @cached_property
    def cell_ports(self) -> np.ndarray:
        """Upper port of every cell, int32 (cells,), read-only."""
        return _frozen(np.array([port for window in self.windows for port in window], dtype=np.int32))

    @cached_property
    def cell_windows(self) -> np.ndarray:
        """Window of every cell, int32 (cells,), read-only."""
        lengths = np.array([len(window) for window in self.windows], dtype=np.int64)
        return _frozen(np.repeat(np.arange(self.depth, dtype=np.int32), lengths))

    @cached_property
    def cell_index(self) -> np.ndarray:
        """Number of the cell at (window, upper port), int32 (depth, ports), read-only; -1 where there is none."""
        table = np.full((self.depth, self.ports), -1, dtype=np.int32)
        table[self.cell_windows, self.cell_ports] = np.arange(self.cells, dtype=np.int32)
        return _frozen(table)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
