"""What a run shows of itself on request: converter codes for tests, ranges for calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from .tables import BankTables


@dataclass(frozen=True, eq=False)
class ColumnRecord:
    """One block of vectors through one tile column (G groups, R tile rows, n ports, B vectors).

    - ``start``: index of the first vector in the call; ``column``: the tile column.
    - ``full_scale`` (B, G): the A of each block.
    - ``dac_codes`` (rails, B, G, n); ``signal`` (rails, B, G, R, n) at the ADC, noise included;
      ``adc_codes`` like ``signal``. Codes are integers held in the dtype of the run.
    """

    start: int
    column: int
    full_scale: torch.Tensor
    dac_codes: torch.Tensor
    signal: torch.Tensor
    adc_codes: torch.Tensor


Observer = Callable[[ColumnRecord], None]


class RangeRecorder:
    """An observer that keeps the ranges static scales and ADCs are set to.

    ``max_input`` float64 (G, C): largest full scale of each tile column; ``max_output`` float64 (T, n):
    largest |signal| of each tile row.
    """

    def __init__(self, tables: BankTables) -> None:
        spec = tables.spec
        self._grid = tables.grid.cpu().numpy()
        self.max_input = np.zeros((spec.groups, spec.grid_cols))
        self.max_output = np.zeros((spec.tiles, spec.ports))

    def __call__(self, record: ColumnRecord) -> None:
        if record.full_scale.shape[0] == 0:
            return
        column = record.column
        seen = record.full_scale.amax(0).double().cpu().numpy()
        self.max_input[:, column] = np.maximum(self.max_input[:, column], seen)
        peaks = record.signal.abs().amax((0, 1)).double().cpu().numpy()
        tiles = self._grid[:, :, column]
        present = tiles >= 0
        rows = tiles[present]
        self.max_output[rows] = np.maximum(self.max_output[rows], peaks[present])
