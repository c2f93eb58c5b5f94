"""Arrays as text that the page's script unpacks."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def packed(array: np.ndarray, dtype: Any) -> str:
    """An array as base64 of its little-endian bytes."""
    plain = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(plain.tobytes()).decode("ascii")
