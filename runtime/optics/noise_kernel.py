"""The counter-based normals of :mod:`.noise` as scalar numba functions, equal to them bit for bit.

Every constant has its width written out: numba widens mixed integers to 64 bits and mixed floats to
double. No fastmath: a contracted multiply-add would change the last bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from . import noise

_F = np.float32
_U = np.uint32
_ROW_1, _ROW_2 = _U(noise.ROW_STRIDE_1), _U(noise.ROW_STRIDE_2)
_MIX_1, _MIX_2 = _U(0x7FEB352D), _U(0x846CA68B)
_LOG = tuple(_F(c) for c in noise.LOG_POLY)
_SIN = tuple(_F(c) for c in noise.SIN_POLY)
_COS = tuple(_F(c) for c in noise.COS_POLY)
_LN2, _TO_RADIANS = _F(noise.LN2), _F(noise.RADIANS_PER_COUNT)
_HALF, _ONE, _MINUS_TWO, _COUNT = _F(0.5), _F(1.0), _F(-2.0), _F(2.0**-24)
_SQRT_HALF = np.int32(noise.SQRT_HALF_BITS)
_EIGHTH, _QUARTER_BITS = np.int32(1 << 21), np.int32(22)


@njit(inline="always")
def counter_key(key, counter):
    """``splitmix64(key + counter)``, all uint64: low half and high half are the keys of a counter."""
    z = key + counter + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(inline="always")
def _mix32(x):
    x = _U(x ^ (x >> _U(16)))
    x = _U(x * _MIX_1)
    x = _U(x ^ (x >> _U(15)))
    x = _U(x * _MIX_2)
    return _U(x ^ (x >> _U(16)))


@njit(inline="always")
def _log(x):
    bits = np.float32(x).view(np.int32)
    exponent = np.int32(np.int32(bits - _SQRT_HALF) >> np.int32(23))
    m = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - _ONE
    square = m * m
    fourth = square * square
    low = (_LOG[5] * m + _LOG[6]) * square + (_LOG[7] * m + _LOG[8])
    high = (_LOG[1] * m + _LOG[2]) * square + (_LOG[3] * m + _LOG[4])
    p = (_LOG[0] * fourth + high) * fourth + low
    value = m * square * p
    return (value - square * _HALF) + m + _F(exponent) * _LN2


@njit(inline="always")
def fill_normals(k0, k1, first, rows, cosines, sines):
    """Two standard normals of each counter and of rows first .. first + rows.

    Args: k0, k1 uint32 (B,); first uint32; results float32 (at least rows * B,), row by row.

    Three short loops instead of one: the chain of operations is long, and a processor overlaps more of
    the short ones.
    """
    size = len(k0)
    for i in range(rows):
        row = _U(first + _U(i))
        one, two = cosines[i * size : (i + 1) * size], sines[i * size : (i + 1) * size]
        for b in range(size):
            # 24 bits fit a float32 exactly
            one[b] = _F(np.int32(_mix32(_U(k0[b] + _U(row * _ROW_1))) >> _U(8)))
            two[b] = _F(np.int32(_mix32(_U(k1[b] + _U(row * _ROW_2))) >> _U(8)))
    for b in range(rows * size):
        cosines[b] = np.sqrt(_log((cosines[b] + _HALF) * _COUNT) * _MINUS_TWO)
    for b in range(rows * size):
        radius, count = cosines[b], np.int32(sines[b])
        quarter = np.int32(np.int32(count + _EIGHTH) >> _QUARTER_BITS)
        t = _F(np.int32(count - np.int32(quarter << _QUARTER_BITS))) * _TO_RADIANS
        square = t * t
        sine = ((_SIN[0] * square + _SIN[1]) * square + _SIN[2]) * square * t + t
        cosine = ((_COS[0] * square + _COS[1]) * square + _COS[2]) * square * square
        cosine = cosine - square * _HALF + _ONE
        swap = (quarter & np.int32(1)) != 0
        c = sine if swap else cosine
        s = cosine if swap else sine
        cosines[b] = radius * (-c if (np.int32(quarter + np.int32(1)) & np.int32(2)) != 0 else c)
        sines[b] = radius * (-s if (quarter & np.int32(2)) != 0 else s)
