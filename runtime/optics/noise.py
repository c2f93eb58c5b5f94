"""Counter-based normal numbers: a pure function of a key and a counter, the same on every machine.

Only integer operations, additions, multiplications and square roots in float32, in one written-down
order and without contraction, so that torch, numpy and the fused kernel (:mod:`.noise_kernel`) agree bit
for bit, and sample *i* sees the same noise whatever the batch size, the split or the thread count.

Sources: Steele, Lea, Flood 2014 (splitmix64); Wellons, "lowbias32" hash; Box and Muller 1958; the
polynomials are those of Cephes logf, sinf and cosf (Moshier).
"""

from __future__ import annotations

import numpy as np
import torch

MASK32, MASK64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
ROW_STRIDE_1, ROW_STRIDE_2 = 0x9E3779B9, 0x85EBCA6B
LOG_POLY = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
LN2 = 0.693147180559945
SIN_POLY = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
COS_POLY = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
RADIANS_PER_COUNT = 2 * np.pi / 2**24
SQRT_HALF_BITS = 0x3F3504F3
"""Bits of float32 sqrt(1/2), where the logarithm's mantissa range begins."""


def splitmix64(x: int) -> int:
    """One step of splitmix64: a 64-bit integer to a well-mixed one."""
    z = (x + 0x9E3779B97F4A7C15) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def stream_key(seed: int, *path: int) -> int:
    """Key of a stream of noise: the seed mixed with the indices that name the stream (say, a step)."""
    key = seed & MASK64
    for index in path:
        key = splitmix64(key ^ splitmix64((index + 1) & MASK64))
    return key


def counter_keys(key: int, counters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The two 32-bit keys of each counter: ``splitmix64(key + counter)``, cut into low and high halves.

    Args: key: 64-bit integer; counters: int64 tensor. Returns (k0, k1), int64 tensors in 0..2^32-1.
    """
    z = counters + _signed(key) + _signed(0x9E3779B97F4A7C15)
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    z = z ^ _shift(z, 31)
    return z & MASK32, _shift(z, 32)


def normal_pairs(k0: torch.Tensor, k1: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two independent standard normals for each counter and row, by Box-Muller.

    Args: k0, k1: int64 from :func:`counter_keys`, any shape; rows: int64, broadcastable, in 0..2^31-1.
    Returns (cosine, sine) float32 tensors of the broadcast shape.
    """
    w1 = _mix32((k0 + rows * ROW_STRIDE_1) & MASK32) >> 8
    w2 = _mix32((k1 + rows * ROW_STRIDE_2) & MASK32) >> 8
    u1 = (w1.to(torch.float32) + 0.5) * 2.0**-24
    radius = exact_sqrt(_log(u1) * -2.0)
    cosine, sine = _cos_sin(w2)
    return radius * cosine, radius * sine


def normals(seed: int, path: tuple[int, ...], counters: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Standard normals (float32) of the stream ``path`` of a seed, one for each counter and row."""
    k0, k1 = counter_keys(stream_key(seed, *path), counters)
    return normal_pairs(k0, k1, rows)[0]


def exact_sqrt(x: torch.Tensor) -> torch.Tensor:
    """Square root rounded to nearest, as IEEE 754 has it.

    ``torch.sqrt`` on a CPU may go through a vector library that is off in the last bit, for some sizes only.
    """
    if x.device.type == "cpu":
        return torch.from_numpy(np.sqrt(x.detach().numpy()))
    return torch.sqrt(x)


def _signed(value: int) -> int:
    """A 64-bit pattern as the signed integer that torch takes."""
    value &= MASK64
    return value - (1 << 64) if value >> 63 else value


def _shift(x: torch.Tensor, count: int) -> torch.Tensor:
    """Logical right shift of int64."""
    return (x >> count) & ((1 << (64 - count)) - 1)


def _mix32(x: torch.Tensor) -> torch.Tensor:
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & MASK32
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & MASK32
    return x ^ (x >> 16)


def _horner(x: torch.Tensor, coefficients: tuple[float, ...]) -> torch.Tensor:
    value = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def _log(x: torch.Tensor) -> torch.Tensor:
    """Natural logarithm of positive normal float32: mantissa in sqrt(1/2)..sqrt(2), polynomial of m - 1."""
    offset = x.view(torch.int32) - SQRT_HALF_BITS
    exponent = offset >> 23
    m = (x.view(torch.int32) - (exponent << 23)).view(torch.float32) - 1.0
    square = m * m
    fourth = square * square
    # pairs instead of Horner's scheme: half as long a chain for the processor
    c = LOG_POLY
    low = (m * c[5] + c[6]) * square + (m * c[7] + c[8])
    high = (m * c[1] + c[2]) * square + (m * c[3] + c[4])
    value = m * square * ((fourth * c[0] + high) * fourth + low)
    return (value - square * 0.5) + m + exponent.to(torch.float32) * LN2


def _cos_sin(count: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of ``2 pi count / 2^24`` (int64 in 0..2^24-1): a quarter turn and a remainder."""
    quarter = (count + (1 << 21)) >> 22
    t = (count - (quarter << 22)).to(torch.float32) * RADIANS_PER_COUNT
    square = t * t
    sine = _horner(square, SIN_POLY) * square * t + t
    cosine = _horner(square, COS_POLY) * square * square - square * 0.5 + 1.0
    swap = (quarter & 1) == 1
    c, s = torch.where(swap, sine, cosine), torch.where(swap, cosine, sine)
    c = torch.where(((quarter + 1) & 2) == 2, -c, c)
    return c, torch.where((quarter & 2) == 2, -s, s)
