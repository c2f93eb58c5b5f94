"""Set the full scale of the ADC behind each output port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...runtime.program import BankSpec
from ...runtime.targets import Target
from .base import Columns


@dataclass(frozen=True)
class Ranges:
    """The largest output that inputs in 0..1 (-1..1 for phase-sign encoding) can make at each port.

    With nonnegative rails that is the larger of the row's positive and negative sums, otherwise the sum of
    magnitudes, over the tile's scale. Calibration data replaces it by what was seen (``runtime.calibrate``).
    """

    name: ClassVar[str] = "ranges"
    consumes: ClassVar[tuple[str, ...]] = ("weights",)
    produces: ClassVar[tuple[str, ...]] = ("adc_full_scale",)

    def spec(self, spec: BankSpec, target: Target) -> BankSpec:
        """Unchanged."""
        del target
        return spec

    def run(self, columns: Columns, spec: BankSpec, target: Target) -> dict[str, np.ndarray]:
        """See :class:`TilePass`."""
        del spec
        weights = columns["weights"]
        if target.encoding.sign == "phase_sign":
            bound = np.abs(weights).sum(axis=2)
        else:
            bound = np.maximum(np.maximum(weights, 0).sum(axis=2), np.maximum(-weights, 0).sum(axis=2))
        return {"adc_full_scale": (bound / columns["scale"][:, None]).astype(np.float32)}
