"""The Triton kernel of the bank loop: encode, tile product, noise, ADC and digital sum without leaving the chip.

One program takes a block of vectors through one row of tiles of a bank, tile column after tile column, and keeps
nothing of a column but the digital sum. The arithmetic is that of :mod:`.arithmetic`, operation for operation, in the
dtype of the tables; it must be compiled without contraction (``enable_fp_fusion=False``), which would change codes.
Importing this module needs triton.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from ..optics import noise

DIFFERENTIAL = tl.constexpr(0)
PHASE_SIGN = tl.constexpr(1)
OFFSET = tl.constexpr(2)

_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = map(tl.constexpr, noise.LOG_POLY)
_S0, _S1, _S2 = map(tl.constexpr, noise.SIN_POLY)
_C0, _C1, _C2 = map(tl.constexpr, noise.COS_POLY)
_LN2 = tl.constexpr(noise.LN2)
_TO_RADIANS = tl.constexpr(noise.RADIANS_PER_COUNT)
_SQRT_HALF = tl.constexpr(noise.SQRT_HALF_BITS)
_ROW_1, _ROW_2 = tl.constexpr(noise.ROW_STRIDE_1), tl.constexpr(noise.ROW_STRIDE_2)
_COUNT = tl.constexpr(2.0**-24)
_WHOLE_32, _WHOLE_64 = tl.constexpr(2.0**23), tl.constexpr(2.0**52)


@triton.jit
def _divide(a, b):
    """a / b rounded to nearest; both of one shape."""
    # else: triton compiles what stands behind an if
    if a.dtype == tl.float64:
        return a / b
    else:
        return tl.math.div_rn(a, b)


@triton.jit
def _root(x):
    """The square root rounded to nearest."""
    if x.dtype == tl.float64:
        return tl.sqrt(x)
    else:
        return tl.sqrt_rn(x)


@triton.jit
def _rint(x):
    """The nearest integer, half to even: numbers with no bits left for a fraction are integers already."""
    whole = _WHOLE_64 if x.dtype == tl.float64 else _WHOLE_32
    size = tl.abs(x)
    size = tl.where(size < whole, (size + whole) - whole, size)
    return tl.where(x < 0, -size, size)


@triton.jit
def _clamp(x, low, high):
    return tl.minimum(tl.maximum(x, low), high)


@triton.jit
def _mix32(x):
    x = x ^ (x >> 16)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15)
    x = x * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _keys(low, high, counter):
    """``splitmix64(key + counter)`` cut into halves, uint32; key in two signed halves."""
    z = (high.to(tl.uint32, bitcast=True).to(tl.uint64) << 32) | low.to(tl.uint32, bitcast=True).to(tl.uint64)
    z = z + counter.to(tl.uint64) + 0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    z = z ^ (z >> 31)
    return (z & 0xFFFFFFFF).to(tl.uint32), (z >> 32).to(tl.uint32)


@triton.jit
def _log(x):
    bits = x.to(tl.int32, bitcast=True)
    exponent = (bits - _SQRT_HALF) >> 23
    m = (bits - (exponent << 23)).to(tl.float32, bitcast=True) - 1.0
    square = m * m
    fourth = square * square
    low = (m * _L5 + _L6) * square + (m * _L7 + _L8)
    high = (m * _L1 + _L2) * square + (m * _L3 + _L4)
    value = m * square * ((fourth * _L0 + high) * fourth + low)
    return (value - square * 0.5) + m + exponent.to(tl.float32) * _LN2


@triton.jit
def normal_pairs(k0, k1, row):
    """Two standard normals, float32, as :func:`..optics.noise.normal_pairs`; uint32 of one shape."""
    w1 = (_mix32(k0 + row * _ROW_1) >> 8).to(tl.int32)
    w2 = (_mix32(k1 + row * _ROW_2) >> 8).to(tl.int32)
    radius = tl.sqrt_rn(_log((w1.to(tl.float32) + 0.5) * _COUNT) * -2.0)
    quarter = (w2 + (1 << 21)) >> 22
    t = (w2 - (quarter << 22)).to(tl.float32) * _TO_RADIANS
    square = t * t
    sine = ((square * _S0 + _S1) * square + _S2) * square * t + t
    cosine = ((square * _C0 + _C1) * square + _C2) * square * square - square * 0.5 + 1.0
    swap = (quarter & 1) == 1
    c, s = tl.where(swap, sine, cosine), tl.where(swap, cosine, sine)
    c = tl.where(((quarter + 1) & 2) == 2, -c, c)
    s = tl.where((quarter & 2) == 2, -s, s)
    return radius * c, radius * s


@triton.jit
def _places(vector, layout):
    """Where vectors begin in memory, int64 (see :class:`.layout.Layout`)."""
    lines, places = tl.load(layout), tl.load(layout + 1)
    rest = vector % (lines * places)
    base = vector // (lines * places) * tl.load(layout + 2)
    return base + rest // places * tl.load(layout + 3) + rest % places * tl.load(layout + 4)


@triton.jit
def _detect(sums, normal, numbers, step, NOISY: tl.constexpr, ADC: tl.constexpr):
    """Sums of codes (V, R) to ADC codes: fields, their noise, the converter with its step (V, R)."""
    y = _divide(sums, tl.load(numbers) + tl.zeros_like(sums))
    if NOISY:
        c0, c1, c2 = tl.load(numbers + 2), tl.load(numbers + 3), tl.load(numbers + 4)
        y = y + _root((c0 + c1 * tl.abs(y)) + c2 * (y * y)) * normal.to(y.dtype)
    if ADC:
        top = tl.load(numbers + 1)
        code = _clamp(_rint(_divide(y, tl.where(step == 0, 1.0, step))), -top, top)
        y = tl.where(step == 0, 0.0, code)
    return y


@triton.jit(do_not_specialize=["key_low", "key_high", "first_vector"])
def run(
    x, layout_in, elements_in, out, layout_out, elements_out,
    grid, matrices, steps, gains, constants, ranges, numbers,
    vectors, rows, cols, tile_rows, tile_columns, groups, key_low, key_high, first_vector,
    N: tl.constexpr, SIGN: tl.constexpr, STATIC: tl.constexpr, DAC: tl.constexpr, ADC: tl.constexpr,
    NOISY: tl.constexpr, V: tl.constexpr, R: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """A block of V vectors through R rows of a row of tiles.

    Programs: (blocks of vectors, groups * tile_rows * blocks of rows). Shapes: grid int64 (G, tile_rows,
    tile_columns); matrices (T, N, N); steps (of the ADC), gains, constants (T, N); ranges (G, tile_columns); numbers:
    largest DAC code, largest ADC code, c0, c1, c2; layouts: the five numbers of a Layout and its elements, int64. K
    inputs are multiplied at once; V, R and K are powers of two, 16 or more.
    """
    vector = tl.program_id(0).to(tl.int64) * V + tl.arange(0, V)
    there = vector < vectors
    row_blocks = (N + R - 1) // R
    work = tl.program_id(1)
    tile_row = work // row_blocks % tile_rows
    group = work // row_blocks // tile_rows
    row = work % row_blocks * R + tl.arange(0, R)
    used_row = (row < N) & (tile_row * N + row < rows)
    source = x + _places(vector, layout_in)
    top = tl.load(numbers)
    total = tl.zeros((V, R), dtype=x.dtype.element_ty)
    for column in range(tile_columns):
        tile = tl.load(grid + (group * tile_rows + tile_row) * tile_columns + column)
        if tile >= 0:
            first = group * cols + column * N
            inputs = tl.minimum(cols - column * N, N)
            if STATIC:
                scale = tl.load(ranges + group * tile_columns + column) + tl.zeros((V,), dtype=total.dtype)
            else:
                scale = tl.zeros((V,), dtype=total.dtype)
                for start in range(0, N, K):
                    j = start + tl.arange(0, K)
                    lit = there[:, None] & (j < inputs)[None, :]
                    at = tl.load(elements_in + first + j, mask=j < inputs, other=0)
                    block = tl.load(source[:, None] + at[None, :], mask=lit, other=0.0)
                    scale = tl.maximum(scale, tl.max(tl.abs(block), 1))
            step = _divide(scale, top + tl.zeros_like(scale))
            live = step != 0
            scale = tl.where(live, scale, 0.0)
            limit = tl.where(live, top, 0.0)[:, None]
            divisor = tl.where(live, step if DAC else scale, 1.0)[:, None]
            plus = tl.zeros((V, R), dtype=total.dtype)
            minus = tl.zeros((V, R), dtype=total.dtype)
            for start in range(0, N, K):
                j = start + tl.arange(0, K)
                lit = there[:, None] & (j < inputs)[None, :]
                at = tl.load(elements_in + first + j, mask=j < inputs, other=0)
                block = tl.load(source[:, None] + at[None, :], mask=lit, other=0.0)
                if SIGN == OFFSET:
                    block = (block + scale[:, None]) * 0.5
                block = _divide(block, divisor + tl.zeros_like(block))
                if DAC:
                    block = _rint(block)
                block = _clamp(block, 0.0 * limit if SIGN == OFFSET else -limit, limit)
                block = tl.where(lit, block, 0.0)
                place = tile * N * N + row[None, :] * N + j[:, None]
                matrix = tl.load(matrices + place, mask=used_row[None, :] & (j < inputs)[:, None], other=0.0)
                if SIGN == DIFFERENTIAL:
                    plus = tl.dot(tl.maximum(block, 0.0), matrix, plus, input_precision="ieee", out_dtype=total.dtype)
                    minus = tl.dot(
                        tl.maximum(-block, 0.0), matrix, minus, input_precision="ieee", out_dtype=total.dtype
                    )
                else:
                    plus = tl.dot(block, matrix, plus, input_precision="ieee", out_dtype=total.dtype)
            cosine = tl.zeros((V, R), dtype=tl.float32)
            sine = tl.zeros((V, R), dtype=tl.float32)
            if NOISY:
                counter = (first_vector + vector) * (groups * tile_columns) + group * tile_columns + column
                k0, k1 = _keys(key_low, key_high, counter)
                number = (tile_row * N + row).to(tl.uint32)[None, :] + tl.zeros((V, R), dtype=tl.uint32)
                cosine, sine = normal_pairs(k0[:, None] + 0 * number, k1[:, None] + 0 * number, number)
            entry = tile * N + row
            spread = tl.zeros((V, R), dtype=total.dtype)
            adc_step = tl.load(steps + entry, mask=used_row, other=0.0)[None, :] + spread
            gain = tl.load(gains + entry, mask=used_row, other=0.0)[None, :]
            value = _detect(plus, cosine, numbers, adc_step, NOISY, ADC)
            if SIGN == DIFFERENTIAL:
                value = value - _detect(minus, sine, numbers, adc_step, NOISY, ADC)
            value = value * gain
            if SIGN == OFFSET:
                value = (value + value) - tl.load(constants + entry, mask=used_row, other=0.0)[None, :]
            total += value * scale[:, None]
    element = tl.load(elements_out + group * rows + tile_row * N + row, mask=used_row, other=0)
    target = out + _places(vector, layout_out)[:, None] + element[None, :]
    tl.store(target, total, mask=there[:, None] & used_row[None, :])


COMPILED = isinstance(run, triton.JITFunction)
"""Whether the kernel is compiled for a GPU; in triton's interpreter (TRITON_INTERPRET=1) it is not."""
