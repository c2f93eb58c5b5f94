"""Make tiles nonnegative where the detector cannot see a sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...runtime.program import BankSpec
from ...runtime.targets import Target
from .base import Columns


@dataclass(frozen=True)
class Shift:
    """Intensity detection only: program W + shift with shift = max(0, -min W) per tile.

    The product with a nonnegative input is then nonnegative, so its amplitude is the square root of the
    detected power; the digital side subtracts shift * sum(inputs). Coherent detection needs no shift.
    """

    name: ClassVar[str] = "shift"
    consumes: ClassVar[tuple[str, ...]] = ("weights",)
    produces: ClassVar[tuple[str, ...]] = ("weights", "shift")

    def spec(self, spec: BankSpec, target: Target) -> BankSpec:
        """Unchanged."""
        del target
        return spec

    def run(self, columns: Columns, spec: BankSpec, target: Target) -> dict[str, np.ndarray]:
        """See :class:`TilePass`."""
        weights = columns["weights"]
        if target.detection.kind == "coherent":
            return {"weights": weights}
        n = spec.ports
        # a tile at the edge is shifted only where it holds weights: its padding stays zero
        rows = np.minimum(spec.rows - columns["row"].astype(np.int64) * n, n)
        cols = np.minimum(spec.cols - columns["col"].astype(np.int64) * n, n)
        ports = np.arange(n)
        held = (ports[None, :, None] < rows[:, None, None]) & (ports[None, None, :] < cols[:, None, None])
        shift = np.maximum(0.0, -weights.min(axis=(1, 2)))
        return {"weights": weights + shift[:, None, None] * held, "shift": shift}
