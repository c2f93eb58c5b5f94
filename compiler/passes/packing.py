"""Pack the small kernels of grouped convolutions: neighbouring groups share tiles as diagonal blocks.

A depthwise 3 x 3 kernel is a matrix of 1 x 9: alone it leaves a tile of 64 x 64 almost empty. Seven of them
side by side fill its columns, each with a row of its own. im2col already lays the patches of neighbouring
groups side by side, so packing changes nothing but the matrix.
"""

from __future__ import annotations

import numpy as np
import torch

from ...runtime.program import BankSpec

_WIDEST = 2
"""Tile rows that a packed matrix may span: more would add empty tiles for the simulator to walk, and no use."""

_CHUNK_BYTES = 8 << 20


def choose_blocks(groups: int, rows: int, cols: int, ports: int) -> int:
    """How many neighbouring groups to pack into one block-diagonal matrix.

    Args:
        groups: Groups of the convolution.
        rows, cols: The matrix of one group.
        ports: Width of a tile.

    Returns:
        The divisor of ``groups`` that needs the fewest tiles, and of several the smallest, so that nothing is
        packed where packing saves nothing.
    """
    limit = max(1, _WIDEST * ports // rows)
    divisors = [blocks for blocks in range(1, min(groups, limit) + 1) if groups % blocks == 0]
    return min(divisors, key=lambda blocks: (groups // blocks * tiles_of_blocks(blocks, rows, cols, ports), blocks))


def tiles_of_blocks(blocks: int, rows: int, cols: int, ports: int) -> int:
    """Tiles of a block-diagonal matrix of ``blocks`` blocks of rows x cols, all-zero tiles left out."""
    first, last = _column_range(blocks, rows, cols, ports)
    return int((last - first).sum())


def _column_range(blocks: int, rows: int, cols: int, ports: int) -> tuple[np.ndarray, np.ndarray]:
    """For each tile row the tile columns [first, last) that its blocks reach, one after another without a gap."""
    top = np.arange(-(-blocks * rows // ports)) * ports
    bottom = np.minimum(top + ports, blocks * rows)
    return top // rows * cols // ports, -(-(-(-bottom // rows) * cols) // ports)


def packed_places(weight: torch.Tensor, spec: BankSpec) -> np.ndarray:
    """Group, tile row and tile column of every tile of a packed matrix that holds a weight, int32 (T, 3), in order."""
    first, last = _column_range(spec.blocks, *spec.block_shape, spec.ports)
    of_group = np.array([(row, col) for row, ends in enumerate(zip(first, last, strict=True)) for col in range(*ends)])
    groups = np.repeat(np.arange(spec.groups), len(of_group))
    places = np.column_stack((groups, np.tile(of_group, (spec.groups, 1)))).astype(np.int32)
    weights = weight.detach().reshape(spec.groups * spec.blocks, *spec.block_shape)
    step = max(1, _CHUNK_BYTES // (8 * spec.ports**2))
    filled = [
        packed_tiles(weights, spec, *torch.from_numpy(part).long().T).any(axis=(1, 2))
        for part in (places[start : start + step] for start in range(0, len(places), step))
    ]
    return places[np.concatenate(filled)]


def packed_tiles(
    weights: torch.Tensor, spec: BankSpec, group: torch.Tensor, row: torch.Tensor, col: torch.Tensor
) -> np.ndarray:
    """The weights of some tiles of a packed matrix, gathered from its blocks.

    Args:
        weights: (groups * blocks, rows / blocks, cols / blocks), the blocks.
        spec: The shape of the bank.
        group, row, col: int64 (T,), where the tiles lie.

    Returns:
        float64 (T, ports, ports), zero outside the blocks.
    """
    (rows, cols), ports = spec.block_shape, torch.arange(spec.ports)
    y = (row[:, None] * spec.ports + ports)[:, :, None]
    x = (col[:, None] * spec.ports + ports)[:, None, :]
    inside = (y // rows == x // cols) & (y < spec.rows) & (x < spec.cols)
    block = group[:, None, None] * spec.blocks + (y // rows).clamp(max=spec.blocks - 1)
    return torch.where(inside, weights[block, y % rows, x % cols].double(), 0.0).numpy()
