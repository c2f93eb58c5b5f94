"""From a bank's table of words to the light: phases, errors, and each tile's realised transfer matrix.

``T = U_q diag(a_q) V_q^H`` with quantized phases and attenuations and the chip's static errors. The known,
uniform loss is divided out (gain makes up for it); what it does to the noise is in
:func:`.optics.detection.noise_coefficients`.
"""

from __future__ import annotations

import numpy as np
import torch

from . import fixedpoint
from .errors import InputError, complaint
from .meshes import Mesh, tile_mesh
from .meshes.gauge import expand
from .optics.noise import normals
from .program import BankSpec, TileBank
from .slicing.cpu import tile_matrices
from .targets.schema import Target

SIDES = ("left", "right")
"""The two meshes of a tile: ``left`` holds U, ``right`` holds V^H and meets the light first."""

GRID = 2.0**32
"""Realised matrices are multiples of 1 / GRID: sums of integer codes times them are exact in float64."""

PHASE_STREAM, SPLITTER_STREAM = 0x5048, 0x4253
CHUNK_BYTES = 32 << 20


def bank_mesh(bank: TileBank) -> Mesh:
    """The topology of a bank's meshes."""
    return tile_mesh(bank.spec)


def bank_phases(bank: TileBank, side: str, exact: bool = False, tiles: slice | None = None) -> np.ndarray:
    """Phases of one side's meshes in radians, float64 (T, phases).

    Args:
        bank: the table. side: ``left`` (U) or ``right`` (V^H).
        exact: the stored 32-bit words; otherwise what drivers of ``spec.phase_bits`` make of them.
        tiles: rows of the table, all by default.
    """
    words = phase_words(bank, side, tiles)
    bits = None if exact else bank.spec.phase_bits
    return fixedpoint.realised_phase_rad(fixedpoint.phase_codes(words, bits), bits)


def phase_words(bank: TileBank, side: str, tiles: slice | np.ndarray | None = None) -> np.ndarray:
    """Stored phases of one side, uint32 turns / 2**32 (T, phases); real gauges are expanded. ``tiles``: rows wanted."""
    if side not in SIDES:
        raise InputError(complaint("a tile has two meshes", got=repr(side), allowed=" or ".join(SIDES)))
    part = slice(None) if tiles is None else tiles
    if f"{side}.phases" in bank.columns:
        return np.asarray(bank.columns[f"{side}.phases"][part])
    theta, sign = bank.columns[f"{side}.theta"][part], bank.columns[f"{side}.sign"][part]
    return expand(bank_mesh(bank), np.asarray(theta), np.asarray(sign))


def bank_attenuation(bank: TileBank, exact: bool = False, tiles: slice | None = None) -> np.ndarray:
    """Field amplitudes that the attenuators pass, float64 (T, n) in 0..1."""
    bits = None if exact else bank.spec.attenuator_bits
    words = np.asarray(bank.columns["attenuation"][tiles or slice(None)])
    return fixedpoint.realised_attenuation(fixedpoint.attenuator_codes(words, bits), bits)


def on_every_port(layout: Mesh, attenuation: np.ndarray) -> np.ndarray:
    """Attenuations (T, n) of a tile as those of its mesh's ports: what is below the tile's ports is blocked."""
    return np.pad(attenuation, ((0, 0), (0, layout.ports - attenuation.shape[1])))


def splitter_errors(target: Target, core: int, side: str, layout: Mesh) -> np.ndarray | None:
    """Angle errors of the splitters of one core's mesh, float64 (cells, splitters of a cell); None on a perfect chip.

    They belong to the chip (``mesh.chip_seed``), not to the run: normals of std ``splitter_error_rad``.
    """
    spread = target.mesh.splitter_error_rad
    if spread == 0:
        return None
    cells = torch.arange(layout.cell_splitters * layout.cells)
    drawn = normals(target.mesh.chip_seed, (SPLITTER_STREAM, core), torch.tensor(SIDES.index(side)), cells)
    return spread * drawn.double().numpy().reshape(layout.cells, layout.cell_splitters)


def phase_errors(
    target: Target, seed: int, bank_index: int, side: str, tiles: np.ndarray, phases: int
) -> np.ndarray | None:
    """Errors of the phases of some tiles, float64 (T, phases); None where the target has none.

    Normals of std ``phase_error_rad``, drawn once a run: a function of seed, bank, side, tile and phase.
    """
    spread = target.mesh.phase_error_rad
    if spread == 0:
        return None
    path = (PHASE_STREAM, bank_index, SIDES.index(side))
    drawn = normals(seed, path, torch.from_numpy(tiles)[:, None], torch.arange(phases))
    return spread * drawn.double().numpy()


def effective_matrices(
    bank: TileBank,
    target: Target,
    *,
    seed: int = 0,
    ideal: bool = False,
    bank_index: int = 0,
    cores: np.ndarray | None = None,
    tiles: slice | None = None,
) -> torch.Tensor:
    """The realised normalised transfer matrix of every tile.

    Args:
        bank, target: the table and the chip.
        seed: the run's seed; matters only with phase errors. bank_index: the bank's place in the program.
        ideal: exact phases and attenuations, no errors.
        cores: int (T,), the core each tile runs on, which owns its splitters; tile index modulo
            ``mesh.cores`` by default.
        tiles: rows of the table, all by default.
    Returns:
        Coherent detection, or ideal: Re(T), float64 (T, n, n). Intensity detection: T, complex128.
        Not ideal: rounded to multiples of 2^-32.
    """
    layout, spec = bank_mesh(bank), bank.spec
    chosen = range(spec.tiles)[tiles or slice(None)]
    real = ideal or target.detection.kind == "coherent"
    out = torch.empty((len(chosen), spec.ports, spec.ports), dtype=torch.float64 if real else torch.complex128)
    if cores is None:
        cores = np.arange(spec.tiles) % target.mesh.cores
    for start, rows in _chunks(chosen, layout):
        index = np.arange(rows.start, rows.stop)
        phases = {}
        splitters: dict[str, np.ndarray | None] = {}
        for side in SIDES:
            phases[side] = bank_phases(bank, side, ideal, rows)
            splitters[side] = None
            if not ideal:
                error = phase_errors(target, seed, bank_index, side, index, layout.phases)
                if error is not None:
                    phases[side] = phases[side] + error
                splitters[side] = _splitters_of(target, cores[index], side, layout)
        found = tile_matrices(
            layout,
            phases["left"],
            on_every_port(layout, bank_attenuation(bank, ideal, rows)),
            phases["right"],
            splitters["left"],
            splitters["right"],
            part="real" if real else "complex",
        )
        out[start : start + len(index)] = torch.from_numpy(found[:, : spec.ports, : spec.ports])
    if ideal:
        return out
    planes = out if real else torch.view_as_real(out)
    planes.mul_(GRID).round_().div_(GRID)
    return out


def _chunks(chosen: range, layout: Mesh) -> list[tuple[int, slice]]:
    """Rows of the table in runs that keep the phases of one chunk small: (place in the result, rows)."""
    if chosen.step != 1:
        raise InputError(complaint("tiles are taken in runs", got=f"step {chosen.step}", allowed="step 1"))
    size = max(1, CHUNK_BYTES // (64 * layout.phases))
    return [
        (start, slice(chosen.start + start, min(chosen.start + start + size, chosen.stop)))
        for start in range(0, len(chosen), size)
    ]


def _splitters_of(target: Target, cores: np.ndarray, side: str, layout: Mesh) -> np.ndarray | None:
    """Splitter errors of the cores that some tiles run on, (T, cells, splitters of a cell)."""
    if target.mesh.splitter_error_rad == 0:
        return None
    owners, which = np.unique(cores, return_inverse=True)
    tables = [splitter_errors(target, int(core), side, layout) for core in owners]
    return np.stack([table for table in tables if table is not None])[which]


def assembled_matrix(bank: TileBank, matrices: torch.Tensor) -> torch.Tensor:
    """The matrix that the tiles hold together: ``scale * T`` placed in the grid, padding cut off.

    Args: matrices: float64 (T, n, n), the tiles' real matrices, as from ``effective_matrices(ideal=True)``.
    Returns: (groups, rows, cols), the dtype of ``matrices``; skipped tiles are zero. Of a packed bank only the
    diagonal blocks: (groups * blocks, rows / blocks, cols / blocks). A ``shift`` column (intensity detection)
    is taken off.
    """
    spec, n = bank.spec, bank.spec.ports
    scale = torch.from_numpy(np.array(bank.columns["scale"])).to(matrices)
    values = matrices * scale[:, None, None]
    if "shift" in bank.columns:
        values = values - torch.from_numpy(np.array(bank.columns["shift"])).to(matrices)[:, None, None]
    group, row, col = (torch.from_numpy(np.array(bank.columns[name], np.int64)) for name in ("group", "row", "col"))
    if spec.blocks > 1:
        return _diagonal_blocks(spec, values, (group, row, col))
    grid = matrices.new_zeros((spec.groups, spec.grid_rows, n, spec.grid_cols, n))
    grid[group, row, :, col] = values
    full = grid.reshape(spec.groups, spec.grid_rows * n, spec.grid_cols * n)
    return full[:, : spec.rows, : spec.cols].contiguous()


def _diagonal_blocks(
    spec: BankSpec, values: torch.Tensor, place: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """The blocks of a packed bank, gathered from its tiles; the zeros around them are never laid out."""
    n, (rows, cols) = spec.ports, spec.block_shape
    grid = torch.full((spec.groups, spec.grid_rows, spec.grid_cols), len(values))
    grid[place] = torch.arange(len(values))
    with_none = torch.cat((values, values.new_zeros((1, n, n))))  # the last is what a skipped tile holds
    row = torch.arange(spec.rows).view(spec.blocks, rows, 1)
    col = torch.arange(spec.cols).view(spec.blocks, 1, cols)
    parts = [with_none[of_group[row // n, col // n], row % n, col % n] for of_group in grid]
    return torch.cat(parts)
