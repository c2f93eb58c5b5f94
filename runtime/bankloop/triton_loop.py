"""Vectors through a bank on a GPU, in one Triton kernel (:mod:`.triton_kernel`, the ``gpu`` extra).

The same arithmetic as :mod:`.fused` and the same layouts in memory: nothing of a tile column is ever stored, and a
convolution needs no patch matrix. In float32 sums of codes are float32 sums in the order of the GPU's products, so a
code at the edge between two may differ from the plain path's; in float64 all codes are equal.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ..installed import install_hint
from ..optics.noise import stream_key
from .fused import SIGN_CODES
from .layout import Layout
from .tables import BankTables

_VECTORS, _ROWS, _INPUTS, _WARPS = 32, 64, 16, 8
"""Vectors and rows of a program, and inputs multiplied at once, at most: what its registers hold without spilling.
In float64 half as many rows."""

_FEWEST = 16
"""The smallest side that a product takes."""


@lru_cache(maxsize=1)
def _kernel() -> Any:
    """The kernel's module, or None where triton cannot be imported."""
    try:
        from . import triton_kernel
    except ImportError:
        return None
    return triton_kernel


def why_not(device: torch.device) -> str:
    """Why the kernel cannot run on tensors of a device; empty where it can."""
    kernel = _kernel()
    if kernel is None:
        return f"triton cannot be imported ({install_hint('gpu')})"
    if device.type != "cuda" and kernel.COMPILED:
        return f"it runs on CUDA GPUs, and the tables are on {device}"
    return ""


def run_triton(
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

    x and out are contiguous, in the dtype and on the device of the tables. Every row of every vector is written.
    """
    if vectors == 0:
        return
    spec, chip = tables.spec, tables.chip
    double = tables.dtype == torch.float64
    sizes = {
        "V": _side(vectors, _VECTORS),
        "R": _side(spec.ports, _ROWS // 2 if double else _ROWS),
        "K": _side(spec.ports, _INPUTS),
    }
    programs = -(-vectors // sizes["V"]), spec.groups * spec.grid_rows * -(-spec.ports // sizes["R"])
    key = np.array([stream_key(seed, stream)], np.uint64).view(np.int32)
    on: AbstractContextManager[Any] = torch.cuda.device(x.device) if x.is_cuda else nullcontext()
    with on:
        _kernel().run[programs](
            x,
            *_places(layout_in, x.device),
            out,
            *_places(layout_out, x.device),
            *_columns(tables),
            vectors,
            spec.rows,
            spec.cols,
            spec.grid_rows,
            spec.grid_cols,
            spec.groups,
            int(key[0]),
            int(key[1]),
            first_vector,
            N=spec.ports,
            SIGN=SIGN_CODES[chip.sign],
            STATIC=chip.static,
            DAC=chip.dac_bits is not None,
            ADC=chip.adc_bits is not None,
            NOISY=chip.noise is not None,
            **sizes,
            num_warps=_WARPS,
            # a multiply and an add that become one instruction would change codes
            enable_fp_fusion=False,
        )


def _side(count: int, most: int) -> int:
    """The power of two that covers ``count``, within bounds."""
    return max(_FEWEST, min(most, 1 << max(count - 1, 0).bit_length()))


def _places(layout: Layout, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    numbers, elements = layout.numbers(), layout.elements.astype(np.int64)
    return torch.from_numpy(numbers).to(device), torch.from_numpy(elements).to(device)


def _columns(tables: BankTables) -> tuple[torch.Tensor, ...]:
    """Tables in the kernel's order, made once."""
    if "triton" not in tables.packed:
        chip = tables.chip
        steps = tables.adc_full_scale / chip.adc_levels
        scale = tables.scale[:, None].expand_as(steps)
        gains = scale if chip.adc_bits is None else steps * scale
        constant = torch.zeros_like(steps) if tables.constant is None else tables.constant
        ranges = steps if tables.input_full_scale is None else tables.input_full_scale
        numbers = steps.new_tensor([chip.dac_levels, chip.adc_levels, *(chip.noise or (0.0, 0.0, 0.0))])
        columns = (tables.grid, tables.matrices, steps, gains, constant, ranges, numbers)
        tables.packed["triton"] = tuple(column.contiguous() for column in columns)
    return tables.packed["triton"]
