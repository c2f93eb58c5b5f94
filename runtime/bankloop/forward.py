"""The one entrance: vectors through a bank, on the engine asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..errors import InputError, complaint
from ..program import Conv2dGeometry
from .fused import run_fused
from .layout import patches_layout, planes_layout, rows_layout
from .observe import Observer
from .plain import forward_plain
from .tables import BankTables
from .triton_loop import run_triton, why_not

ENGINES = ("auto", "fused", "plain", "triton")
_RUN = {"fused": run_fused, "triton": run_triton}


def forward(
    tables: BankTables,
    x: torch.Tensor,
    *,
    seed: int = 0,
    stream: int = 0,
    first_vector: int = 0,
    engine: str = "auto",
    observe: Observer | None = None,
) -> torch.Tensor:
    """Send vectors through a bank of tiles, as the chip would, without the bias.

    Args:
        tables: the bank, ready to run; it fixes dtype and device.
        x: (V, groups * cols) vectors, or (N, groups * cols, L) with L vectors of each sample.
        seed, stream: name the noise stream (the run's seed, the step's index).
        first_vector: index in the whole run of the first vector, so that a split run sees the same noise.
        engine: ``fused`` (numba, CPU), ``triton`` (a CUDA GPU, needs the ``gpu`` extra), ``plain`` (torch), or
            ``auto``: that of the kernels which supports the case, or plain.
        observe: called with a :class:`ColumnRecord` for every block (plain engine only).
    Returns: (V, groups * rows) or (N, groups * rows, L), in the dtype of the tables.
    Raises: InputError for a wrong shape or dtype, or an engine that cannot do what is asked.
    """
    _check(tables, x)
    found = resolve_engine(tables, engine, observe)
    if found in _RUN:
        counters = {"seed": seed, "stream": stream, "first_vector": first_vector}
        return _through_kernel(tables, x, _RUN[found], counters)
    flat = x if x.ndim == 2 else x.transpose(1, 2).reshape(-1, x.shape[1])
    out = forward_plain(tables, flat, seed=seed, stream=stream, first_vector=first_vector, observe=observe)
    return out if x.ndim == 2 else out.reshape(x.shape[0], x.shape[2], out.shape[1]).transpose(1, 2)


def forward_conv2d(
    tables: BankTables,
    x: torch.Tensor,
    geometry: Conv2dGeometry,
    *,
    seed: int = 0,
    stream: int = 0,
    engine: str = "auto",
) -> torch.Tensor:
    """Send the patches of images through a bank, as :func:`forward` does, without ever storing them.

    Args:
        x: (N, C, H, W) images with their padding already around them (:func:`..geometry.pad`).
        geometry: how patches are cut; its padding is not applied again.
        seed, stream, engine: as in :func:`forward`; vectors count from the first patch of the first image.
    Returns: (N, groups * rows, OH, OW).
    Raises: InputError as :func:`forward`, and where the plain engine is asked for: cut the patches first.
    """
    found = resolve_engine(tables, engine)
    if found not in _RUN:
        raise InputError(
            complaint(
                "only the kernels (fused, triton) cut patches by themselves",
                where=tables.spec.name,
                next_step="cut them with geometry.blocks and call forward",
            )
        )
    spec = tables.spec
    if x.ndim != 4 or x.shape[1] * geometry.kernel[0] * geometry.kernel[1] != spec.groups * spec.cols:
        raise InputError(complaint("images do not fit the bank", where=spec.name, got=f"shape {tuple(x.shape)}"))
    _check_kind(tables, x)
    patches = patches_layout(x.shape[1], x.shape[2], x.shape[3], geometry)
    rows = spec.groups * spec.rows
    out = x.new_empty((x.shape[0], rows, patches.lines, patches.places))
    each = patches.lines * patches.places
    if out.numel():
        results = planes_layout(rows, each)
        _RUN[found](tables, x.contiguous(), patches, out, results, len(x) * each, seed=seed, stream=stream)
    return out


def _through_kernel(
    tables: BankTables, x: torch.Tensor, run: Callable[..., None], counters: dict[str, int]
) -> torch.Tensor:
    spec = tables.spec
    x = x.contiguous()
    out = x.new_empty((x.shape[0], spec.groups * spec.rows, *x.shape[2:]))
    if x.ndim == 2:
        layouts = rows_layout(len(x), x.shape[1]), rows_layout(len(x), out.shape[1])
    else:
        layouts = planes_layout(x.shape[1], x.shape[2]), planes_layout(out.shape[1], x.shape[2])
    vectors = x.shape[0] if x.ndim == 2 else x.shape[0] * x.shape[2]
    run(tables, x, layouts[0], out, layouts[1], vectors, **counters)
    return out


def resolve_engine(tables: BankTables, engine: str = "auto", observe: Observer | None = None) -> str:
    """The engine that runs: ``fused``, ``triton`` or ``plain``. Raises InputError where it cannot do the case."""
    if engine not in ENGINES:
        raise InputError(complaint("unknown engine", got=repr(engine), allowed=", ".join(ENGINES)))
    if engine == "auto":
        return next((kernel for kernel in _RUN if not _why_not(kernel, tables, observe)), "plain")
    reason = _why_not(engine, tables, observe)
    if reason:
        raise InputError(complaint(f"the {engine} engine cannot do this: {reason}", next_step="use engine='plain'"))
    return engine


def _why_not(engine: str, tables: BankTables, observe: Observer | None) -> str:
    """What keeps an engine from the case; empty where nothing does."""
    if engine == "plain":
        return ""
    if observe is not None:
        return "it does not record what passes through it"
    if tables.chip.intensity:
        return "it knows coherent detection only"
    device = tables.scale.device
    if engine == "triton":
        return why_not(device)
    return "" if device.type == "cpu" else f"it runs on the CPU, and the tables are on {device}"


def _check(tables: BankTables, x: torch.Tensor) -> None:
    width = tables.spec.groups * tables.spec.cols
    if x.ndim not in (2, 3) or x.shape[1] != width:
        raise InputError(
            complaint(
                "vectors do not fit the bank",
                where=tables.spec.name,
                got=f"shape {tuple(x.shape)}",
                allowed=f"(vectors, {width}) or (samples, {width}, vectors each)",
            )
        )
    _check_kind(tables, x)


def _check_kind(tables: BankTables, x: torch.Tensor) -> None:
    if x.dtype != tables.dtype or x.device != tables.scale.device:
        raise InputError(
            complaint(
                "vectors have another dtype or device than the tables",
                where=tables.spec.name,
                got=f"{x.dtype} on {x.device}",
                allowed=f"{tables.dtype} on {tables.scale.device}",
            )
        )
