"""Lossless meshes in torch: phases, splitter errors and fields in, fields out, gradients by recomputation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..meshes import Mesh
from ..threads import kernel_threads, spread
from . import rotation_kernel as kernel
from .frames import PIECE, angles, frame, phase_gradients, rotations_of
from .plan import Blocks, Plan, cut, plan


class LosslessMesh(torch.autograd.Function):
    """``apply(fields (T, B, n), phases (T, phases), errors (T, cells, splitters) or None, gain, mesh)``.

    ``gain`` is the amplitude that every path through the mesh keeps: a loss that is the same on all paths.
    Saves the outgoing fields and four numbers a cell, nothing per window.
    """

    @staticmethod
    def forward(ctx: Any, fields: Tensor, phases: Tensor, errors: Tensor | None, gain: float, mesh: Mesh) -> Tensor:
        """Fields behind the meshes."""
        source = reals(fields)
        faults = faults_of(errors, len(phases))
        rotations, twists, final = _frames(mesh, phases, faults, gain, source.dtype)
        out = np.empty_like(source)
        blocks = cut(source.shape[0], source.shape[1], worth(source, mesh, _FORWARD))
        order = plan(mesh)
        spread_units(kernel.forward, len(source), blocks, order, rotations, final, source, out)
        result = complexes(out)
        ctx.save_for_backward(phases, *(() if errors is None else (errors,)), result)
        ctx.tables = faults, rotations, twists, final
        ctx.mesh = mesh
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients of fields, phases and errors, of those that are asked for."""
        (gradient,) = grad_outputs
        phases, *some, result = ctx.saved_tensors
        faults, rotations, twists, final = ctx.tables
        want_fields, want_phases, want_errors = ctx.needs_input_grad[:3]
        mesh, order = ctx.mesh, plan(ctx.mesh)
        outgoing, incoming = reals(result), reals(gradient)
        tiles = len(outgoing)
        blocks = cut(tiles, outgoing.shape[1], worth(outgoing, mesh, _BACKWARD))
        to_fields = np.empty_like(outgoing) if want_fields else outgoing[:0]
        if not (want_phases or want_errors):
            spread_units(kernel.adjoint, tiles, blocks, order, rotations, final, incoming, to_fields)
            return complexes(to_fields), None, None, None, None
        sums = np.zeros((tiles, blocks.chunks, mesh.cells, 4), dtype=outgoing.dtype)
        ends = np.zeros((tiles, blocks.chunks, mesh.ports))
        tables = rotations, final, outgoing, incoming, sums, ends, to_fields
        spread_units(kernel.backward, tiles, blocks, order, *tables)
        to_phases = np.empty((tiles, mesh.phases), dtype=numpy_of(phases).dtype)
        to_errors = np.empty((tiles if want_errors else 0, mesh.cells, mesh.cell_splitters))
        tables = numpy_of(phases), faults, rotations, twists, sums, ends, to_phases, to_errors
        _spread_cells(mesh, tiles, _each_gradient, mesh, order, *tables)
        return (
            complexes(to_fields) if want_fields else None,
            torch.from_numpy(to_phases) if want_phases else None,
            torch.from_numpy(to_errors).to(some[0].dtype) if want_errors else None,
            None,
            None,
        )


def spread_units(run: Any, tiles: int, blocks: Blocks, order: Plan, *tables: np.ndarray) -> None:
    """Call a kernel over all units of work."""
    spread(tiles * blocks.chunks, run, blocks.chunks, blocks.blocks, blocks.samples, order.upper, order.lower, *tables)


_FORWARD, _BACKWARD = 3_000_000, 1_000_000
_PARALLEL_CELLS = 40_000


def worth(fields: np.ndarray, mesh: Mesh, work: int) -> int:
    """Threads for fields (T, B, n, 2): one where waking others takes longer than ``work`` cells and samples."""
    return kernel_threads() if fields.shape[0] * fields.shape[1] * mesh.cells >= work else 1


def _spread_cells(mesh: Mesh, tiles: int, run: Any, *tables: Any) -> None:
    """Call ``run`` over the pieces of all tiles, on several threads where they are many."""
    pieces = tiles * _pieces(mesh)
    if tiles * mesh.cells < _PARALLEL_CELLS:
        run(0, pieces, *tables)
    else:
        spread(pieces, run, *tables)


def numpy_of(tensor: Tensor) -> np.ndarray:
    """A real tensor as a contiguous array."""
    return tensor.detach().contiguous().numpy()


def reals(fields: Tensor) -> np.ndarray:
    """Complex fields (...) as real numbers (..., 2)."""
    return torch.view_as_real(fields.detach().resolve_conj().contiguous()).numpy()


def complexes(numbers: np.ndarray) -> Tensor:
    """The inverse of :func:`reals`."""
    if not numbers.size:
        # torch wants strides that numpy does not give to arrays of nothing
        real = torch.float64 if numbers.dtype == np.float64 else torch.float32
        return torch.empty(numbers.shape[:-1], dtype=real.to_complex())
    return torch.view_as_complex(torch.from_numpy(numbers))


def faults_of(errors: Tensor | None, tiles: int) -> np.ndarray:
    """Splitter errors as float64 (tiles, cells, splitters); (tiles, 0, 0) stands for 50:50 splitters."""
    return np.empty((tiles, 0, 0)) if errors is None else numpy_of(errors.double())


def _frames(
    mesh: Mesh, phases: Tensor, faults: np.ndarray, gain: float, dtype: np.dtype[Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotations (tiles, cells, 4), twists (tiles, cells or 0) and final diagonals (tiles, ports) of meshes."""
    tiles, given = len(phases), numpy_of(phases)
    rotations = np.empty((tiles, mesh.cells, 4), dtype=dtype)
    final = np.empty((tiles, mesh.ports), dtype=np.complex128)
    twisted = bool(faults.shape[1]) and mesh.cell_splitters == 2
    twists = np.empty((tiles, mesh.cells if twisted else 0), dtype=np.complex128)
    if twisted:
        spread(tiles, _each_frame, mesh, plan(mesh), given, faults, rotations, twists, final)
    else:
        turns = np.empty((tiles, 2, mesh.cells))
        spread(tiles, _each_angles, mesh, plan(mesh), given, faults, turns, final)
        _spread_cells(mesh, tiles, rotations_of, _pieces(mesh), turns, rotations)
    final *= gain
    return rotations, twists, final


def _pieces(mesh: Mesh) -> int:
    return -(-mesh.cells // PIECE) or 1


def _kind(mesh: Mesh) -> tuple[bool, bool]:
    """Whether cells have two splitters, and a shifter on the lower arm."""
    return mesh.cell_splitters == 2, len(mesh.kind.phases) == 2


def _each_frame(first: int, last: int, mesh: Mesh, order: Plan, phases, faults, rotations, twists, final) -> None:
    ports = order.cell, order.upper, order.lower, order.phi, order.screen
    for tile in range(first, last):
        frame(phases[tile], faults[tile], _kind(mesh)[1], *ports, rotations[tile], twists[tile], final[tile])


def _each_angles(first: int, last: int, mesh: Mesh, order: Plan, phases, faults, turns, final) -> None:
    ports = order.cell, order.upper, order.lower, order.phi, order.screen
    for tile in range(first, last):
        angles(phases[tile], faults[tile], *_kind(mesh), *ports, turns[tile], final[tile])


def _each_gradient(
    first: int, last: int, mesh: Mesh, order: Plan, phases, faults, rotations, twists, sums, ends, to_phases, to_errors
) -> None:
    pieces = _pieces(mesh)
    for unit in range(first, last):
        tile, begin = unit // pieces, unit % pieces * PIECE
        phase_gradients(
            begin,
            min(begin + PIECE, mesh.cells),
            phases[tile],
            faults[tile],
            *_kind(mesh),
            order.cell,
            order.phi,
            order.screen,
            rotations[tile],
            twists[tile],
            sums[tile],
            ends[tile],
            to_phases[tile],
            to_errors[tile] if len(to_errors) else to_errors.reshape(0, mesh.cell_splitters),
        )
