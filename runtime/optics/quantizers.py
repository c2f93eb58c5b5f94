"""Uniform quantizers: digital-to-analogue, analogue-to-digital, and the plain fixed-point format.

All of them round half to even (``rint``) and work in the dtype of their argument, so that torch, numpy
and the fused kernel agree on every code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def quantize_uniform(value: Any, steps: float) -> Any:
    """Integer code of a value in a fixed-point format with ``steps`` steps a unit.

    ``code = rint(value * steps)``, half to even.

    Args: value: float, numpy array or tensor, dimensionless; steps per unit.
    Returns the code with the type of ``value`` (a float holds the integer exactly).
    """
    if isinstance(value, torch.Tensor):
        return torch.round(value * steps)
    code = np.rint(np.asarray(value) * steps)
    return code if isinstance(value, np.ndarray) else float(code)


def dequantize_uniform(code: Any, steps: float) -> Any:
    """Value of a fixed-point code: ``code / steps``."""
    return code / steps


def unsigned_levels(bits: int) -> int:
    """Largest code of an unsigned converter: 2^bits - 1."""
    return 2**bits - 1


def signed_levels(bits: int) -> int:
    """Largest code of a symmetric signed converter: 2^(bits-1) - 1, at least 1."""
    return max(2 ** (bits - 1) - 1, 1)


def converter_codes(value: torch.Tensor, step: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Codes of a converter: ``clamp(rint(value / step), low, high)``, 0 where the step is 0.

    Args: value (...), step (broadcastable, same dtype and unit as value), low and high: the code range.
    Returns integer-valued codes in the dtype of ``value``.
    """
    dead = step == 0
    codes = torch.round(value / torch.where(dead, torch.ones_like(step), step)).clamp_(low, high)
    return codes.masked_fill(dead, 0.0)
