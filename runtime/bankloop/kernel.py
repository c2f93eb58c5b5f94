"""The numba kernel: encode, tile product, noise, ADC and digital sum of a block of vectors.

The arithmetic of :mod:`.arithmetic`, operation for operation, in the dtype of the arrays. A block's vectors
lie side by side and inner loops run over them; results do not depend on the block. No fastmath outside
the product: contraction would change codes. Literals are avoided: they would widen float32 to double. The
error model is numpy's: a division that may raise keeps its loop from becoming vector instructions.

(numba's cache looks at one file only: after changing :mod:`.product` or ``optics.noise_kernel``, delete
``__pycache__/*.nb*`` here.)
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..optics.noise_kernel import counter_key, fill_normals
from .product import ROWS, tile_rows

DIFFERENTIAL, PHASE_SIGN, OFFSET = 0, 1, 2
"""Sign encodings as the kernel knows them."""


@njit(cache=True, error_model="numpy")
def _read_block(x, layout, elements, start, count, first, inputs, block):
    """Copy ``inputs`` elements from ``first`` on of vectors start .. start + count into block (n, B)."""
    lines, places, sample, line, place = layout[0], layout[1], layout[2], layout[3], layout[4]
    done = 0
    while done < count:
        s, rest = divmod(start + done, lines * places)
        y, at = divmod(rest, places)
        length = min(places - at, count - done)
        base = s * sample + y * line + at * place
        for j in range(inputs):
            target = block[j, done : done + length]
            source = x[base + elements[first + j] :]
            if place == 1:
                for b in range(length):
                    target[b] = source[b]
            else:
                for b in range(length):
                    target[b] = source[b * place]
        done += length
    for j in range(inputs):
        for b in range(count, block.shape[1]):
            block[j, b] = 0


@njit(cache=True, error_model="numpy")
def _write_block(sums, rows, out, layout, elements, start, count):
    """Copy results sums (G, R * n, B) of the used rows to their places in out."""
    lines, places, sample, line, place = layout[0], layout[1], layout[2], layout[3], layout[4]
    done = 0
    while done < count:
        s, rest = divmod(start + done, lines * places)
        y, at = divmod(rest, places)
        length = min(places - at, count - done)
        base = s * sample + y * line + at * place
        for g in range(len(sums)):
            for i in range(rows):
                source = sums[g, i, done : done + length]
                target = out[base + elements[g * rows + i] :]
                for b in range(length):
                    target[b * place] = source[b]
        done += length


@njit(inline="always")
def _full_scales(block, inputs, peaks, scales):
    """scales[b] = max |block[j, b]| over the inputs; peaks (2, B) is scratch."""
    for b in range(len(scales)):
        peaks[0, b] = 0
    for j in range(inputs):
        # from one row of the scratch to the other: in place it would become slow masked stores
        row, old, new = block[j], peaks[j & 1], peaks[1 - (j & 1)]
        for b in range(len(scales)):
            new[b] = max(old[b], abs(row[b]))
    for b in range(len(scales)):
        scales[b] = peaks[inputs & 1, b]


@njit(inline="always")
def _none_negative(block, inputs, lowest):
    """Whether no element of the block is below zero; lowest (2, B) is scratch."""
    for b in range(block.shape[1]):
        lowest[0, b] = 0
    for j in range(inputs):
        row, old, new = block[j], lowest[j & 1], lowest[1 - (j & 1)]
        for b in range(block.shape[1]):
            new[b] = min(old[b], row[b])
    least = lowest[inputs & 1]
    found = least[0]
    for b in range(block.shape[1]):
        found = min(found, least[b])
    return found == found - found


@njit(inline="always")
def _encode(block, inputs, scales, steps, limits, sign, dac, codes):
    """DAC codes of a block (n, B) into codes (n, W), rail + first; scales that underflow become 0.

    W is B where there is one rail, or where the second is dark. steps, limits (B,) are scratch: what a value is
    divided by, and the largest code.
    """
    size = len(scales)
    quantized, top = dac
    zero, one = top - top, top / top
    for b in range(size):
        step = scales[b] / top
        live = step != zero
        scales[b] = scales[b] if live else zero
        limits[b] = top if live else zero
        steps[b] = (step if quantized else scales[b]) if live else one
    for j in range(inputs):
        row, plus = block[j], codes[j, :size]
        if sign == OFFSET:
            for b in range(size):
                row[b] = (row[b] + scales[b]) / (one + one)
        if quantized:
            for b in range(size):
                row[b] = np.rint(row[b] / steps[b])
        else:
            for b in range(size):
                row[b] = row[b] / steps[b]
        if sign == DIFFERENTIAL:
            for b in range(size):
                row[b] = min(max(row[b], -limits[b]), limits[b])
                plus[b] = max(row[b], zero)
            if codes.shape[1] > size:
                minus = codes[j, size:]
                for b in range(size):
                    minus[b] = max(-row[b], zero)
        elif sign == PHASE_SIGN:
            for b in range(size):
                plus[b] = min(max(row[b], -limits[b]), limits[b])
        else:
            for b in range(size):
                plus[b] = min(max(row[b], zero), limits[b])


@njit(inline="always")
def _block_keys(key, first_counter, stride, keys):
    """Noise keys (2, B) of the vectors of a block: counter = first_counter + b * stride, uint64."""
    for b in range(keys.shape[1]):
        mixed = counter_key(key, first_counter + np.uint64(b) * stride)
        keys[0, b] = np.uint32(mixed & np.uint64(0xFFFFFFFF))
        keys[1, b] = np.uint32(mixed >> np.uint64(32))


@njit(inline="always")
def _detect(y, levels, noisy, normal, c0, c1, c2, digital, step, top):
    """A row of code sums to ADC codes in place: fields, their noise, the converter."""
    zero = top - top
    if noisy:
        for b in range(len(y)):
            value = y[b] / levels
            y[b] = value + np.sqrt((c0 + c1 * abs(value)) + c2 * (value * value)) * normal[b]
    else:
        for b in range(len(y)):
            y[b] = y[b] / levels
    if digital:
        live = step != zero
        divisor = step if live else top
        limit = top if live else zero
        for b in range(len(y)):
            code = np.rint(y[b] / divisor)
            code = limit if code > limit else code
            y[b] = -limit if code < -limit else code


@njit(inline="always")
def _accumulate(out, plus, minus, sign, gain, constant, scales):
    """out += what the row reads, in the units of the weights and of x."""
    if sign == DIFFERENTIAL:
        for b in range(len(out)):
            out[b] += (plus[b] - minus[b]) * gain * scales[b]
    elif sign == PHASE_SIGN:
        for b in range(len(out)):
            out[b] += plus[b] * gain * scales[b]
    else:
        for b in range(len(out)):
            value = plus[b] * gain
            out[b] += (value + value - constant) * scales[b]


@njit(cache=True, error_model="numpy")
def _tile(codes, matrix, inputs, rows, scratch, table, keys, row, sums, sign, dac, adc, noise):
    """One tile: codes (n, W) through its rows into the sums (rows, B).

    scratch: light (ROWS * rails * B,), normals (2, ROWS * B) float32, scales (B,), dark (B,). table: ADC step,
    gain and constant a row. Where W is B and the encoding has two rails, the second is dark: no light to
    multiply, and no row to read unless its noise alone could reach a code.
    """
    memory, normals, scales, dark = scratch
    step, gain, constant = table
    size, width = len(scales), codes.shape[1]
    light = memory[: ROWS * width].reshape(ROWS, width)
    pairs = sign == DIFFERENTIAL
    zero = dac[1] - dac[1]
    # a draw is below 5.89: half a step above 6 sigma is out of the reach of noise
    reach = np.sqrt(noise[1]) * (noise[4] + noise[4])
    for first in range(0, rows, ROWS):
        tile_rows(matrix[first // ROWS], codes, light, inputs, width)
        last = min(first + ROWS, rows)
        if noise[0]:
            fill_normals(keys[0], keys[1], np.uint32(row + first), last - first, normals[0], normals[1])
        for i in range(first, last):
            at = (i - first) * size
            plus, cosines, sines = light[i - first, :size], normals[0, at : at + size], normals[1, at : at + size]
            _detect(plus, dac[1], noise[0], cosines, noise[1], noise[2], noise[3], adc[0], step[i], adc[1])
            if not pairs:
                _accumulate(sums[i], plus, plus, sign, gain[i], constant[i], scales)
            elif width > size:
                minus = light[i - first, size:]
                _detect(minus, dac[1], noise[0], sines, noise[1], noise[2], noise[3], adc[0], step[i], adc[1])
                _accumulate(sums[i], plus, minus, sign, gain[i], constant[i], scales)
            elif noise[0] and not (adc[0] and reach < step[i]):
                for b in range(size):
                    dark[b] = zero
                _detect(dark, dac[1], noise[0], sines, noise[1], noise[2], noise[3], adc[0], step[i], adc[1])
                _accumulate(sums[i], plus, dark, sign, gain[i], constant[i], scales)
            else:
                _accumulate(sums[i], plus, plus, PHASE_SIGN, gain[i], constant[i], scales)


@njit(cache=True, error_model="numpy")
def _block(index, size, vectors, source, target, tables, shape, encoding, dac, adc, noise, counter):
    """Block number ``index`` of ``size`` vectors, from reading it to writing its results."""
    n, rows, cols = shape
    sign, rails, static = encoding
    x, layout_in, elements_in = source
    grid, matrices, steps, gains, constants, ranges = tables
    groups, high, wide = grid.shape
    start = index * size
    count = min(size, vectors - start)
    block = np.empty((n, size), x.dtype)
    fields = np.empty(n * rails * size, x.dtype)
    scales, divisors, limits = np.empty(size, x.dtype), np.empty(size, x.dtype), np.empty(size, x.dtype)
    peaks = np.empty((2, size), x.dtype)
    light, normals = np.empty(ROWS * rails * size, x.dtype), np.empty((2, ROWS * size), np.float32)
    scratch = (light, normals, scales, np.empty(size, x.dtype))
    keys = np.empty((2, size), np.uint32)
    sums = np.zeros((groups, high * n, size), x.dtype)
    for g in range(groups):
        for c in range(wide):
            inputs = min(n, cols - c * n)
            _read_block(x, layout_in, elements_in, start, count, g * cols + c * n, inputs, block)
            if static:
                for b in range(size):
                    scales[b] = ranges[g, c]
            else:
                _full_scales(block, inputs, peaks, scales)
            # what a rectifier let through sends no light down the negative rail
            width = size if rails == 1 or _none_negative(block, inputs, peaks) else rails * size
            codes = fields[: n * width].reshape(n, width)
            _encode(block, inputs, scales, divisors, limits, sign, dac, codes)
            if noise[0]:
                stride = np.uint64(groups * wide)
                first = (counter[1] + np.uint64(start)) * stride + np.uint64(g * wide + c)
                _block_keys(counter[0], first, stride, keys)
            for r in range(high):
                t = grid[g, r, c]
                if t >= 0:
                    used = min(n, rows - r * n)
                    table = (steps[t], gains[t], constants[t])
                    part = sums[g, r * n : r * n + used]
                    _tile(codes, matrices[t], inputs, used, scratch, table, keys, r * n, part, sign, dac, adc, noise)
    _write_block(sums, rows, target[0], target[1], target[2], start, count)


@njit(cache=True, nogil=True, error_model="numpy")
def run_blocks(first, last, size, vectors, source, target, tables, shape, encoding, dac, adc, noise, counter):
    """Blocks first .. last of ``size`` vectors; any number of threads may run it at once, on other blocks.

    Args:
        source, target: (flat memory, the five numbers of a Layout, its elements), for x and for the result.
        tables: grid (G, R, C); matrices (T, n / ROWS, n, ROWS); ADC steps, gains, offset constants (T, n);
            ranges (G, C).
        shape: (n, rows, cols). encoding: (sign, rails, static). dac, adc: (quantized, levels).
        noise: (on, c0, c1, c2, 6: more standard deviations than any draw).
        counter: (stream key, index of the first vector), uint64.
    """
    for index in range(first, last):
        _block(index, size, vectors, source, target, tables, shape, encoding, dac, adc, noise, counter)
