"""Cells of a mesh gathered into diamonds: blocks of k x k neighbouring cells on 2k ports.

Where all cells join neighbours, they lie on a lattice: cell (t, p) joins ports p and p + 1 at time t, t + p even, and
takes light from (t - 1, p - 1) and (t - 1, p + 1). In the coordinates u = (t + p) / 2 and v = (t - p) / 2 those are
(u - 1, v) and (u, v - 1): a square of k x k cells in u and v is a diamond of the mesh, which touches 2k ports and
needs light from two neighbouring diamonds only. Diamonds whose squares lie on one anti-diagonal are a *layer*: they
touch different ports. In even layers block b has the ports from 2kb on, in odd ones those from 2kb + k on.

The last block of an odd layer hangs over the edge. It takes its upper half of ports from the end of the mesh and its
lower half from the beginning of the next mesh of the batch (the last mesh's from the first), so that all layers have
equally many blocks: the cells of those two halves do not touch, and none joins them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, complaint
from ..meshes import Mesh


@dataclass(frozen=True, eq=False)
class BlockPlan:
    """Where the cells of a mesh are among its diamonds.

    Args:
        side: k, cells along the side of a diamond.
        layers: of diamonds, one after another.
        blocks: diamonds in a layer of one mesh; 2k of them cover its ports.
        layer: layer of each cell, int64 (cells,).
        block: its diamond in the layer, int64 (cells,); -1 is the last one of the mesh before.
        place: its number among the cells of ``diamond``, int64 (cells,).
        diamond: the mesh of one diamond, 2k ports and k * k cells.
    """

    side: int
    layers: int
    blocks: int
    layer: np.ndarray
    block: np.ndarray
    place: np.ndarray
    diamond: Mesh

    def positions(self, tiles: int, device: torch.device) -> Tensor:
        """Where cells of ``tiles`` meshes are in a flat table (layers, tiles * blocks, k * k), int64 (tiles, cells)."""
        width = tiles * self.blocks
        block = (np.arange(tiles)[:, None] * self.blocks + self.block) % max(width, 1)
        return torch.from_numpy((self.layer * width + block) * self.side**2 + self.place).to(device)


@lru_cache(maxsize=32)
def block_plan(mesh: Mesh, side: int) -> BlockPlan:
    """The diamonds of a mesh; made once.

    Raises:
        InputError: cells that join other ports than neighbours.
    """
    if not np.all(mesh.cell_lower == mesh.cell_ports + 1):
        raise InputError(
            complaint(
                "Blocks need cells that join neighbouring ports",
                where="engine 'blocked'",
                got=f"a {mesh.topology} mesh",
                next_step="take engine='auto'",
            )
        )
    port, time = mesh.cell_ports.astype(np.int64), _times(mesh)
    u, v = (time + port) // 2, (time - port) // 2 + side - 1
    layer, offset = u // side + v // side, u // side - v // side
    layers = int(layer.max()) + 1 if mesh.cells else 0
    diamond, number = _diamond(side)
    place = number[u % side, v % side]
    return BlockPlan(side, layers, -(-mesh.ports // (2 * side)), layer, offset // 2, place, diamond)


def _times(mesh: Mesh) -> np.ndarray:
    """The earliest time of every cell, int64 (cells,), at which time and upper port are even together."""
    ready = np.zeros(mesh.ports + 1, dtype=np.int64)
    times = np.empty(mesh.cells, dtype=np.int64)
    first = 0
    for window in mesh.windows:
        ports = np.array(window, dtype=np.int64)
        at = np.maximum(ready[ports], ready[ports + 1])
        at += (at + ports) % 2
        ready[ports] = ready[ports + 1] = at + 1
        times[first : first + len(ports)] = at
        first += len(ports)
    return times


@lru_cache(maxsize=32)
def _diamond(side: int) -> tuple[Mesh, np.ndarray]:
    """The mesh of a diamond, and the number of its cell at (u, v), int64 (k, k)."""
    u, v = np.divmod(np.arange(side * side), side)
    order = np.lexsort((u - v, u + v))
    windows = [[] for _ in range(2 * side - 1)]
    for cell in order:
        windows[u[cell] + v[cell]].append(int(u[cell] - v[cell]) + side - 1)
    number = np.empty(side * side, dtype=np.int64)
    number[order] = np.arange(side * side)
    mesh = Mesh(f"block of {side}", 2 * side, tuple(map(tuple, windows)), screen=())
    return mesh, number.reshape(side, side)
