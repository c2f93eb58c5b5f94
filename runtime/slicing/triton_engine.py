"""The triton engine: windows of any cells on a GPU, with a backward that keeps nothing per window.

Loss shared by all ports stands at the end; cells act through their 2x2 matrices (:mod:`.triton_kernel`). Gradients
of these come group by group of windows: every block of samples sums its own, and the blocks are then added in one
order, so the same inputs give the same bits.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import InputError, complaint
from ..installed import install_hint
from ..meshes import Mesh
from . import reference
from .batches import arrange
from .cells import cell_matrices, screen_phasors
from .general import REVERSIBLE_DB, loss_db
from .imperfections import Imperfections

DTYPES = (torch.complex64, torch.complex128)
"""Fields that the engine takes."""

_BLOCK = 32
"""Samples of a program at most."""

_VECTOR = 1024
"""Cells times samples that a program takes at once: two for each of 512 threads, which keeps them in registers."""

_PROGRAMS = 128
"""Programs to spread a batch over, about one for each multiprocessor of a large GPU."""

_ROOM = 2**24
"""Numbers of partial gradients (64 MiB of float32) that are worth having for fewer launches."""


@lru_cache(maxsize=1)
def _kernel() -> Any:
    """The kernels, or None where triton cannot be imported."""
    try:
        from . import triton_kernel
    except ImportError:
        return None
    return triton_kernel


def available(device: torch.device) -> bool:
    """Whether the engine runs on tensors of a device: triton can be imported, and the device is a CUDA GPU or
    triton's interpreter is on."""
    return (device.type == "cuda" or not _waits_for_gpu()) and _kernel() is not None


def _waits_for_gpu() -> bool:
    kernel = _kernel()
    return kernel is None or kernel.COMPILED


def propagate(fields: Tensor, phases: Tensor, mesh: Mesh, chip: Imperfections) -> Tensor:
    """The engine: (fields, realised phases, mesh, imperfections) -> fields.

    Raises:
        InputError: no triton, tensors that are not on one GPU (unless triton interprets), or fields that are
            neither complex64 nor complex128.
    """
    _check(fields, phases)
    cell_loss = chip.cell_loss_db
    bypass_loss = reference.bypass_loss(cell_loss, chip.bypass_loss_db)
    matched = cell_loss is bypass_loss or (not isinstance(cell_loss, Tensor) and cell_loss == bypass_loss)
    extra = None if matched else 10 ** (-torch.as_tensor(cell_loss - bypass_loss, device=fields.device) / 20)
    batch = arrange(fields, phases, chip.splitter_error_rad, extra)
    dtype = fields.dtype
    elements = cell_matrices(mesh, batch.phases, batch.errors, batch.gain, dtype)
    cells = torch.stack([element.expand(len(batch.fields), mesh.cells) for element in elements], dim=-1)
    out = through_cells(batch.fields, cells, mesh, matched)
    gain = 10 ** (-bypass_loss * mesh.depth / 20)
    final = screen_phasors(mesh, batch.phases, dtype).unsqueeze(-2)
    out = batch.restore(out * final)
    return out * gain if not isinstance(gain, Tensor) else out * gain.to(dtype)


def through_cells(fields: Tensor, cells: Tensor, mesh: Mesh, lossless: bool) -> Tensor:
    """Fields (T, B, n) behind the last window of T meshes, before their screens, complex of one dtype.

    Args:
        cells: complex (T, cells, 4), m00, m01, m10, m11 of every cell.
        lossless: whether no cell loses light, so that fields can be recomputed through inverse cells.
    """
    numbers = torch.view_as_real(cells.resolve_conj()).flatten(2).transpose(1, 2).contiguous()
    return _Cells.apply(fields, numbers, mesh, lossless)


def _check(fields: Tensor, phases: Tensor) -> None:
    if _kernel() is None:
        raise InputError(
            complaint(
                "The triton engine needs triton, which cannot be imported",
                where="engine",
                got="'triton'",
                next_step=f"{install_hint('gpu')}, or take engine='auto'",
            )
        )
    for name, tensor in (("fields", fields), ("phases", phases)):
        if not available(tensor.device) or tensor.device != fields.device:
            raise InputError(
                complaint(
                    "The triton engine takes tensors of one CUDA GPU (others only where TRITON_INTERPRET=1 was set at "
                    "the start)",
                    where=name,
                    got=tensor.device,
                    next_step="move them with .to('cuda'), or take engine='auto'",
                )
            )
    if fields.dtype not in DTYPES:
        raise InputError(
            complaint("Fields of the wrong kind", where="fields", got=fields.dtype, allowed="complex64, complex128")
        )


@dataclass(frozen=True)
class _Plan:
    """How programs share the work: ``blocks`` of ``samples`` a tile, ``vector`` cells of a window at once."""

    tiles: int
    batch: int
    ports: int
    blocks: int
    samples: int
    vector: int

    @property
    def programs(self) -> int:
        return self.tiles * self.blocks


def _plan(fields: Tensor, mesh: Mesh) -> _Plan:
    tiles, batch, ports = fields.shape
    samples = _BLOCK
    while samples > 1 and (samples // 2 >= batch or (samples > 4 and tiles * -(-batch // samples) < _PROGRAMS)):
        samples //= 2
    widest = max(map(len, mesh.windows), default=1)
    vector = min(1 << max(widest - 1, 0).bit_length(), _VECTOR // samples)
    return _Plan(tiles, batch, ports, -(-batch // samples), samples, vector)


def _packed(fields: Tensor, plan: _Plan) -> Tensor:
    """Complex fields (T, B, n) as planes (programs, 2, n, samples), zeros where the batch ends; always a copy."""
    parts = torch.view_as_real(fields.detach().resolve_conj())
    parts = torch.nn.functional.pad(parts, (0, 0, 0, 0, 0, plan.blocks * plan.samples - plan.batch))
    parts = parts.reshape(plan.tiles, plan.blocks, plan.samples, plan.ports, 2).permute(0, 1, 4, 3, 2)
    planes = torch.empty(parts.shape, dtype=parts.dtype, device=parts.device)
    return planes.copy_(parts).view(plan.programs, 2, plan.ports, plan.samples)


def _unpacked(planes: Tensor, plan: _Plan) -> Tensor:
    """The inverse of :func:`_packed`."""
    parts = planes.reshape(plan.tiles, plan.blocks, 2, plan.ports, plan.samples).permute(0, 1, 4, 3, 2)
    parts = parts.reshape(plan.tiles, plan.blocks * plan.samples, plan.ports, 2)[:, : plan.batch]
    return torch.view_as_complex(parts.contiguous())


@lru_cache(maxsize=32)
def _tables(mesh: Mesh, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Windows' first cells and the end (depth + 1,), upper and lower ports of cells (cells,), int32."""
    tables = np.array(_starts(mesh)), mesh.cell_ports, mesh.cell_lower
    starts, upper, lower = (torch.from_numpy(table.astype(np.int32)).to(device) for table in tables)
    return starts, upper, lower


@lru_cache(maxsize=32)
def _starts(mesh: Mesh) -> list[int]:
    return [0, *np.cumsum([len(window) for window in mesh.windows], dtype=np.int64).tolist()]


class _Cells(torch.autograd.Function):
    """``apply(fields (T, B, n) complex, cells (T, 8, cells) real, mesh, lossless)``."""

    @staticmethod
    def forward(ctx: Any, fields: Tensor, cells: Tensor, mesh: Mesh, lossless: bool) -> Tensor:
        plan = _plan(fields, mesh)
        planes = _packed(fields, plan)
        cells = cells.detach()
        _forward(planes, cells, mesh, plan, 0, mesh.depth)
        result = _unpacked(planes, plan)
        wanted = ctx.needs_input_grad[1]
        ctx.taped = wanted and not lossless and _span_db(mesh, cells) > REVERSIBLE_DB
        ctx.save_for_backward(cells, *((fields if ctx.taped else result,) if wanted else ()))
        ctx.mesh, ctx.plan = mesh, plan
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        cells, *saved = ctx.saved_tensors
        mesh, plan = ctx.mesh, ctx.plan
        gradient = _packed(grad_outputs[0], plan)
        fields = _packed(saved[0], plan) if saved else torch.empty_like(gradient)
        planes = torch.cat([fields, gradient], 1)
        if not saved:
            _backward(planes, cells, mesh, plan, 0, mesh.depth)
            return _unpacked(planes[:, 2:], plan), None, None, None
        group = _group(mesh, plan, ctx.taped)
        spans = [(first, min(first + group, mesh.depth)) for first in range(0, mesh.depth, group)]
        starts = _starts(mesh)
        room = max((starts[last] - starts[first] for first, last in spans), default=0)
        tape, kept = None, []
        if ctx.taped:
            tape = planes.new_empty(plan.programs, room, 4, plan.samples)
            for first, last in spans:
                kept.append(fields.clone())
                _forward(fields, cells, mesh, plan, first, last)
        sums = planes.new_empty(plan.programs, 8, room)
        to_cells = torch.empty_like(cells)
        for first, last in reversed(spans):
            if tape is not None:
                _forward(kept.pop(), cells, mesh, plan, first, last, tape)
            _backward(planes, cells, mesh, plan, first, last, sums, tape)
            begin, end = starts[first], starts[last]
            blocks = sums.reshape(plan.tiles, plan.blocks, 8, room)
            to_cells[..., begin:end] = blocks[..., : end - begin].sum(1)
        return _unpacked(planes[:, 2:], plan), to_cells, None, None


def _group(mesh: Mesh, plan: _Plan, taped: bool) -> int:
    """Windows a launch of the backward: those of a tape, or as many as keep the blocks' gradients as small as the
    fields or a constant, whatever the depth."""
    if taped:
        return max(1, math.isqrt(mesh.depth))
    a_window = max(1, 4 * plan.programs * plan.ports)
    return max(1, min(mesh.depth, max(4 * plan.samples, _ROOM // a_window)))


def _span_db(mesh: Mesh, cells: Tensor) -> float:
    return loss_db(mesh, cells.transpose(1, 2).contiguous().cpu().numpy())


def _launch(kernel: Any, plan: _Plan, planes: Tensor, *arguments: Any, **switches: Any) -> None:
    """Run a kernel with one program a tile and block of samples."""
    if not plan.programs:
        return
    warps = max(1, min(16, plan.vector * plan.samples // 64))
    on: AbstractContextManager[Any] = torch.cuda.device(planes.device) if planes.is_cuda else nullcontext()
    with on:
        # one stage: loads of a window must not be moved in front of the stores of the one before
        kernel[(plan.programs,)](
            planes, *arguments, C=plan.vector, S=plan.samples, num_warps=warps, num_stages=1, **switches
        )


def _forward(
    planes: Tensor, cells: Tensor, mesh: Mesh, plan: _Plan, first: int, last: int, tape: Tensor | None = None
) -> None:
    """Windows first .. last on planes (programs, 2, ports, samples), in place."""
    room = 0 if tape is None else tape.shape[1]
    tables = cells, *_tables(mesh, cells.device), planes if tape is None else tape
    sizes = first, last, plan.ports, mesh.cells, plan.blocks, room
    _launch(_kernel().forward, plan, planes, *tables, *sizes, TAPE=tape is not None)


def _backward(
    planes: Tensor,
    cells: Tensor,
    mesh: Mesh,
    plan: _Plan,
    first: int,
    last: int,
    sums: Tensor | None = None,
    tape: Tensor | None = None,
) -> None:
    """Windows last .. first on planes (programs, 4, ports, samples), in place."""
    room = 0 if sums is None else sums.shape[2]
    tables = cells, *_tables(mesh, cells.device), planes if tape is None else tape, planes if sums is None else sums
    sizes = first, last, plan.ports, mesh.cells, plan.blocks, room
    switches = {"SUMS": sums is not None, "TAPE": tape is not None}
    _launch(_kernel().backward, plan, planes, *tables, *sizes, **switches)
