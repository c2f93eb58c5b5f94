"""Cut every matrix into a grid of tiles as wide as the mesh."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional

from ...runtime.program import BankSpec, TileBank
from ...runtime.targets import Target
from ..ir import LL_OPS, Bank, Column, Graph, Matrix
from .packing import packed_places, packed_tiles


@dataclass(frozen=True)
class Tile:
    """Declare a bank per matrix and the place of each of its tiles; all-zero tiles are left out."""

    name: ClassVar[str] = "tile"
    consumes: ClassVar[str] = "mvm"
    produces: ClassVar[str] = "tile"

    def run(self, graph: Graph, target: Target) -> Graph:
        """See :class:`GraphPass`."""
        tables = {matrix.name: _table(matrix, graph.store.get(matrix.weight), target) for matrix in graph.matrices}
        nodes = tuple(
            replace(node, origin=node.origin.via(self.name)) if node.op in LL_OPS["mvm"] else node
            for node in graph.nodes
        )
        tiled = replace(graph, stage="tile", tables=tables, banks=tuple(map(describe, tables.values())))
        return tiled.with_nodes(nodes)


def describe(table: TileBank) -> Bank:
    """The declaration of a bank: its shape and the columns its table has."""
    columns = (Column(name, _short(array.dtype), array.shape) for name, array in sorted(table.columns.items()))
    return Bank(table.spec, tuple(columns))


def _short(dtype: np.dtype[np.generic]) -> str:
    return f"{dtype.kind}{8 * dtype.itemsize}"


def _table(matrix: Matrix, weight: torch.Tensor | None, target: Target) -> TileBank:
    mesh = target.mesh
    shape = (matrix.groups, matrix.rows, matrix.cols)
    spec = BankSpec(matrix.name, mesh.topology, mesh.ports, *shape, tiles=0, blocks=matrix.blocks, layers=mesh.layers)
    if weight is None:  # computed at run time: every place of the grid may be needed
        spec = replace(spec, dynamic=True)
        place = np.indices((spec.groups, spec.grid_rows, spec.grid_cols)).reshape(3, -1).T.astype(np.int32)
    elif spec.blocks > 1:
        place = packed_places(weight, spec)
    else:
        place = np.argwhere((grid(weight, spec) != 0).any(dim=4).any(dim=2).numpy()).astype(np.int32)
    columns: dict[str, np.ndarray] = dict(
        zip(("group", "row", "col"), (np.ascontiguousarray(column) for column in place.T), strict=True)
    )
    return TileBank(replace(spec, tiles=len(place)), columns)


def grid(weight: torch.Tensor, spec: BankSpec) -> torch.Tensor:
    """The weights of a matrix in its tile grid, zero-padded at the edges.

    Args:
        weight: The matrix's constant, of groups * rows * cols elements.
        spec: The shape of the bank.

    Returns:
        (groups, grid rows, ports, grid cols, ports), in the weight's dtype. Of a packed matrix its blocks,
        (groups * blocks, rows / blocks, cols / blocks): a grid of them would be mostly zeros.
    """
    n = spec.ports
    if spec.blocks > 1:
        return weight.detach().reshape(spec.groups * spec.blocks, *spec.block_shape)
    weights = weight.detach().reshape(spec.groups, spec.rows, spec.cols)
    padded = functional.pad(weights, (0, spec.grid_cols * n - spec.cols, 0, spec.grid_rows * n - spec.rows))
    return padded.reshape(spec.groups, spec.grid_rows, n, spec.grid_cols, n)


def cut(grid_weights: torch.Tensor, table: TileBank, chunk: slice) -> np.ndarray:
    """The weights of some tiles of a bank.

    Args:
        grid_weights: What :func:`grid` returned.
        table: The bank; its columns ``group``, ``row`` and ``col`` say where its tiles lie.
        chunk: Which tiles.

    Returns:
        float64 (tiles in the chunk, ports, ports).
    """
    group, row, col = (torch.from_numpy(table.columns[name][chunk]).long() for name in ("group", "row", "col"))
    if table.spec.blocks > 1:
        return packed_tiles(grid_weights, table.spec, group, row, col)
    return grid_weights[group, row, :, col, :].double().numpy()
