"""What a mesh is made of, and what light loses in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .base import Windows


@dataclass(frozen=True)
class MeshFacts:
    """A mesh in numbers.

    ``cells``, ``depth`` (windows), ``phases`` (shifters) and ``splitters`` of the whole mesh; ``longest_path`` and
    ``shortest_path``: cells that light meets at most and at least on its way through;
    ``splitters_on_longest_path``; ``connected``: whether light of every input can reach every output;
    ``cell_loss_db``: the loss of a cell that was asked for; ``insertion_loss_db`` and ``least_loss_db``: that of the
    longest and of the shortest path, waveguides without a cell taken as lossless.
    """

    topology: str
    ports: int
    cell: str
    cells: int
    depth: int
    phases: int
    splitters: int
    longest_path: int
    shortest_path: int
    splitters_on_longest_path: int
    connected: bool
    cell_loss_db: float
    insertion_loss_db: float
    least_loss_db: float

    def __str__(self) -> str:
        even = self.shortest_path == self.longest_path
        paths = f"always {self.longest_path}" if even else f"{self.shortest_path} to {self.longest_path}"
        loss = f"{self.insertion_loss_db:.3g}" if even else f"{self.least_loss_db:.3g} to {self.insertion_loss_db:.3g}"
        reach = "every input reaches every output" if self.connected else "some inputs do not reach some outputs"
        return (
            f"{self.topology} mesh of {self.ports} ports: {self.cells} {self.cell} cells in {self.depth} windows, "
            f"{self.phases} phase shifters, {self.splitters} splitters\n"
            f"  cells on a path: {paths}; splitters on the longest: {self.splitters_on_longest_path}; {reach}\n"
            f"  insertion loss at {self.cell_loss_db:g} dB a cell: {loss} dB"
        )


def describe(mesh: Windows, cell_loss_db: float = 0.1) -> MeshFacts:
    """The numbers of a mesh.

    Args:
        mesh: any topology.
        cell_loss_db: loss of passing one cell.
    """
    n = mesh.ports
    longest, shortest = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    reached = np.eye(n, dtype=np.bool_)
    for p, q in window_ports(mesh):
        longest[p] = longest[q] = np.maximum(longest[p], longest[q]) + 1
        shortest[p] = shortest[q] = np.minimum(shortest[p], shortest[q]) + 1
        reached[p] = reached[q] = reached[p] | reached[q]
    most, least = int(longest.max()), int(shortest.min())
    return MeshFacts(
        topology=mesh.topology,
        ports=n,
        cell=mesh.cell,
        cells=mesh.cells,
        depth=mesh.depth,
        phases=mesh.phases,
        splitters=mesh.cells * mesh.cell_splitters,
        longest_path=most,
        shortest_path=least,
        splitters_on_longest_path=most * mesh.cell_splitters,
        connected=bool(reached.all()),
        cell_loss_db=cell_loss_db,
        insertion_loss_db=most * cell_loss_db,
        least_loss_db=least * cell_loss_db,
    )


def window_ports(mesh: Windows) -> list[tuple[np.ndarray, np.ndarray]]:
    """Upper and lower ports of the cells of every window."""
    ends = np.searchsorted(mesh.cell_windows, np.arange(mesh.depth + 1)).tolist()
    return [(mesh.cell_ports[first:last], mesh.cell_lower[first:last]) for first, last in pairwise(ends)]
