"""Optical loss: decibels and fractions of power."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..targets.fields import TargetFields


def transmission(loss_db: float) -> float:
    """Fraction of the power that a loss in dB leaves: ``10^(-loss/10)``."""
    return 10 ** (-loss_db / 10)


def loss_db(fraction: float) -> float:
    """Loss in dB that leaves a fraction of the power in (0, 1]: ``-10 log10(fraction)``."""
    if not 0 < fraction <= 1:
        raise ValueError(f"a transmitted fraction is in (0, 1]; got {fraction}")
    return -10 * math.log10(fraction)


def stack_loss_db(items: Iterable[tuple[float, float]]) -> float:
    """Total loss in dB of components in a row, given as (count or length, loss in dB of each)."""
    return math.fsum(count * each for count, each in items)


def path_loss_db(target: TargetFields, depth: int) -> float:
    """Loss in dB from the launch to a detector: couplings and two meshes (U and V^H) of ``depth`` windows."""
    mesh = target.mesh
    return stack_loss_db([(1, mesh.coupling_loss_db), (2 * depth, mesh.cell_loss_db)])
