"""Meshes of any 2x2 cells in torch: matrices, final diagonal and fields in, fields out, with gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..meshes import Mesh
from ..threads import kernel_threads
from . import general_kernel as kernel
from .lossless import complexes, numpy_of, reals, spread_units
from .plan import Plan, by_window, cut, plan

REVERSIBLE_DB = 30.0
"""Losses up to which fields are recomputed through inverse cells; above, from checkpoints."""

_CHECKPOINT_BLOCK = 64


class CellMesh(torch.autograd.Function):
    """``apply(fields (T, B, n), cells (T, cells, 4), final (T, n), mesh, lossless=False)``, all complex of one dtype.

    ``cells`` holds m00, m01, m10, m11 of every cell, ``final`` the diagonal behind the last window. ``lossless``: the
    caller knows that no cell loses light, and nobody needs to look.
    """

    @staticmethod
    def forward(ctx: Any, fields: Tensor, cells: Tensor, final: Tensor, mesh: Mesh, lossless: bool = False) -> Tensor:
        """Fields behind the meshes."""
        source = reals(fields)
        tables = _tables(cells), final.detach().resolve_conj().to(torch.complex128).contiguous().numpy()
        out = np.empty_like(source)
        blocks = cut(source.shape[0], source.shape[1], kernel_threads())
        order = plan(mesh)
        spread_units(kernel.forward, len(source), blocks, order, order.cell, *tables, source, out)
        result = complexes(out)
        wanted = any(ctx.needs_input_grad[1:3])
        ctx.checkpoints = wanted and not lossless and loss_db(mesh, tables[0]) > REVERSIBLE_DB
        ctx.save_for_backward(fields if ctx.checkpoints else result, final)
        ctx.mesh, ctx.blocks, ctx.tables = mesh, blocks, tables
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients of fields, cells and final diagonal, of those that are asked for."""
        saved, final = ctx.saved_tensors
        source, incoming = reals(saved), reals(grad_outputs[0])
        table, ends_of = ctx.tables
        mesh, blocks, order = ctx.mesh, ctx.blocks, plan(ctx.mesh)
        tiles = len(source)
        to_fields = np.empty_like(source) if ctx.needs_input_grad[0] else source[:0]
        if not any(ctx.needs_input_grad[1:3]):
            tables = order.cell, table, ends_of, incoming, to_fields
            spread_units(kernel.field_gradients, tiles, blocks, order, *tables)
            return complexes(to_fields), None, None, None, None
        stops, inverse = np.zeros(1, dtype=np.int64), np.empty_like(table)
        if not ctx.checkpoints:
            kernel.inverses(table.reshape(-1, 8), inverse.reshape(-1, 8))
        else:
            order = by_window(mesh)
            stops = checkpoints(order)
            blocks = cut(tiles, source.shape[1], kernel_threads(), _CHECKPOINT_BLOCK)
        sums = np.zeros((tiles, blocks.chunks, mesh.cells, 8), dtype=source.dtype)
        ends = np.zeros((tiles, blocks.chunks, mesh.ports, 2))
        tables = order.cell, table, inverse, stops, ends_of, source, incoming, sums, ends, to_fields
        spread_units(kernel.backward, tiles, blocks, order, *tables)
        to_cells = sums.sum(axis=1).reshape(tiles, mesh.cells, 4, 2)
        return (
            complexes(to_fields) if ctx.needs_input_grad[0] else None,
            complexes(to_cells),
            complexes(ends.sum(axis=1)).to(final.dtype),
            None,
            None,
        )


def _tables(cells: Tensor) -> np.ndarray:
    """Real (tiles, cells, 8) of complex (tiles, cells, 4)."""
    numbers = numpy_of(torch.view_as_real(cells.detach().resolve_conj()))
    return numbers.reshape(*numbers.shape[:2], 8)


def loss_db(mesh: Mesh, cells: np.ndarray) -> float:
    """How far the paths of the worst mesh may grow apart: per window the span of gains, summed, in dB.

    A port that passes by keeps its field, so a loss that all cells share counts in full. A cell that blocks
    light altogether makes it infinite.
    """
    if not cells.size:
        return 0.0
    m = cells.view(np.complex128 if cells.dtype == np.float64 else np.complex64).astype(np.complex128)
    # singular values of a 2x2 matrix: from its Frobenius norm and its determinant
    norm = (np.abs(m) ** 2).sum(-1)
    determinant = np.abs(m[..., 0] * m[..., 3] - m[..., 1] * m[..., 2])
    root = np.sqrt(np.maximum(norm**2 - 4 * determinant**2, 0))
    high = np.sqrt((norm + root) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(high > 0, determinant / high, 0.0)
        starts = np.unique(mesh.cell_windows, return_index=True)[1]
        best = np.maximum(np.maximum.reduceat(high, starts, axis=-1), 1.0)
        worst = np.minimum(np.minimum.reduceat(low, starts, axis=-1), 1.0)
        spans = 20 * np.log10(best / worst)
    return float(np.nan_to_num(spans.sum(-1), nan=math.inf).max())


def checkpoints(order: Plan) -> np.ndarray:
    """Where groups of about sqrt(depth) windows begin in the order, and its end, int64."""
    windows = np.unique(order.window)
    stride = max(1, math.isqrt(len(windows)))
    return np.append(np.searchsorted(order.window, windows[::stride]), len(order.window)).astype(np.int64)
