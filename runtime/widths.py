"""How many settings a tile has, and how many bytes numbers take."""

from __future__ import annotations

from .meshes import TileShape, tile_mesh

HOST_BYTES = 4
"""Bytes of one number on the host, on the link and in an accumulator (float32)."""


def settings_per_tile(spec: TileShape) -> int:
    """Phase shifters and attenuators of one tile: two meshes and one attenuator a port."""
    return 2 * tile_mesh(spec).phases + spec.ports


def number_bytes(bits: int | None) -> int:
    """Whole bytes of a number of so many bits; a continuous one is a float32."""
    return HOST_BYTES if bits is None else -(-bits // 8)
