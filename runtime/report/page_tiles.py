"""The tile grids and mesh settings that the page shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..banks import phase_words
from ..meshes import Mesh, tile_mesh
from ..pricing.counts import tile_weights
from ..program import BankSpec, ProgramBody, TileBank
from .packing import packed

SETTINGS_BYTES = 1 << 20
"""Mesh settings that the page holds, shared evenly by the layers: at least one tile a layer."""

PLACES = 120_000
"""Places of tile grids that the page holds, shared evenly by the layers; in larger grids neighbours are one place."""


def tiles_data(body: ProgramBody) -> list[dict[str, Any]]:
    """Every bank's grid, and the mesh settings of some of its tiles. Banks of computed matrices hold none."""
    names = [name for name, bank in body.banks.items() if not bank.spec.dynamic]
    share, places = SETTINGS_BYTES // max(1, len(names)), max(64, PLACES // max(1, len(names)))
    return [_bank(body, name, share, places) for name in names]


def _bank(body: ProgramBody, name: str, share: int, places: int) -> dict[str, Any]:
    bank = body.banks[name]
    spec, layout = bank.spec, tile_mesh(bank.spec)
    tile_bytes = 2 * layout.cells + spec.ports
    kept = min(spec.tiles, max(1, share // max(1, tile_bytes)))
    chosen = (
        np.unique(np.linspace(0, spec.tiles - 1, kept).round().astype(np.int64)) if spec.tiles else np.empty(0, int)
    )
    group, row, col = (bank.columns[axis].astype(np.int64) for axis in ("group", "row", "col"))
    row, col, by = coarse_grid(spec, group, row, col, places)
    across = -(-spec.grid_cols // by)
    place, where = np.unique(row * across + col, return_inverse=True)
    held = np.maximum(np.bincount(where, minlength=len(place)), 1)
    scale, filled = (
        np.bincount(where, values, len(place)) / held for values in (bank.columns["scale"], used_cells(bank))
    )
    return {
        "bank": name,
        "layers": [step.path or step.name for step in body.steps if name in getattr(step, "banks", ())],
        "groups": spec.groups,
        "rows": spec.rows,
        "cols": spec.cols,
        "grid": [spec.grid_rows, spec.grid_cols],
        "ports": spec.ports,
        "tiles": spec.tiles,
        "by": by,
        "across": across,
        "down": -(-spec.groups * spec.grid_rows // by),
        "place": packed(place, np.uint32),
        "scale": packed(scale, np.float32),
        "used": packed(np.rint(filled * 255), np.uint8),
        "mesh": _layout(layout),
        "chosen": chosen.tolist(),
        "at": where[chosen].tolist(),
        "where": [[int(bank.columns[axis][tile]) for axis in ("group", "row", "col")] for tile in chosen],
        "settings": [_settings(body, name, int(tile), layout) for tile in chosen],
    }


def used_cells(bank: TileBank) -> np.ndarray:
    """Share of each tile's cells that hold weights, float64 (T,)."""
    return tile_weights(bank) / bank.spec.ports**2


def coarse_grid(
    spec: BankSpec, group: np.ndarray, row: np.ndarray, col: np.ndarray, places: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Rows and columns (T,) of tiles in a grid of at most about ``places``, and how many tiles wide a place is.

    The groups lie below one another.
    """
    down, across, by = spec.groups * spec.grid_rows, spec.grid_cols, 1
    while -(-down // by) * -(-across // by) > max(places, 1):
        by += 1
    return (group * spec.grid_rows + row) // by, col // by, by


def _layout(layout: Mesh) -> dict[str, Any]:
    return {
        "topology": layout.topology,
        "ports": layout.ports,
        "windows": layout.depth,
        "window": packed(layout.cell_windows, np.uint16),
        "upper": packed(layout.cell_ports, np.uint16),
        "lower": packed(layout.cell_lower, np.uint16),
    }


def _settings(body: ProgramBody, name: str, tile: int, layout: Mesh) -> dict[str, str]:
    """Inner phases of both meshes in 1/256 turns, and attenuations in 1/255."""
    bank = body.banks[name]
    row = slice(tile, tile + 1)
    found = {
        side: packed((phase_words(bank, side, row)[0, : layout.cells] >> np.uint32(24)), np.uint8)
        for side in ("left", "right")
    }
    return {**found, "attenuation": packed(bank.columns["attenuation"][tile] >> np.uint32(24), np.uint8)}
