"""The one entrance: vectors through a bank, on the engine asked for."""

from __future__ import annotations

import torch

from ..errors import InputError, complaint
from .observe import Observer
from .plain import forward_plain
from .tables import BankTables

ENGINES = ("auto", "fused", "plain")


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
        engine: ``fused`` (numba, CPU), ``plain`` (torch), or ``auto``: fused where it supports the case.
        observe: called with a :class:`ColumnRecord` for every block (plain engine only).
    Returns: (V, groups * rows) or (N, groups * rows, L), in the dtype of the tables.
    Raises: InputError for a wrong shape or dtype, or an engine that cannot do what is asked.
    """
    _check(tables, x)
    if resolve_engine(tables, engine, observe) == "fused":
        from .fused import forward_fused

        return forward_fused(tables, x, seed=seed, stream=stream, first_vector=first_vector)
    flat = x if x.ndim == 2 else x.transpose(1, 2).reshape(-1, x.shape[1])
    out = forward_plain(tables, flat, seed=seed, stream=stream, first_vector=first_vector, observe=observe)
    return out if x.ndim == 2 else out.reshape(x.shape[0], x.shape[2], out.shape[1]).transpose(1, 2)


def resolve_engine(tables: BankTables, engine: str = "auto", observe: Observer | None = None) -> str:
    """The engine that runs: ``fused`` or ``plain``. Raises InputError where fused cannot do the case."""
    if engine not in ENGINES:
        raise InputError(complaint("unknown engine", got=repr(engine), allowed=", ".join(ENGINES)))
    reason = _why_not_fused(tables, observe)
    if engine == "fused" and reason:
        raise InputError(
            complaint(f"the fused engine cannot do this: {reason}", next_step="use engine='plain'")
        )
    return "plain" if engine == "plain" or reason else "fused"


def _why_not_fused(tables: BankTables, observe: Observer | None) -> str:
    if observe is not None:
        return "it does not record what passes through it"
    if tables.chip.intensity:
        return "it knows coherent detection only"
    if tables.scale.device.type != "cpu":
        return f"it runs on the CPU, and the tables are on {tables.scale.device}"
    return ""


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
    if x.dtype != tables.dtype or x.device != tables.scale.device:
        raise InputError(
            complaint(
                "vectors have another dtype or device than the tables",
                where=tables.spec.name,
                got=f"{x.dtype} on {x.device}",
                allowed=f"{tables.dtype} on {tables.scale.device}",
            )
        )
