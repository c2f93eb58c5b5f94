"""Vectors on their way through the tiles of a bank, a block at a time: what has come back, and what it adds up to."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ..errors import VerifyError, complaint
from ..geometry import vector_count
from ..program import BankSpec, Geometry, LinearGeometry, TileBank
from .vectors import Vectors

Place = tuple[int, int]
"""Group and grid row: what one accumulator belongs to."""

ROWS = LinearGeometry()
"""Vectors that are the rows of a matrix."""


@dataclass(eq=False)
class TileWork:
    """A product under way: its vectors, and the accumulators ``sums`` (V, groups, grid rows, n).

    ``left``: vectors that tiles have not taken yet, each counted for each tile; ``blocks``: first vector and size of
    the blocks that have come so far; ``taken``: tiles that have taken them; ``early``: results of tiles whose left
    neighbours have not taken the block yet; ``added``: tiles of each place that are in a block's accumulators.
    """

    source: Vectors
    vectors: int
    sums: Tensor
    left: int
    blocks: dict[int, int] = field(default_factory=dict)
    taken: set[tuple[int, int]] = field(default_factory=set)
    early: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    added: dict[tuple[Place, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, x: Tensor, spec: BankSpec, geometry: Geometry = ROWS) -> TileWork:
        """The work of sending all vectors of x through all tiles of a bank."""
        vectors = vector_count(tuple(x.shape), geometry)
        sums = x.new_zeros((vectors, spec.groups, spec.grid_rows, spec.ports))
        return cls(Vectors(x, geometry, spec.cols), vectors, sums, spec.tiles * vectors)

    def take(self, tile: int, first: int, vectors: int, where: str) -> None:
        """A block goes through a tile. Raises VerifyError unless it fits the vectors and the other blocks, once."""
        size = self.blocks.setdefault(first, vectors)
        fits = 0 <= first < first + vectors <= self.vectors and size == vectors
        if not fits or (tile, first) in self.taken:
            raise VerifyError(
                complaint(
                    "the schedule is for another batch"
                    if not fits
                    else "the schedule sends a block through a tile again",
                    where=where,
                    got=f"{vectors} vectors from {first} through tile {tile}",
                    allowed=f"blocks of the {self.vectors} vectors, the same for every tile, once each",
                    next_step="make a schedule for this batch size",
                )
            )
        self.taken.add((tile, first))
        self.left -= vectors

    def add(self, tile: int, first: int, place: Place, tiles: list[int], result: Tensor) -> None:
        """Take a tile's result (V, n) of a block: a place's tiles are added in the order of ``tiles``, early ones are
        kept."""
        self.early[tile, first] = result
        done = self.added.get((place, first), 0)
        while done < len(tiles) and (tiles[done], first) in self.early:
            self.sums[first : first + len(result), place[0], place[1]] += self.early.pop((tiles[done], first))
            done += 1
        self.added[place, first] = done

    def total(self, spec: BankSpec) -> Tensor:
        """The products (V, groups * rows), edge rows off. Raises VerifyError where blocks overlap."""
        ends = [0, *(first + size for first, size in sorted(self.blocks.items()))]
        if self.early or (self.blocks and [*sorted(self.blocks), self.vectors] != ends):
            raise VerifyError(
                complaint(
                    "the schedule cuts vectors into blocks that overlap",
                    got=", ".join(f"{first} to {first + size}" for first, size in sorted(self.blocks.items())[:4]),
                    allowed=f"0 to {self.vectors}, one block after the other",
                )
            )
        return self.sums.flatten(2)[:, :, : spec.rows].reshape(self.vectors, spec.groups * spec.rows)


def tiles_by_place(bank: TileBank) -> dict[Place, list[int]]:
    """Tiles of each group and grid row, in ascending column order, as the table is sorted."""
    found: dict[Place, list[int]] = {}
    for tile, place in enumerate(zip(bank.columns["group"].tolist(), bank.columns["row"].tolist(), strict=True)):
        found.setdefault(place, []).append(tile)
    return found
