"""The chip's arithmetic over a bank in plain torch: every encoding and detection, any device.

The reference the fused kernel is tested against, and the path of everything it does not support.
"""

from __future__ import annotations

import torch

from ..optics.encoding import block_full_scale, encode
from ..optics.noise import counter_keys, normal_pairs, stream_key
from .arithmetic import ChipArithmetic, adc_codes, add_noise, readout
from .observe import ColumnRecord, Observer
from .tables import BankTables

BLOCK_VECTORS = {"cpu": 1 << 8, "cuda": 1 << 14}
"""Most vectors held at once, by device type: less for large banks, never depending on the batch."""


def forward_plain(
    tables: BankTables,
    x: torch.Tensor,
    *,
    seed: int = 0,
    stream: int = 0,
    first_vector: int = 0,
    observe: Observer | None = None,
) -> torch.Tensor:
    """Send vectors through a bank. See :func:`.forward.forward`; x is (V, groups * cols) here."""
    spec = tables.spec
    n, groups, rows, columns = spec.ports, spec.groups, spec.grid_rows, spec.grid_cols
    vectors = x.shape[0]
    out = x.new_zeros((vectors, groups, rows, n))
    if vectors == 0 or spec.tiles == 0:
        return out.reshape(vectors, groups, rows * n)[:, :, : spec.rows].reshape(vectors, groups * spec.rows)
    blocks = x.reshape(vectors, groups, spec.cols)
    blocks = torch.nn.functional.pad(blocks, (0, columns * n - spec.cols)).reshape(vectors, groups, columns, n)
    key = stream_key(seed, stream)
    size = _block_size(tables, x.device)
    for c in range(columns):
        column = _Column(tables, c, size)
        for start in range(0, vectors, size):
            part = slice(start, min(start + size, vectors))
            added, record = column.run(blocks[part, :, c], key, first_vector + start, start)
            out[part] += added
            if observe is not None:
                observe(record)
    return out.reshape(vectors, groups, rows * n)[:, :, : spec.rows].reshape(vectors, groups * spec.rows)


def _block_size(tables: BankTables, device: torch.device) -> int:
    """Vectors in a block: depends on the bank and the device only, never on the batch."""
    spec = tables.spec
    signals = tables.chip.rails * spec.groups * spec.grid_rows * spec.ports
    most = BLOCK_VECTORS.get(device.type, 1 << 14)
    return min(max((most << 11) // signals, 8), most)


class _Column:
    """One tile column of a bank, its tables gathered: shapes (G, R, n, ...), skipped tiles all zero."""

    def __init__(self, tables: BankTables, column: int, block: int) -> None:
        spec = tables.spec
        self.tables, self.column, self.block = tables, column, block
        index = tables.grid[:, :, column]
        present = index >= 0
        rows = index.clamp_min(0)
        wide = present[..., None]
        matrices = tables.matrices[rows] * wide[..., None]
        # sums are taken in float64: exact for integer codes, rounded to the dtype of the run once
        double = torch.complex128 if tables.chip.intensity else torch.float64
        self.matrices = matrices.to(double).reshape(spec.groups, spec.grid_rows * spec.ports, spec.ports)
        self.full_scale = tables.adc_full_scale[rows] * wide
        self.scale = (tables.scale[rows] * present)[..., None]
        self.constant = None if tables.constant is None else tables.constant[rows] * wide
        self.shift = None if tables.shift is None else (tables.shift[rows] * present)[..., None]
        self.output_rows = torch.arange(spec.grid_rows * spec.ports, device=index.device)
        self.output_rows = self.output_rows.reshape(spec.grid_rows, spec.ports)
        self.global_column = torch.arange(spec.groups, device=index.device) * spec.grid_cols + column

    def run(self, x: torch.Tensor, key: int, first_vector: int, start: int) -> tuple[torch.Tensor, ColumnRecord]:
        """What this tile column adds for a block of vectors x (B, G, n): (B, G, R, n), and its record."""
        tables, chip = self.tables, self.tables.chip
        if chip.static and tables.input_full_scale is not None:
            scale = tables.input_full_scale[:, self.column].expand(x.shape[0], -1)
            x = torch.maximum(torch.minimum(x, scale[..., None]), -scale[..., None])
        else:
            scale = block_full_scale(x)
        codes, scale = encode(x, scale, chip.sign, chip.dac_bits)
        codes = codes * tables.ports[self.column]  # unused ports stay dark
        signal = self._detect(chip, codes)
        if chip.noise is not None:
            signal = add_noise(chip, signal, self._normals(key, first_vector, x.shape[0], chip.rails))
        read = adc_codes(chip, signal, self.full_scale)
        light = None
        if self.shift is not None:
            light = (codes.sum(-1) / chip.dac_levels)[..., None, None]
        added = readout(
            chip,
            read,
            self.full_scale,
            self.scale,
            scale[:, :, None, None],
            constant=self.constant,
            shift=self.shift,
            light=light,
        )
        return added, ColumnRecord(start, self.column, scale, codes, signal, read)

    def _detect(self, chip: ChipArithmetic, codes: torch.Tensor) -> torch.Tensor:
        """Light through the tiles to the detectors: codes (rails, B, G, n) -> (rails, B, G, R, n)."""
        rails, vectors, groups, n = codes.shape
        # one fixed shape, so that no library picks another order of summation for a short block
        codes = torch.nn.functional.pad(codes, (0, 0, 0, 0, 0, self.block - vectors))
        sent = codes.permute(2, 0, 1, 3).reshape(groups, rails * self.block, n).to(self.matrices.dtype)
        fields = sent @ self.matrices.mT
        fields = fields.reshape(groups, rails, self.block, -1, n)[:, :, :vectors].permute(1, 2, 0, 3, 4)
        if chip.intensity:
            fields = fields / chip.dac_levels
            return (fields.real * fields.real + fields.imag * fields.imag).to(codes.dtype)
        return fields.to(codes.dtype) / chip.dac_levels

    def _normals(self, key: int, first_vector: int, vectors: int, rails: int) -> torch.Tensor:
        """Normal numbers for a block, float32 (rails, B, G, R, n)."""
        spec = self.tables.spec
        vector = torch.arange(first_vector, first_vector + vectors, device=self.global_column.device)
        counters = vector[:, None] * (spec.groups * spec.grid_cols) + self.global_column
        k0, k1 = counter_keys(key, counters)
        pair = normal_pairs(k0[:, :, None, None], k1[:, :, None, None], self.output_rows)
        return torch.stack(pair[:rails])
