"""Vectors through a bank of tiles: the arithmetic of encode, tile product, noise, ADC and accumulation.

``plain`` is the reference in plain torch (every case, any device); ``fused`` is the numba kernel for the
CPU, ``triton_loop`` the same for a GPU. All follow :mod:`.arithmetic` step by step.
"""

from .arithmetic import ChipArithmetic
from .forward import forward, forward_conv2d, resolve_engine
from .observe import ColumnRecord, RangeRecorder
from .tables import BankTables

__all__ = [
    "BankTables",
    "ChipArithmetic",
    "ColumnRecord",
    "RangeRecorder",
    "forward",
    "forward_conv2d",
    "resolve_engine",
]
