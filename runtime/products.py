"""Products of two computed values on the chip: one is factorised and programmed for every sample, one streams through.

The matrix of a sample is a bank of its own, with one group for each of its products (the heads of an attention).
Factorising and mesh programming are the compiler's: :data:`Tiler` brings them in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import torch
from torch import Tensor

from .errors import InputError, LightloomError, complaint
from .program import BankSpec, ProductStep, TileBank
from .targets.schema import Target

Tiler = Callable[[Tensor, BankSpec, Target], TileBank]
"""Makes the full table of a bank of weights (groups, rows, cols)."""

FACTOR_OPS_PER_CUBE = 26
"""Operations, over the cube of the ports, that the host takes to factorise and program one tile: about 22 for an SVD
with both factors (Golub and Van Loan, Matrix Computations, 4th ed., section 8.6: 22 n^3 for real square matrices) and
2 for nulling each factor (n^2 / 2 rotations of pairs of rows, half of them zero, at 6 operations a pair, rounded)."""


def no_tiler(weights: Tensor, spec: BankSpec, target: Target) -> TileBank:
    """What runs without a compiler: an error that says so."""
    raise LightloomError(
        complaint(
            "a program with dynamic products needs the compiler at run time",
            where=spec.name,
            next_step="run it as a lightloom.Program, or hand a tiler to the runner",
        )
    )


def per_sample(
    step: ProductStep, left: Tensor, right: Tensor, samples: int, spec: BankSpec
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of every sample: the vectors (M, groups * K) of the left operand, and the weights (groups, N, K) of the right.

    Raises:
        InputError: operands that do not fit each other, the samples or the bank.
    """
    lead = prod(left.shape[:-2])
    fits = left.shape[:-2] == right.shape[:-2] and lead == samples * spec.groups
    if not fits or left.shape[-1] != spec.cols or tuple(right.shape[-2:]) != (spec.cols, spec.rows):
        raise InputError(
            complaint(
                "the operands of a dynamic product do not fit its tiles",
                where=step.path or step.name,
                got=f"{tuple(left.shape)} times {tuple(right.shape)}",
                allowed=f"{samples} samples of {spec.groups} products (..., {spec.cols}) times "
                f"({spec.cols}, {spec.rows})",
            )
        )
    groups = spec.groups
    wide = left.reshape(samples, groups, left.shape[-2], spec.cols)
    high = right.reshape(samples, groups, spec.cols, spec.rows)
    for sample in range(samples):
        yield wide[sample].transpose(0, 1).flatten(1), high[sample].transpose(1, 2)


def joined(step: ProductStep, parts: list[Tensor], left: Tensor, spec: BankSpec) -> Tensor:
    """The result (..., M, N) of the products (M, groups * N) of every sample."""
    shape = (*left.shape[:-1], spec.rows)
    if not parts:
        return left.new_zeros(shape)
    stacked = torch.stack(parts).unflatten(2, (spec.groups, spec.rows))
    return stacked.transpose(1, 2).reshape(shape)


def factor_cost(spec: BankSpec) -> int:
    """Operations of the host for the tiles of one sample."""
    return FACTOR_OPS_PER_CUBE * spec.ports**3 * spec.tiles
