"""What keeps a mesh from doing exactly what its phases say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, complaint
from ..meshes import Mesh


@dataclass(frozen=True)
class Imperfections:
    """Static imperfections of meshes. The default is a perfect chip.

    The commanded phases are first rounded to ``phase_bits``, then mixed by ``crosstalk``, then
    ``phase_error_rad`` is added. Tensors may require gradients; rounding passes gradients through unchanged.

    Args:
        splitter_error_rad: real (..., cells, mesh.cell_splitters), added to pi/4 of each splitter of a cell in
            the order that light meets them.
        cell_loss_db: insertion loss of a cell; a number or real (..., cells).
        bypass_loss_db: loss of passing a window without a cell; None matches the waveguides to the cells, so
            that every path loses the same. Needed where the losses differ from cell to cell.
        phase_error_rad: real (..., phases), added to the phases.
        phase_bits: bits of a phase shifter over one turn, 1 to 24; None is exact.
        crosstalk: shares of its phase that a shifter adds to its neighbours at distance 1, 2, ... of the same
            column (the same kind of shifter in the same window, or the screen); numbers, or real (reach,).
    """

    splitter_error_rad: Tensor | None = None
    cell_loss_db: float | Tensor = 0.0
    bypass_loss_db: float | Tensor | None = None
    phase_error_rad: Tensor | None = None
    phase_bits: int | None = None
    crosstalk: Tensor | tuple[float, ...] = ()

    def __post_init__(self) -> None:
        bits = self.phase_bits
        if bits is not None and (isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 24):
            raise InputError(
                complaint("No such phase resolution", where="phase_bits", got=bits, allowed="1 to 24, or None")
            )

    def realised_phases(self, mesh: Mesh, phases_rad: Tensor) -> Tensor:
        """What the shifters of a mesh really do, given the phases (..., phases) they are asked for."""
        phases = phases_rad
        if self.phase_bits is not None:
            phases = quantized(phases, self.phase_bits)
        if len(self.crosstalk):
            phases = _mixed(mesh, phases, self.crosstalk)
        if self.phase_error_rad is not None:
            phases = phases + self.phase_error_rad.to(phases.dtype)
        return phases


PERFECT = Imperfections()


def quantized(phases_rad: Tensor, bits: int) -> Tensor:
    """Phases rounded to steps of a turn / 2**bits, half up; the gradient passes as if they were not."""
    step = 2 * math.pi / 2**bits
    rounded = torch.floor(phases_rad.detach() / step + 0.5) * step
    return phases_rad + (rounded - phases_rad).detach()


def _mixed(mesh: Mesh, phases: Tensor, crosstalk: Tensor | tuple[float, ...]) -> Tensor:
    """Phases with the shares of their neighbours in the same column."""
    column = torch.from_numpy(_columns(mesh)).to(phases.device)
    mixed = phases
    for distance in range(1, min(len(crosstalk), mesh.phases - 1) + 1):
        neighbours = (column[distance:] == column[:-distance]).to(phases.dtype) * crosstalk[distance - 1]
        above = torch.nn.functional.pad(phases[..., :-distance] * neighbours, (distance, 0))
        below = torch.nn.functional.pad(phases[..., distance:] * neighbours, (0, distance))
        mixed = mixed + above + below
    return mixed


def _columns(mesh: Mesh) -> np.ndarray:
    """The column of every phase, int64 (phases,): shifters of one kind in one window share a number."""
    columns = np.empty(mesh.phases, dtype=np.int64)
    windows = mesh.cell_windows.astype(np.int64)
    for group, (name, where) in enumerate(mesh.phase_layout.items()):
        if name == "screen":
            place = np.zeros(len(mesh.screen_ports), dtype=np.int64)
        else:
            place = windows[mesh.phi_cells] if name == "phi" else windows
        columns[where] = group * (mesh.depth + 1) + place
    return columns
