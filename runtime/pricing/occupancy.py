"""What the tiles of a bank hold: active rows and columns, weights, and where chains of tiles begin and end."""

from __future__ import annotations

import numpy as np

from ..program import TileBank
from ..scheduling.plan import Dataflow


def tile_sizes(extent: int, tile: int) -> tuple[int, ...]:
    """Sizes of the tiles that cut an extent, the last one possibly smaller: ``(10, 4) -> (4, 4, 2)``."""
    return tuple(min(tile, extent - start) for start in range(0, extent, tile))


def active_rows(bank: TileBank) -> np.ndarray:
    """Outputs that each tile of a bank really has, int64 (T,): ``ports`` but at the lower edge.

    A packed tile is read out only where one of its blocks lies, unless a shift lights every row.
    """
    if bank.spec.blocks > 1 and "shift" not in bank.columns:
        (top, bottom), _, _ = _overlaps(bank)
        return bottom - top
    return np.minimum(bank.spec.ports, bank.spec.rows - bank.columns["row"].astype(np.int64) * bank.spec.ports)


def active_cols(bank: TileBank) -> np.ndarray:
    """Inputs that each tile of a bank really has, int64 (T,): ``ports`` but at the right edge."""
    return np.minimum(bank.spec.ports, bank.spec.cols - bank.columns["col"].astype(np.int64) * bank.spec.ports)


def tile_weights(bank: TileBank) -> np.ndarray:
    """Weights that each tile of a bank holds, int64 (T,): the zeros between packed blocks do not count."""
    if bank.spec.blocks == 1:
        return active_rows(bank) * active_cols(bank)
    rows, cols = bank.spec.block_shape
    (top, bottom), (left, right), (first, last) = _overlaps(bank)
    found = np.zeros(bank.spec.tiles, np.int64)
    for step in range(int((last - first).max(initial=0))):  # the blocks that one tile can meet: few
        block = first + step
        high = np.minimum(bottom, (block + 1) * rows) - np.maximum(top, block * rows)
        wide = np.minimum(right, (block + 1) * cols) - np.maximum(left, block * cols)
        found += np.where(block < last, np.maximum(high, 0) * np.maximum(wide, 0), 0)
    return found


def _overlaps(bank: TileBank) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Of each tile of a packed bank: rows that hold weights, columns, and the blocks it meets, each as (from, to)."""
    spec, n = bank.spec, bank.spec.ports
    rows, cols = spec.block_shape
    top, left = (bank.columns[name].astype(np.int64) * n for name in ("row", "col"))
    bottom, right = np.minimum(top + n, spec.rows), np.minimum(left + n, spec.cols)
    first = np.maximum(top // rows, left // cols)
    last = np.minimum(-(-bottom // rows), -(-right // cols))
    return (np.maximum(top, first * rows), np.minimum(bottom, last * rows)), (left, right), (first, last)


def chain_ends(bank: TileBank, dataflow: Dataflow) -> np.ndarray:
    """Numbers a vector that a tile's place in its chain adds to the memory's traffic, int64 (T,).

    Output-stationary: the sums of a grid row leave its core behind the row's last tile, so that this tile has the rows
    of its grid row, and all others have 0. Input-stationary: the inputs of a grid column come to its core before the
    column's first tile, which has the columns of its grid column. Tiles of zeros alone are in no chain.
    """
    spec = bank.spec
    found = np.zeros(spec.tiles, np.int64)
    group, row, col = (bank.columns[name].astype(np.int64) for name in ("group", "row", "col"))
    if dataflow == "output":
        place = group * spec.grid_rows + row
        last = spec.tiles - 1 - np.unique(place[::-1], return_index=True)[1]
        found[last] = np.minimum(spec.ports, spec.rows - row[last] * spec.ports)
    elif dataflow == "input":
        first = np.unique(group * spec.grid_cols + col, return_index=True)[1]
        found[first] = active_cols(bank)[first]
    return found
