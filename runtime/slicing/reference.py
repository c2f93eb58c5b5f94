"""The slicing engine in plain torch: the reference for every faster kernel.

Any device, float32 or float64, batched over tiles and vectors, differentiable in fields, phases,
splitter errors and losses. A window is one vectorised sequence of operations on its cells' ports.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from ..errors import InputError, complaint
from ..meshes import Mesh
from .cells import Elements, cell_matrices, screen_phasors


def propagate(
    mesh: Mesh,
    phases_rad: Tensor,
    fields: Tensor,
    splitter_error_rad: Tensor | None = None,
    cell_loss_db: float | Tensor = 0.0,
    bypass_loss_db: float | Tensor | None = None,
) -> Tensor:
    """Fields at the output ports of a mesh, ``y = U x``, port 0 on top.

    Leading dimensions broadcast: T tiles with B vectors each are phases (T, 1, phases) and fields
    (T, B, n).

    Args:
        mesh: windows and cells.
        phases_rad: real (..., phases), in the order of ``mesh.phase_layout``.
        fields: complex (..., n) amplitudes at the input ports.
        splitter_error_rad: real (..., cells, mesh.cell_splitters), added to the angle pi/4 of the splitters
            of a cell in the order that light meets them; a splitter is [[cos, j sin], [j sin, cos]].
        cell_loss_db: insertion loss of a cell, on both of its ports; a number or (..., cells).
        bypass_loss_db: loss of passing a window without a cell; None takes the number of
            ``cell_loss_db`` (waveguides matched to the cells, so the loss is uniform).

    Returns:
        complex (..., n), in the dtype of ``fields``.

    Raises:
        InputError: wrong shape, real fields, or per-cell losses without a bypass loss.
    """
    check(mesh, phases_rad, fields, splitter_error_rad)
    dtype = fields.dtype
    cell_gain = _gain(cell_loss_db, fields)
    bypass_gain = _gain(bypass_loss(cell_loss_db, bypass_loss_db), fields)
    elements = cell_matrices(mesh, phases_rad, splitter_error_rad, cell_gain, dtype)
    return through_windows(mesh, elements, fields, bypass_gain) * screen_phasors(mesh, phases_rad, dtype)


def through_windows(mesh: Mesh, elements: Elements, fields: Tensor, bypass_gain: Tensor | None = None) -> Tensor:
    """Fields (..., n) behind the last window, before the screen; elements (..., cells) each."""
    m00, m01, m10, m11 = elements
    for first, last, upper, lower, bypass, order in _window_ports(mesh, fields.device):
        top, bottom = fields.index_select(-1, upper), fields.index_select(-1, lower)
        cells = slice(first, last)
        out_top = m00[..., cells] * top + m01[..., cells] * bottom
        out_bottom = m10[..., cells] * top + m11[..., cells] * bottom
        passing = fields.index_select(-1, bypass)
        if bypass_gain is not None:
            passing = passing * bypass_gain
        passing = passing.expand(*out_top.shape[:-1], passing.shape[-1])
        fields = torch.cat([out_top, out_bottom, passing], dim=-1).index_select(-1, order)
    return fields


def transfer_matrix(
    mesh: Mesh,
    phases_rad: Tensor,
    splitter_error_rad: Tensor | None = None,
    cell_loss_db: float | Tensor = 0.0,
    bypass_loss_db: float | Tensor | None = None,
) -> Tensor:
    """Transfer matrices of meshes: the identity, propagated.

    Args:
        mesh: windows and cells.
        phases_rad: float32 or float64 (..., phases).
        splitter_error_rad, cell_loss_db, bypass_loss_db: as in :func:`propagate`.

    Returns:
        complex (..., n, n), element [i, k] from input port k to output port i.

    Raises:
        InputError: as :func:`propagate`.
    """
    dtype = torch.complex64 if phases_rad.dtype == torch.float32 else torch.complex128
    eye = torch.eye(mesh.ports, dtype=dtype, device=phases_rad.device)
    if splitter_error_rad is not None:
        splitter_error_rad = splitter_error_rad.unsqueeze(-3)
    if isinstance(cell_loss_db, Tensor) and cell_loss_db.ndim:
        cell_loss_db = cell_loss_db.unsqueeze(-2)
    rows = propagate(mesh, phases_rad.unsqueeze(-2), eye, splitter_error_rad, cell_loss_db, bypass_loss_db)
    return rows.transpose(-1, -2)


def bypass_loss(cell_loss_db: float | Tensor, bypass_loss_db: float | Tensor | None) -> float | Tensor:
    """The loss of a bypass: as given, or that of the cells where None and it is one for all."""
    if bypass_loss_db is not None:
        return bypass_loss_db
    if isinstance(cell_loss_db, Tensor) and cell_loss_db.ndim:
        raise InputError(
            complaint(
                "Losses differ from cell to cell and the bypass loss is not given",
                where="bypass_loss_db",
                next_step="pass bypass_loss_db, for example 0.0",
            )
        )
    return cell_loss_db


def _gain(loss_db: float | Tensor, fields: Tensor) -> Tensor | None:
    if not isinstance(loss_db, Tensor):
        if loss_db == 0:
            return None
        loss_db = torch.tensor(float(loss_db), dtype=torch.float64, device=fields.device)
    return torch.pow(10.0, -loss_db / 20).to(fields.dtype)


@lru_cache(maxsize=32)
def _window_ports(mesh: Mesh, device: torch.device) -> tuple[tuple[int, int, Tensor, Tensor, Tensor, Tensor], ...]:
    """Per window: its range of cells; the ports of upper arms, lower arms and bypasses; and the order
    that puts their concatenation back into ports."""
    plan = []
    ends = [0, *accumulate(map(len, mesh.windows))]
    for first, last in pairwise(ends):
        uppers, lowers = mesh.cell_ports[first:last].tolist(), mesh.cell_lower[first:last].tolist()
        used = {*uppers, *lowers}
        bypass = [port for port in range(mesh.ports) if port not in used]
        place = {port: at for at, port in enumerate([*uppers, *lowers, *bypass])}
        order = [place[port] for port in range(mesh.ports)]
        ports = (torch.tensor(row, dtype=torch.int64, device=device) for row in (uppers, lowers, bypass, order))
        plan.append((first, last, *ports))
    return tuple(plan)


def check(mesh: Mesh, phases_rad: Tensor, fields: Tensor, splitter_error_rad: Tensor | None) -> None:
    """Raise InputError unless fields, phases and splitter errors have the dtypes and last dimensions of the mesh."""
    if not fields.is_complex() or fields.shape[-1:] != (mesh.ports,):
        raise InputError(
            complaint(
                "Fields of the wrong kind",
                where="fields",
                got=f"{fields.dtype} {tuple(fields.shape)}",
                allowed=f"complex (..., {mesh.ports})",
            )
        )
    if not phases_rad.is_floating_point() or phases_rad.shape[-1:] != (mesh.phases,):
        raise InputError(
            complaint(
                "Phases of the wrong kind",
                where="phases_rad",
                got=f"{phases_rad.dtype} {tuple(phases_rad.shape)}",
                allowed=f"real (..., {mesh.phases})",
            )
        )
    if splitter_error_rad is not None and splitter_error_rad.shape[-2:] != (mesh.cells, mesh.cell_splitters):
        raise InputError(
            complaint(
                "Splitter errors of the wrong shape",
                where="splitter_error_rad",
                got=tuple(splitter_error_rad.shape),
                allowed=f"(..., {mesh.cells}, {mesh.cell_splitters})",
            )
        )
