"""The blocked engine: diamonds of k x k cells as dense 2k x 2k matrices, layer by layer, on any device of torch.

A block costs 32 flops a cell and sample where a cell kernel needs 24 to 28, but as matrix products. Its matrix comes
from the fields of the identity through its cells (:mod:`.block_plan`), by the same kernels as any mesh, and its
gradient goes back through them: on 2k columns instead of the batch. What the layers do is in :mod:`.block_layers`,
when they pay in :mod:`.block_cost`. Memory: a few times the fields, and a few times the 2 N^2 numbers of the blocks
of an N-port rectangle; nothing per window.

On a GPU the products follow ``torch.backends.cuda.matmul``: with TF32 allowed there, expect three digits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InputError, complaint
from ..meshes import Mesh
from . import triton_engine
from .batches import arrange
from .block_cost import best_side
from .block_layers import Layers
from .block_plan import BlockPlan, block_plan
from .cells import cell_matrices, screen_phasors
from .general import REVERSIBLE_DB, CellMesh, loss_db, numpy_of
from .imperfections import Imperfections
from .reference import bypass_loss, through_windows

DTYPES = (torch.complex64, torch.complex128)
"""Fields that the engine takes."""


def propagate(fields: Tensor, phases: Tensor, mesh: Mesh, chip: Imperfections, side: int | None = None) -> Tensor:
    """The engine: (fields, realised phases, mesh, imperfections) -> fields.

    Args:
        side: k; None takes what :func:`.block_cost.best_side` finds.

    Raises:
        InputError: cells that join other ports than neighbours, tensors on several devices, or fields that are
            neither complex64 nor complex128.
    """
    _check(fields, phases)
    cell_loss = chip.cell_loss_db
    bypass = bypass_loss(cell_loss, chip.bypass_loss_db)
    lossless = cell_loss is bypass or (not isinstance(cell_loss, Tensor) and cell_loss == bypass)
    extra = None if lossless else 10 ** (-torch.as_tensor(cell_loss - bypass).to(fields.device) / 20)
    batch = arrange(fields, phases, chip.splitter_error_rad, extra)
    dtype, tiles = fields.dtype, len(batch.fields)
    elements = cell_matrices(mesh, batch.phases, batch.errors, batch.gain, dtype)
    cells = torch.stack([element.expand(tiles, mesh.cells) for element in elements], dim=-1)
    out = batch.fields
    if mesh.cells and tiles:
        plan = block_plan(mesh, _side(mesh, batch.fields) if side is None else side)
        matrices = block_matrices(plan, cells, lossless)
        out = Layers.apply(out, matrices, plan, _tape(mesh, cells, lossless))
    out = batch.restore(out * screen_phasors(mesh, batch.phases, dtype).unsqueeze(-2))
    gain = 10 ** (-bypass * mesh.depth / 20)
    return out * gain if not isinstance(gain, Tensor) else out * gain.to(dtype)


def _check(fields: Tensor, phases: Tensor) -> None:
    if fields.device != phases.device:
        raise InputError(
            complaint(
                "Fields and phases on different devices", where="phases", got=phases.device, allowed=str(fields.device)
            )
        )
    if fields.dtype not in DTYPES:
        raise InputError(
            complaint("Fields of the wrong kind", where="fields", got=fields.dtype, allowed="complex64, complex128")
        )


def _side(mesh: Mesh, fields: Tensor) -> int:
    tiles, vectors, _ = fields.shape
    return best_side(mesh, vectors, tiles, fields.device.type)


def block_matrices(plan: BlockPlan, cells: Tensor, lossless: bool) -> Tensor:
    """The transposed matrices of all blocks, complex (layers, tiles * blocks, 2k, 2k): ``fields @ matrix``.

    Args:
        cells: complex (tiles, cells, 4), m00, m01, m10, m11 of every cell.
        lossless: whether no cell loses light.
    """
    tiles, side = len(cells), plan.side
    count = plan.layers * plan.blocks * tiles
    through = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=cells.dtype, device=cells.device)
    places = plan.positions(tiles, cells.device).reshape(-1)
    table = through.repeat(count * side**2, 1).index_copy(0, places, cells.reshape(-1, 4))
    table = table.view(count, side**2, 4)
    ports = 2 * side
    eye = torch.eye(ports, dtype=cells.dtype, device=cells.device).expand(count, ports, ports)
    matrices = _kernels(cells.device)(eye, table, plan.diamond, lossless)
    return matrices.view(plan.layers, plan.blocks * tiles, ports, ports)


def _kernels(device: torch.device) -> Callable[[Tensor, Tensor, Mesh, bool], Tensor]:
    """What sends fields (T, B, n) through cells (T, cells, 4): (fields, cells, mesh, lossless) -> fields."""
    if device.type == "cpu":
        return _by_cpu
    return triton_engine.through_cells if triton_engine.available(device) else _by_torch


def _by_cpu(fields: Tensor, cells: Tensor, mesh: Mesh, lossless: bool) -> Tensor:
    return CellMesh.apply(fields, cells, torch.ones_like(fields[:, 0]), mesh, lossless)


def _by_torch(fields: Tensor, cells: Tensor, mesh: Mesh, lossless: bool) -> Tensor:
    m00, m01, m10, m11 = cells.unsqueeze(1).unbind(-1)
    return through_windows(mesh, (m00, m01, m10, m11), fields)


def _tape(mesh: Mesh, cells: Tensor, lossless: bool) -> bool | None:
    """How fields are recomputed: None by adjoint blocks, False by inverse ones, True from checkpoints."""
    if lossless:
        return None
    if not cells.requires_grad:
        return False
    numbers = numpy_of(torch.view_as_real(cells.detach().cpu()))
    return loss_db(mesh, numbers.reshape(*numbers.shape[:2], 8)) > REVERSIBLE_DB
