"""Vectors through a bank in one kernel: no partial sum of a tile column ever reaches memory.

A block of vectors is read once a tile column, encoded into codes that stay in the cache, sent
through every tile of the column six rows at a time, and each row goes through noise, ADC and the digital
sum while it is still there. Blocks run in parallel; what a vector gives depends on that vector, its index
and the seed only: not on the batch, the block or the number of threads.

Inputs and outputs are read and written in place through strides (:mod:`.layout`), so that a convolution
needs no patch matrix.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import torch

from ..optics.noise import stream_key
from ..threads import spread
from . import kernel
from .layout import Layout
from .product import LANES, ROWS
from .tables import BankTables

SIGN_CODES = {
    "differential": kernel.DIFFERENTIAL,
    "differential_two_shot": kernel.DIFFERENTIAL,
    "phase_sign": kernel.PHASE_SIGN,
    "offset": kernel.OFFSET,
}
CODES_BYTES = 64 << 10
"""Bytes of codes a block may hold: they are streamed from the second-level cache, LANES vectors at a time."""
MOST_VECTORS = 256
"""Vectors that a block may hold at most, so that its sums stay in the second-level cache too."""
BLOCK_OVERHEAD = 8
"""What a block costs beside its vectors, in vectors: short loops, and the matrices read once more."""


def run_fused(
    tables: BankTables,
    x: torch.Tensor,
    layout_in: Layout,
    out: torch.Tensor,
    layout_out: Layout,
    vectors: int,
    *,
    seed: int = 0,
    stream: int = 0,
    first_vector: int = 0,
) -> None:
    """Send ``vectors`` vectors, read from x, through a bank and write the results into out.

    x and out are contiguous CPU tensors in the dtype of the tables. Every row of every vector is written.
    """
    if vectors == 0:
        return
    spec, chip = tables.spec, tables.chip
    number = np.float32 if tables.dtype == torch.float32 else np.float64
    size = _block_vectors(vectors, spec.ports, chip.rails, np.dtype(number).itemsize)
    c0, c1, c2 = chip.noise if chip.noise is not None else (0.0, 0.0, 0.0)
    spread(
        -(-vectors // size),
        kernel.run_blocks,
        size,
        vectors,
        (x.detach().reshape(-1).numpy(), layout_in.numbers(), layout_in.elements),
        (out.view(-1).numpy(), layout_out.numbers(), layout_out.elements),
        _packed(tables),
        (spec.ports, spec.rows, spec.cols),
        (SIGN_CODES[chip.sign], chip.rails, chip.static),
        (chip.dac_bits is not None, number(chip.dac_levels)),
        (chip.adc_bits is not None, number(chip.adc_levels)),
        (chip.noise is not None, number(c0), number(c1), number(c2), number(6)),
        (np.uint64(stream_key(seed, stream)), np.uint64(first_vector)),
    )


def _block_vectors(vectors: int, ports: int, rails: int, itemsize: int) -> int:
    """Vectors in a block, a multiple of LANES within the cache: the size with which all threads are done first."""
    largest = max(min(CODES_BYTES // (ports * rails * itemsize), MOST_VECTORS), LANES)
    threads = torch.get_num_threads()

    def duration(size: int) -> int:
        return ceil(ceil(vectors / size) / threads) * (size + BLOCK_OVERHEAD)

    return min(range(LANES, largest + 1, LANES), key=duration)


def _packed(tables: BankTables) -> tuple[Any, ...]:
    """Tables in the kernel's order, made once: six rows of a tile side by side, padded with zero rows."""
    if "fused" not in tables.packed:
        spec, chip = tables.spec, tables.chip
        n = spec.ports
        high = -(-n // ROWS) * ROWS
        matrices = torch.nn.functional.pad(tables.matrices, (0, 0, 0, high - n))
        matrices = matrices.reshape(-1, high // ROWS, ROWS, n).permute(0, 1, 3, 2).contiguous()
        steps = tables.adc_full_scale / chip.adc_levels
        scale = tables.scale[:, None].expand(-1, n)
        gains = scale if chip.adc_bits is None else steps * scale
        constant = torch.zeros_like(steps) if tables.constant is None else tables.constant
        ranges = tables.input_full_scale
        columns = (tables.grid, matrices, steps, gains, constant, steps if ranges is None else ranges)
        tables.packed["fused"] = tuple(column.contiguous().numpy() for column in columns)
    return tables.packed["fused"]
