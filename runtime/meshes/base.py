"""What a mesh is: windows of two-port cells, and the phase shifters on and around them.

Every topology is described by the same table, so the slicing engine, the gauge and the chip simulator
know only windows and cells::

    window:        0        1        2
    port 0 ───┤cell 0├──────────┤cell 2├──▢──
    port 1 ───┤      ├──┤cell 1├┤      ├──▢──
    port 2 ─────────────┤      ├──────────▢──      (clements, 3 ports)

A cell joins an upper port p and a lower port q > p (the next one down, but for the butterfly). Its kind says
what is in it, light passing from right to left in the products; ``BS = 1/sqrt2 [[1, j], [j, 1]]``::

    mzi           BS . diag(e^{j theta}, 1) . BS
    symmetric     BS . diag(e^{j upper}, e^{j lower}) . BS
    fldzhyan      BS . diag(e^{j theta}, 1)
    fldzhyan_bell BS . diag(e^{j upper}, e^{j lower})

Some cells have one more shifter, phi, on the upper arm in front of them: the cell's matrix is then
``kind . diag(e^{j phi}, 1)``. With it the MZI is the cell of Clements et al., Optica 3, 1460 (2016)::

    j e^{j theta/2} [[s, c], [c, -s]] diag(e^{j phi}, 1),   s = sin(theta/2), c = cos(theta/2)

so theta = pi is the bar state and theta = 0 the cross state. The last thing light meets is the screen: a
shifter on every port, or on some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from ..errors import TargetError, complaint


@dataclass(frozen=True)
class CellKind:
    """What a cell is made of: the names of its inner phases, in order, and the splitters that light passes."""

    phases: tuple[str, ...]
    splitters: int


CELL_KINDS: Mapping[str, CellKind] = MappingProxyType(
    {
        "mzi": CellKind(("theta",), 2),
        "symmetric": CellKind(("upper", "lower"), 2),
        "fldzhyan": CellKind(("theta",), 1),
        "fldzhyan_bell": CellKind(("upper", "lower"), 1),
    }
)
"""Every kind of cell by name; ``slicing.cells`` holds their matrices under the same names."""


@dataclass(frozen=True)
class Windows:
    """Windows of cells on ``ports`` waveguides, port 0 on top, light from window 0 to the last.

    The phases of a mesh are one flat vector: every inner phase of the kind for all cells, then phi of the
    cells that have one, then the screen of the ports that have one (:attr:`phase_layout`). For Clements
    that is ``[theta of cells | phi of cells | screen of ports]``. Cells are counted window by window, top to
    bottom.

    Args:
        topology: name of the family.
        ports: number of waveguides.
        windows: for every window the upper ports of its active cells, ascending; a port of no cell
            passes by.
        lowers: the lower ports of the same cells; None takes the port below the upper one.
        cell: a name of ``CELL_KINDS``.
        phi: numbers of the cells with a shifter in front of the upper arm, ascending; None is all of them
            for ``mzi`` and none for the other kinds.
        screen: ports with a shifter at the very end, ascending; None is all of them.

    Raises:
        TargetError: an unknown kind; a window that holds a cell outside the ports, or two cells that share
            a port; a shifter where there is no cell or port.
    """

    topology: str
    ports: int
    windows: tuple[tuple[int, ...], ...]
    lowers: tuple[tuple[int, ...], ...] | None = None
    cell: str = "mzi"
    phi: tuple[int, ...] | None = None
    screen: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.ports < 1:
            raise TargetError(complaint("A mesh needs ports", where=self.topology, got=self.ports, allowed="1 or more"))
        if self.cell not in CELL_KINDS:
            raise TargetError(
                complaint(
                    "Unknown kind of cell", where=self.topology, got=repr(self.cell), allowed=", ".join(CELL_KINDS)
                )
            )
        if self.lowers is not None and [*map(len, self.lowers)] != [*map(len, self.windows)]:
            raise TargetError(complaint("Upper and lower ports do not pair up in a window", where=self.topology))
        for window, (uppers, lowers) in enumerate(zip(self.windows, self._lowers, strict=True)):
            _check_window(f"{self.topology}, window {window}", self.ports, uppers, lowers)
        for name, places, limit in (("phi", self.phi, self.cells), ("screen", self.screen, self.ports)):
            if places is not None and (
                list(places) != sorted(set(places)) or (places and not 0 <= places[0] <= places[-1] < limit)
            ):
                raise TargetError(
                    complaint(
                        "Shifters out of order or out of the mesh",
                        where=f"{self.topology}, {name}",
                        allowed=f"ascending, 0 to {limit - 1}",
                    )
                )

    def __hash__(self) -> int:
        # meshes are cache keys: the windows of a wide one are too long to hash at every look-up
        return hash((self.topology, self.ports, self.depth, self.cells))

    @property
    def _lowers(self) -> tuple[tuple[int, ...], ...]:
        if self.lowers is not None:
            return self.lowers
        return tuple(tuple(port + 1 for port in window) for window in self.windows)

    @property
    def kind(self) -> CellKind:
        """What the cells are made of."""
        return CELL_KINDS[self.cell]

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
        """Phase shifters: those inside the cells, those in front of them, and the screen."""
        return len(self.kind.phases) * self.cells + len(self.phi_cells) + len(self.screen_ports)

    @property
    def cell_splitters(self) -> int:
        """Beam splitters of a cell; splitter errors of a mesh are (..., cells, cell_splitters)."""
        return self.kind.splitters

    @cached_property
    def phase_layout(self) -> Mapping[str, slice]:
        """Where each group lies in the flat vector of phases, by name, in order.

        The inner phases of the kind (``theta``, or ``upper`` and ``lower``), ``phi`` and ``screen``; the
        entries of ``phi`` belong to :attr:`phi_cells`, those of ``screen`` to :attr:`screen_ports`.
        """
        sizes = dict.fromkeys(self.kind.phases, self.cells)
        sizes |= {"phi": len(self.phi_cells), "screen": len(self.screen_ports)}
        ends = np.cumsum([*sizes.values()]).tolist()
        return MappingProxyType(
            {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}
        )

    @cached_property
    def cell_ports(self) -> np.ndarray:
        """Upper port of every cell, int32 (cells,), read-only."""
        return _frozen(np.array([port for window in self.windows for port in window], dtype=np.int32))

    @cached_property
    def cell_lower(self) -> np.ndarray:
        """Lower port of every cell, int32 (cells,), read-only."""
        return _frozen(np.array([port for window in self._lowers for port in window], dtype=np.int32))

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

    @cached_property
    def phi_cells(self) -> np.ndarray:
        """Numbers of the cells with a shifter in front of the upper arm, int32, ascending, read-only."""
        every = range(self.cells) if self.cell == "mzi" else ()
        return _frozen(np.array(every if self.phi is None else self.phi, dtype=np.int32))

    @cached_property
    def screen_ports(self) -> np.ndarray:
        """Ports with a shifter at the very end, int32, ascending, read-only."""
        return _frozen(np.array(range(self.ports) if self.screen is None else self.screen, dtype=np.int32))

    @property
    def has_gauge(self) -> bool:
        """Whether ``meshes.gauge`` applies: MZIs with a phi each, and a screen on every port."""
        return self.cell == "mzi" and len(self.phi_cells) == self.cells and len(self.screen_ports) == self.ports


def _check_window(where: str, ports: int, uppers: tuple[int, ...], lowers: tuple[int, ...]) -> None:
    """Refuse a window whose cells leave the mesh, share a port, or are out of order."""
    used: set[int] = set()
    last = -1
    for upper, lower in zip(uppers, lowers, strict=True):
        if not (last < upper < lower < ports) or upper in used or lower in used:
            raise TargetError(
                complaint(
                    "A cell overlaps its neighbour, is out of order or leaves the mesh",
                    where=where,
                    got=f"ports {upper} and {lower}",
                    allowed=f"free ports, upper before lower, {last + 1} to {ports - 1}",
                )
            )
        used |= {upper, lower}
        last = upper


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
