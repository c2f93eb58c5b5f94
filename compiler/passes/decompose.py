"""Singular value decomposition: W = scale * U diag(a) V^H."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ...runtime.program import BankSpec
from ...runtime.targets import Target
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
        left, values, right = torch.linalg.svd(torch.from_numpy(weights))
        singular = values.numpy()
        scale = singular[:, 0].copy()
        # rounding may put a value a hair above the largest one's quotient, or below zero
        attenuation = np.clip(singular / scale[:, None], 0.0, 1.0)
        return {
            "weights": weights,
            "scale": scale,
            "left": left.numpy(),
            "attenuation": attenuation,
            "right": right.numpy(),
        }
