"""Cheaper reprogramming: of all settings that do the same, take those that move the phases least.

A core is configured for one tile after another. Every cell of a mesh in the real gauge has a free bit
(:mod:`.programming._settling`); it is chosen so that the phases go the shortest way from the tile that the core held
before. The matrices stay the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..runtime.meshes import Mesh, tile_mesh
from ..runtime.meshes.gauge import expand, pack_signs, unpack_signs
from ..runtime.pricing.movement import chains
from ..runtime.program import ProgramBody, TileBank
from ..runtime.scheduling.dealing import deal
from ..runtime.threads import spread
from .programming._settling import settle_chain

CHUNK = 256
"""Tiles of a chain that are unpacked at a time."""


def fewer_moves(body: ProgramBody, batch: int | None = None) -> ProgramBody:
    """The program with settings that move the phases less from tile to tile.

    Args:
        body: A program. Banks whose meshes have no real gauge stay as they are.
        batch: Samples of the run whose order of tiles counts; the example's batch by default.

    Returns:
        A program of the same matrices.
    """
    columns = {
        name: {key: np.array(bank.columns[key]) for key in bank.columns if key.endswith((".theta", ".sign"))}
        for name, bank in body.banks.items()
    }
    gauged = [name for name, own in columns.items() if own]
    if not gauged:
        return body
    layout = tile_mesh(body.banks[gauged[0]].spec)
    names = list(body.banks)
    schedule = deal(body, batch or body.example_batch)
    done = {name: np.zeros(bank.spec.tiles, bool) for name, bank in body.banks.items()}
    work: list[tuple[str, list[tuple[str, int]]]] = []
    for chain in chains(body, schedule):
        own = [(names[bank], tile) for bank, tile in chain.tolist() if names[bank] in gauged]
        fresh: list[tuple[str, int]] = []
        for name, tile in own:
            if not done[name][tile]:  # settled where it is configured first; later it is what it is
                done[name][tile] = True
                fresh.append((name, tile))
        work += [(side, fresh) for side in ("left", "right") if len(fresh) > 1]

    def settle(first: int, last: int) -> None:
        for side, chain in work[first:last]:
            _settle(layout, columns, side, chain)

    spread(len(work), settle)
    banks = {
        name: TileBank(bank.spec, {**bank.columns, **columns[name]}) if columns[name] else bank
        for name, bank in body.banks.items()
    }
    return replace(body, banks=banks)


def _settle(layout: Mesh, columns: dict[str, dict[str, np.ndarray]], side: str, chain: list[tuple[str, int]]) -> None:
    """Settle one side of a core's tiles, in chunks that overlap by the tile that the next one starts from."""
    starts = np.searchsorted(layout.cell_windows, np.arange(layout.depth + 1))
    for begin in range(0, len(chain) - 1, CHUNK):
        part = chain[begin : begin + CHUNK + 1]
        theta = np.stack([columns[name][f"{side}.theta"][tile] for name, tile in part])
        packed = np.stack([columns[name][f"{side}.sign"][tile] for name, tile in part])
        phases = expand(layout, theta, packed).astype(np.int64)
        wide, signs = theta.astype(np.int64), unpack_signs(layout, packed).astype(np.int64)
        settle_chain(
            layout.cell_ports,
            layout.cell_lower,
            starts,
            layout.cell_index,
            layout.ports,
            wide,
            signs,
            phases,
        )
        packed = pack_signs(signs.astype(bool))
        for row, (name, tile) in enumerate(part):
            columns[name][f"{side}.theta"][tile] = wide[row].astype(np.uint32)
            columns[name][f"{side}.sign"][tile] = packed[row]
