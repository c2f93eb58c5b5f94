"""A bank made ready to run: its tables in the dtype and on the device of the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..errors import InputError, TargetError, complaint
from ..program import BankSpec, TileBank
from .arithmetic import ChipArithmetic


@dataclass(frozen=True, eq=False)
class BankTables:
    """The tiles of a bank as tensors of one dtype (T tiles, n ports, G groups, R x C tile grid).

    - ``matrices`` (T, n, n): the realised normalised transfer matrices, real for coherent detection,
      complex for intensity detection.
    - ``grid`` int64 (G, R, C): row of the table, -1 where the tile is all zero and skipped.
    - ``scale`` (T,), ``adc_full_scale`` (T, n), ``input_full_scale`` (G, C) (static scale only).
    - ``constant`` (T, n): what the tile reads of the offset alone, in W's units; ``shift`` (T,).
    - ``ports`` (C, n): 1 where the port carries an input, 0 on the padding of the last tile column.
    """

    spec: BankSpec
    chip: ChipArithmetic
    matrices: torch.Tensor
    grid: torch.Tensor
    scale: torch.Tensor
    adc_full_scale: torch.Tensor
    input_full_scale: torch.Tensor | None
    constant: torch.Tensor | None
    shift: torch.Tensor | None
    ports: torch.Tensor
    packed: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def dtype(self) -> torch.dtype:
        """dtype of the run: float32 or float64."""
        return self.scale.dtype

    @classmethod
    def build(
        cls, bank: TileBank, chip: ChipArithmetic, matrices: torch.Tensor, dtype: torch.dtype = torch.float32
    ) -> BankTables:
        """Tables of a bank from its effective matrices (see :func:`..banks.effective_matrices`).

        Args: matrices (T, n, n), float64 (coherent) or complex128 (intensity), on the device of the run.
        Raises: TargetError where the target needs a column (ADC or input ranges) that the bank lacks.
        """
        if dtype not in (torch.float32, torch.float64):
            raise InputError(complaint("the simulator runs in float32 or float64", where=bank.spec.name, got=dtype))
        spec, device = bank.spec, matrices.device
        grid = tile_grid(bank)
        tables = _Columns(bank, device, dtype)
        complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
        kept = matrices.to(complex_dtype if chip.intensity else dtype)
        ports = np.zeros((spec.grid_cols, spec.ports))
        ports.reshape(-1)[: spec.cols] = 1.0
        inputs = _column_ranges(bank, grid) if chip.static else None
        if chip.adc_bits is None:
            full_scale = torch.ones((spec.tiles, spec.ports), dtype=dtype, device=device)
        else:
            full_scale = tables.required("adc_full_scale", "an ADC needs its full scale")
        return cls(
            spec,
            chip,
            kept,
            torch.from_numpy(grid).to(device),
            tables.required("scale", "every tile has a scale"),
            full_scale,
            None if inputs is None else torch.from_numpy(inputs).to(device, dtype),
            _offset_constant(bank, chip, matrices, ports, dtype),
            tables.optional("shift") if chip.intensity else None,
            torch.from_numpy(ports).to(device, dtype),
        )


def tile_grid(bank: TileBank) -> np.ndarray:
    """Row of the bank's table of each place of the grid, int64 (G, R, C); -1 where a tile is skipped."""
    spec, columns = bank.spec, bank.columns
    grid = np.full((spec.groups, spec.grid_rows, spec.grid_cols), -1, np.int64)
    grid[columns["group"], columns["row"], columns["col"]] = np.arange(spec.tiles)
    return grid


class _Columns:
    """Columns of a bank as tensors."""

    def __init__(self, bank: TileBank, device: torch.device, dtype: torch.dtype) -> None:
        self.bank, self.device, self.dtype = bank, device, dtype

    def optional(self, name: str) -> torch.Tensor | None:
        if name not in self.bank.columns:
            return None
        return torch.from_numpy(np.array(self.bank.columns[name])).to(self.device, self.dtype)

    def required(self, name: str, why: str) -> torch.Tensor:
        found = self.optional(name)
        if found is None:
            raise _missing(self.bank, name, why)
        return found


def _missing(bank: TileBank, name: str, why: str) -> TargetError:
    return TargetError(
        complaint(
            f"the bank has no {name} column: {why}",
            where=bank.spec.name,
            next_step="compile the model again for this target",
        )
    )


def _column_ranges(bank: TileBank, grid: np.ndarray) -> np.ndarray:
    """Input full scale of each tile column, (G, C); 0 where the whole column is skipped."""
    if "input_full_scale" not in bank.columns:
        raise _missing(bank, "input_full_scale", "static scales come from calibration data")
    values = np.append(np.asarray(bank.columns["input_full_scale"], np.float64), 0.0)
    return values[grid].max(1)


def _offset_constant(
    bank: TileBank, chip: ChipArithmetic, matrices: torch.Tensor, ports: np.ndarray, dtype: torch.dtype
) -> torch.Tensor | None:
    """What each tile reads when only the offset is sent, measured once without noise: (T, n)."""
    if chip.sign != "offset":
        return None
    lit = torch.from_numpy(ports[bank.columns["col"]]).to(matrices.device)
    scale = torch.from_numpy(np.asarray(bank.columns["scale"], np.float64)).to(matrices.device).unsqueeze(-1)
    field_sum = (matrices @ lit.to(matrices.dtype).unsqueeze(-1)).squeeze(-1)
    if not chip.intensity:
        return (scale * field_sum).to(dtype)
    constant = scale * field_sum.abs()
    if "shift" in bank.columns:
        shift = torch.from_numpy(np.asarray(bank.columns["shift"], np.float64)).to(matrices.device)
        constant = constant - (shift * lit.sum(-1)).unsqueeze(-1)
    return constant.to(dtype)
