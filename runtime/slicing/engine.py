"""``propagate``: light through meshes, by the engine that suits, differentiable in everything real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from ..errors import InputError, complaint
from ..meshes import Mesh
from . import block_cost, blocked, reference, triton_engine
from .batches import Batch, arrange
from .cells import cell_matrices, screen_phasors
from .general import CellMesh
from .imperfections import PERFECT, Imperfections
from .lossless import LosslessMesh


def propagate(
    fields: Tensor,
    phases: Tensor,
    mesh: Mesh,
    imperfections: Imperfections | None = None,
    engine: str = "auto",
) -> Tensor:
    """Fields at the output ports of meshes, ``y = U x``, port 0 on top.

    Leading dimensions broadcast: T different meshes of one topology with B vectors each are phases
    (T, 1, phases) and fields (T, B, n); so do those of the imperfections. Gradients reach fields, phases and the
    imperfections that require them.

    Args:
        fields: complex64 or complex128 (..., n), amplitudes at the input ports.
        phases: real (..., phases) in radians, in the order of ``mesh.phase_layout``.
        mesh: windows and cells.
        imperfections: of the chip; None is a perfect one.
        engine: "cpu", compiled kernels that keep nothing per window: memory grows with fields and cells, not
            with depth; "triton", the same on a CUDA GPU, needs the ``gpu`` extra; "blocked", cells in blocks as
            matrix products, on any device, where cells join neighbours; "torch", the plain reference, which
            autograd keeps whole; "auto", what :func:`engine_for` names.

    Returns:
        complex (..., n), in the dtype of ``fields``.

    Raises:
        InputError: unknown engine, wrong shape or dtype, phases that are not finite, tensors elsewhere than on
            the CPU for "cpu" or a CUDA GPU for "triton", no triton for "triton".
    """
    if engine not in (*ENGINES, "auto"):
        raise InputError(
            complaint("Unknown engine", where="engine", got=repr(engine), allowed=", ".join(("auto", *ENGINES)))
        )
    chip = PERFECT if imperfections is None else imperfections
    reference.check(mesh, phases, fields, chip.splitter_error_rad)
    # a sum is finite only if all of it is
    if not torch.isfinite(phases.detach().sum()):
        raise InputError(complaint("Phases that are not finite numbers", where="phases", next_step="look for NaN"))
    if engine == "auto":
        engine = engine_for(fields, mesh, phases.numel() // max(mesh.phases, 1))
    return ENGINES[engine](fields, chip.realised_phases(mesh, phases), mesh, chip)


def engine_for(fields: Tensor, mesh: Mesh | None = None, tiles: int = 1) -> str:
    """The engine that "auto" takes for complex fields: "cpu" on the CPU; on a CUDA GPU "blocked" where
    :func:`.block_cost.pays` says so for the mesh, else "triton". "torch" for all others, and without triton.

    Args:
        fields: complex (..., n).
        mesh: windows and cells; None for small ones.
        tiles: meshes with settings of their own.
    """
    if fields.dtype not in _COMPLEX:
        return "torch"
    if fields.device.type == "cpu":
        return "cpu"
    if not triton_engine.available(fields.device):
        return "torch"
    if mesh is not None:
        vectors = fields.numel() // (mesh.ports * max(tiles, 1))
        if block_cost.pays(mesh, vectors, tiles, fields.device.type):
            return "blocked"
    return "triton"


_COMPLEX = (torch.complex64, torch.complex128)


def _torch(fields: Tensor, phases: Tensor, mesh: Mesh, chip: Imperfections) -> Tensor:
    return reference.propagate(mesh, phases, fields, chip.splitter_error_rad, chip.cell_loss_db, chip.bypass_loss_db)


def _cpu(fields: Tensor, phases: Tensor, mesh: Mesh, chip: Imperfections) -> Tensor:
    """Every window loses the bypass loss on all ports, at the end; cells lose what is left of theirs."""
    for name, tensor in (("fields", fields), ("phases", phases)):
        if tensor.device.type != "cpu":
            raise InputError(
                complaint(
                    "The cpu engine takes tensors of the CPU",
                    where=name,
                    got=tensor.device,
                    next_step="take engine='auto'",
                )
            )
    if fields.dtype not in _COMPLEX:
        raise InputError(
            complaint("Fields of the wrong kind", where="fields", got=fields.dtype, allowed="complex64, complex128")
        )
    cell_loss = chip.cell_loss_db
    bypass_loss = reference.bypass_loss(cell_loss, chip.bypass_loss_db)
    matched = cell_loss is bypass_loss or (not isinstance(cell_loss, Tensor) and cell_loss == bypass_loss)
    gain = 10 ** (-bypass_loss * mesh.depth / 20)
    extra = None if matched else 10 ** (-_tensor(cell_loss - bypass_loss) / 20)
    batch = arrange(fields, phases, chip.splitter_error_rad, extra)
    if extra is not None:
        out = _any_cells(mesh, batch, batch.gain)
    elif isinstance(gain, Tensor):
        out = LosslessMesh.apply(batch.fields, batch.phases, batch.errors, 1.0, mesh)
    else:
        return batch.restore(LosslessMesh.apply(batch.fields, batch.phases, batch.errors, gain, mesh))
    return batch.restore(out) * (gain if not isinstance(gain, Tensor) else gain.to(fields.dtype))


def _tensor(number: float | Tensor) -> Tensor:
    return number if isinstance(number, Tensor) else torch.tensor(number, dtype=torch.float64)


def _any_cells(mesh: Mesh, batch: Batch, gain: Tensor | None) -> Tensor:
    """Cells of which some lose light: their matrices by torch, the fields through the general kernel."""
    dtype = batch.fields.dtype
    elements = cell_matrices(mesh, batch.phases, batch.errors, gain, dtype)
    cells = torch.stack([element.expand(len(batch.fields), mesh.cells) for element in elements], dim=-1)
    return CellMesh.apply(batch.fields, cells, screen_phasors(mesh, batch.phases, dtype), mesh)


ENGINES: Mapping[str, Callable[[Tensor, Tensor, Mesh, Imperfections], Tensor]] = MappingProxyType(
    {"cpu": _cpu, "torch": _torch, "triton": triton_engine.propagate, "blocked": blocked.propagate}
)
"""Every engine by name: (fields, realised phases, mesh, imperfections) -> fields."""
