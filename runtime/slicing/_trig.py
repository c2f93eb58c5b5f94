"""Cosine and sine of many angles in vector instructions.

Cell matrices need 4 to 8 of them a cell, and the scalar functions of the C library would take as long
as moving the fields. Source of the polynomials: Cephes, sin.c (S. Moshier), error about 1e-16.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# pi/2 in three parts: products of the first two with a whole number below 2**28 are exact
_PART1 = 2 * 7.85398125648498535156e-1
_PART2 = 2 * 3.77489470793079817668e-8
_PART3 = 2 * 2.69515142907905952645e-15


@njit(cache=True, fastmath={"contract"})
def cos_sin(angles, cos, sin):
    """Fill ``cos`` and ``sin`` of ``angles``, float64 (k,) each, radians of magnitude below 1e8."""
    for k in range(len(angles)):
        x = angles[k]
        quarter = np.rint(x * (2 / np.pi))
        r = ((x - quarter * _PART1) - quarter * _PART2) - quarter * _PART3
        z = r * r
        s = 1.58962301576546568060e-10 * z - 2.50507477628578072866e-8
        s = s * z + 2.75573136213857245213e-6
        s = s * z - 1.98412698295895385996e-4
        s = s * z + 8.33333333332211858878e-3
        s = s * z - 1.66666666666666307295e-1
        s = r + r * (z * s)
        c = -1.13585365213876817300e-11 * z + 2.08757008419747316778e-9
        c = c * z - 2.75573141792967388112e-7
        c = c * z + 2.48015872888517045348e-5
        c = c * z - 1.38888888888730564116e-3
        c = c * z + 4.16666666666665929218e-2
        c = 1.0 - 0.5 * z + z * z * c
        quadrant = quarter - 4.0 * np.floor(quarter * 0.25)
        odd = (quadrant == 1.0) | (quadrant == 3.0)
        a = s if odd else c
        b = c if odd else s
        cos[k] = -a if (quadrant == 1.0) | (quadrant == 2.0) else a
        sin[k] = -b if quadrant >= 2.0 else b
