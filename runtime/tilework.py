"""Vectors on their way through the tiles of a bank, one tile at a time: what has come back, and what it adds up to."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from .program import BankSpec, TileBank

Place = tuple[int, int]
"""Group and grid row: what one accumulator belongs to."""


@dataclass(eq=False)
class TileWork:
    """A product under way: its input x, and the accumulators ``sums`` (V, groups, grid rows, n).

    ``shape``: of the step's input as it came; ``left``: tiles not streamed yet; ``early``: results of tiles whose
    left neighbours have not been streamed yet; ``added``: tiles of each place that are in the accumulator.
    """

    x: Tensor
    shape: tuple[int, ...]
    vectors: int
    sums: Tensor
    left: int
    early: dict[int, Tensor] = field(default_factory=dict)
    added: dict[Place, int] = field(default_factory=dict)

    @classmethod
    def of(cls, x: Tensor, shape: tuple[int, ...], vectors: int, spec: BankSpec) -> TileWork:
        """The work of sending ``vectors`` vectors, read from x, through all tiles of a bank."""
        sums = x.new_zeros((vectors, spec.groups, spec.grid_rows, spec.ports))
        return cls(x, shape, vectors, sums, spec.tiles)

    def add(self, tile: int, place: Place, tiles: list[int], result: Tensor) -> None:
        """Take a tile's result (V, n): a place's tiles are added in the order of ``tiles``, early ones are kept."""
        self.early[tile] = result
        self.left -= 1
        done = self.added.get(place, 0)
        while done < len(tiles) and tiles[done] in self.early:
            self.sums[:, place[0], place[1]] += self.early.pop(tiles[done])
            done += 1
        self.added[place] = done

    def total(self, spec: BankSpec) -> Tensor:
        """The products (V, groups * rows), edge rows off."""
        return self.sums.flatten(2)[:, :, : spec.rows].reshape(self.vectors, spec.groups * spec.rows)


def tiles_by_place(bank: TileBank) -> dict[Place, list[int]]:
    """Tiles of each group and grid row, in ascending column order, as the table is sorted."""
    found: dict[Place, list[int]] = {}
    for tile, place in enumerate(zip(bank.columns["group"].tolist(), bank.columns["row"].tolist(), strict=True)):
        found.setdefault(place, []).append(tile)
    return found
