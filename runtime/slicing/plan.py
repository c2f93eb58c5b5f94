"""The order in which kernels take the cells of a mesh, and how they cut a batch into blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..meshes import Mesh
from .vector import GRAIN

WAVE = 8
"""Windows taken together."""

_LARGEST_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Plan:
    """A mesh as arrays in the kernels' order.

    Within a group of ``WAVE`` windows the cells are taken along diagonals, so that a port's row is used by
    all windows of the group while it is in the nearest cache. Every cell comes after those it takes light from.

    Args:
        cell: number of each cell in the mesh, int64 (cells,).
        upper, lower: its ports, int64 (cells,).
        phi: place of its phi among the phases, int64 (cells,), -1 where it has none.
        screen: place of a port's shifter among the phases, int64 (ports,), -1 where it has none.
        window: its window, int64 (cells,).
    """

    cell: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    phi: np.ndarray
    screen: np.ndarray
    window: np.ndarray


@lru_cache(maxsize=32)
def plan(mesh: Mesh) -> Plan:
    """The plan of a mesh; made once."""
    upper, lower = mesh.cell_ports.astype(np.int64), mesh.cell_lower.astype(np.int64)
    window = mesh.cell_windows.astype(np.int64)
    order = np.arange(mesh.cells)
    if np.all(lower == upper + 1):
        step = window % WAVE
        order = np.lexsort((step, upper + step, window // WAVE))
    phi = np.full(mesh.cells, -1, dtype=np.int64)
    phi[mesh.phi_cells] = mesh.phase_layout["phi"].start + np.arange(len(mesh.phi_cells))
    screen = np.full(mesh.ports, -1, dtype=np.int64)
    screen[mesh.screen_ports] = mesh.phase_layout["screen"].start + np.arange(len(mesh.screen_ports))
    return Plan(order, upper[order], lower[order], phi[order], screen, window[order])


@lru_cache(maxsize=32)
def by_window(mesh: Mesh) -> Plan:
    """The plan that takes whole windows one after another: kernels with checkpoints stop between windows."""
    made = plan(mesh)
    order = np.argsort(made.cell)
    rows = {name: getattr(made, name)[order] for name in ("cell", "upper", "lower", "phi", "window")}
    return Plan(screen=made.screen, **rows)


@dataclass(frozen=True)
class Blocks:
    """How a batch is cut: ``chunks`` workers a tile, each with ``blocks`` blocks of ``samples`` samples."""

    chunks: int
    blocks: int
    samples: int


def cut(tiles: int, batch: int, threads: int, largest: int = _LARGEST_BLOCK) -> Blocks:
    """Blocks of even size for every thread; several tiles go to whole threads each."""
    chunks = 1 if tiles >= threads else threads
    chunks = max(1, min(chunks, -(-batch // GRAIN)))
    blocks = max(1, -(-batch // (chunks * largest)))
    samples = -(-batch // (chunks * blocks))
    return Blocks(chunks, blocks, -(-samples // GRAIN) * GRAIN)
