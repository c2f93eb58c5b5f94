"""Singular value decomposition: W = scale * U diag(a) V^H."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ...runtime.program import BankSpec
from ...runtime.targets import Target
from ...runtime.threads import kernels_first, spread
from .base import Columns


@dataclass(frozen=True)
class Decompose:
    """Split each tile into two unitaries and attenuations 0 <= a <= 1; the largest singular value is digital."""

    name: ClassVar[str] = "decompose"
    consumes: ClassVar[tuple[str, ...]] = ("weights",)
    produces: ClassVar[tuple[str, ...]] = ("weights", "scale", "left", "attenuation", "right")

    def spec(self, spec: BankSpec, target: Target) -> BankSpec:
        """Unchanged."""
        del target
        return spec

    def run(self, columns: Columns, spec: BankSpec, target: Target) -> dict[str, np.ndarray]:
        """See :class:`TilePass`."""
        del spec, target
        weights = columns["weights"]
        left, singular, right = _svd(weights)
        scale = singular[:, 0].copy()
        # rounding may put a value a hair above the largest one's quotient, or below zero
        attenuation = np.clip(singular / scale[:, None], 0.0, 1.0)
        return {
            "weights": weights,
            "scale": scale,
            "left": left,
            "attenuation": attenuation,
            "right": right,
        }


def _svd(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SVDs of a batch, float64 (T, n, n): U, singular values, V^H.

    The batch is shared out over threads, each matrix on one: several threads on one small matrix mostly wait for each
    other, and would give other last digits than one.
    """
    batch = torch.from_numpy(matrices)
    left, right, values = torch.empty_like(batch), torch.empty_like(batch), batch.new_empty(batch.shape[:-1])

    def run(first: int, last: int) -> None:
        part = slice(first, last)
        left[part], values[part], right[part] = torch.linalg.svd(batch[part])

    with kernels_first():
        spread(len(matrices), run)
    return left.numpy(), values.numpy(), right.numpy()
