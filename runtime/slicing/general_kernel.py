"""The kernels of meshes with any 2x2 cells: losses that differ from path to path, gradients of losses.

The way back recomputes fields through the inverse of every cell; where the losses make that inaccurate, it
keeps the fields at a few windows and goes forward from there, window group by window group.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .cell_rows import adjoint, apply, general_gradient, taped_gradient
from .rotation_kernel import empty_block, read_block, scale_rows, write_block
from .vector import flush_denormals, restore


@njit(cache=True)
def inverses(cells, out):
    """Inverses of cells, real (cells, 8): re, im of m00, m01, m10, m11."""
    for k in range(len(cells)):
        a, b = complex(cells[k, 0], cells[k, 1]), complex(cells[k, 2], cells[k, 3])
        c, d = complex(cells[k, 4], cells[k, 5]), complex(cells[k, 6], cells[k, 7])
        determinant = a * d - b * c
        a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
        out[k, 0], out[k, 1], out[k, 2], out[k, 3] = a.real, a.imag, b.real, b.imag
        out[k, 4], out[k, 5], out[k, 6], out[k, 7] = c.real, c.imag, d.real, d.imag


@njit(cache=True)
def _eight(m):
    return (m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7])


@njit(cache=True)
def _both(m, w):
    return (m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7])


@njit(cache=True)
def _run(block, first, last, number, upper, lower, cells):
    """Cells first .. last of the order on rows 0 and 1 of a block."""
    base = block.ctypes.data
    samples, rows = block.shape[2], block.shape[1]
    row = samples * block.itemsize
    for k in range(first, last):
        p, q = base + rows * row * upper[k], base + rows * row * lower[k]
        apply(samples, (p, p + row, q, q + row), _eight(cells[number[k]]))


@njit(cache=True)
def _run_adjoint(block, number, upper, lower, cells):
    base = block.ctypes.data
    samples = block.shape[2]
    row = samples * block.itemsize
    for k in range(len(upper) - 1, -1, -1):
        p, q = base + 2 * row * upper[k], base + 2 * row * lower[k]
        adjoint(samples, (p, p + row, q, q + row), _eight(cells[number[k]]))


@njit(cache=True)
def _run_back(block, number, upper, lower, cells, inverse, sums):
    base = block.ctypes.data
    samples = block.shape[2]
    row = samples * block.itemsize
    for k in range(len(upper) - 1, -1, -1):
        p, q = base + 4 * row * upper[k], base + 4 * row * lower[k]
        rows = (p, p + row, q, q + row, p + 2 * row, p + 3 * row, q + 2 * row, q + 3 * row)
        totals = general_gradient(samples, rows, _both(inverse[number[k]], cells[number[k]]))
        for i in range(8):
            sums[number[k], i] += totals[i]


@njit(cache=True)
def _run_taped(block, first, last, number, upper, lower, cells, tape, sums):
    """Cells first .. last: forward from the fields in rows 0 and 1 onto the tape, and back with the gradients."""
    base, room = block.ctypes.data, tape.ctypes.data
    samples = block.shape[2]
    row = samples * block.itemsize
    for k in range(first, last):
        for part in range(2):
            tape[k - first, part] = block[upper[k], part]
            tape[k - first, 2 + part] = block[lower[k], part]
        _run(block, k, k + 1, number, upper, lower, cells)
    for k in range(last - 1, first - 1, -1):
        p, q, x = base + 4 * row * upper[k], base + 4 * row * lower[k], room + 4 * row * (k - first)
        rows = (x, x + row, x + 2 * row, x + 3 * row, p + 2 * row, p + 3 * row, q + 2 * row, q + 3 * row)
        totals = taped_gradient(samples, rows, _eight(cells[number[k]]))
        for i in range(8):
            sums[number[k], i] += totals[i]


@njit(nogil=True, cache=True)
def forward(first, last, chunks, blocks, samples, upper, lower, number, cells, final, fields, out):
    """Units first .. last. cells: real (tiles, cells, 8); the rest as in :mod:`.rotation_kernel`."""
    batch, ports = fields.shape[1], fields.shape[2]
    block = empty_block(ports, 2, samples, fields)
    before = flush_denormals()
    for unit in range(first, last):
        tile, chunk = unit // chunks, unit % chunks
        for turn in range(blocks):
            start = (chunk * blocks + turn) * samples
            stop = min(start + samples, batch)
            if start >= stop:
                break
            read_block(fields[tile], start, stop, 0, block)
            _run(block, 0, len(number), number, upper, lower, cells[tile])
            scale_rows(block, 0, final[tile])
            write_block(block, 0, start, stop, out[tile])
    restore(before)


@njit(nogil=True, cache=True)
def field_gradients(first, last, chunks, blocks, samples, upper, lower, number, cells, final, gradient, out):
    """Gradients of the fields alone."""
    batch, ports = gradient.shape[1], gradient.shape[2]
    block = empty_block(ports, 2, samples, gradient)
    before = flush_denormals()
    for unit in range(first, last):
        tile, chunk = unit // chunks, unit % chunks
        for turn in range(blocks):
            start = (chunk * blocks + turn) * samples
            stop = min(start + samples, batch)
            if start >= stop:
                break
            read_block(gradient[tile], start, stop, 0, block)
            scale_rows(block, 0, np.conj(final[tile]))
            _run_adjoint(block, number, upper, lower, cells[tile])
            write_block(block, 0, start, stop, out[tile])
    restore(before)


@njit(cache=True)
def _end_sums(block, ends):
    """Sums of g y* at every port, re and im: the gradient of the diagonal, with y in front of it."""
    for port in range(len(block)):
        re, im = 0.0, 0.0
        for k in range(block.shape[2]):
            yr, yi = np.float64(block[port, 0, k]), np.float64(block[port, 1, k])
            re += block[port, 2, k] * yr + block[port, 3, k] * yi
            im += block[port, 3, k] * yr - block[port, 2, k] * yi
        ends[port, 0] += re
        ends[port, 1] += im


@njit(nogil=True, cache=True)
def backward(
    first, last, chunks, blocks, samples, upper, lower, number, cells, inverse, stops, final, saved, gradient,
    sums, ends, to_fields,
):  # fmt: skip
    """Units first .. last, from the outgoing fields, or with checkpoints from the incoming ones.

    Args:
        inverse: as cells; ignored with checkpoints.
        stops: int64 (groups + 1,): the cells at which a group of windows begins, and the end; with fewer than
            two entries there are no checkpoints.
        saved: real (tiles, batch, ports, 2), outgoing fields; incoming ones with checkpoints.
        sums: real (tiles, chunks, cells, 8), zeros: receives the gradients of the cells' elements.
        ends: float64 (tiles, chunks, ports, 2), zeros: receives the gradients of the final diagonal.
        to_fields: receives the gradients of the incoming fields, unless its first dimension is 0.
    """
    batch, ports = saved.shape[1], saved.shape[2]
    block = empty_block(ports, 4, samples, saved)
    groups = len(stops) - 1
    longest = 0
    for group in range(groups):
        longest = max(longest, stops[group + 1] - stops[group])
    tape = empty_block(longest, 4, samples, saved)
    kept = np.empty((max(groups, 0), ports, 2, samples), dtype=saved.dtype)
    before = flush_denormals()
    for unit in range(first, last):
        tile, chunk = unit // chunks, unit % chunks
        for turn in range(blocks):
            start = (chunk * blocks + turn) * samples
            stop = min(start + samples, batch)
            if start >= stop:
                break
            read_block(saved[tile], start, stop, 0, block)
            read_block(gradient[tile], start, stop, 2, block)
            if groups > 0:
                for group in range(groups):
                    kept[group] = block[:, :2]
                    _run(block, stops[group], stops[group + 1], number, upper, lower, cells[tile])
            else:
                scale_rows(block, 0, 1.0 / final[tile])
            _end_sums(block, ends[tile, chunk])
            scale_rows(block, 2, np.conj(final[tile]))
            if groups > 0:
                for group in range(groups - 1, -1, -1):
                    block[:, :2] = kept[group]
                    begin, end = stops[group], stops[group + 1]
                    _run_taped(block, begin, end, number, upper, lower, cells[tile], tape, sums[tile, chunk])
            else:
                _run_back(block, number, upper, lower, cells[tile], inverse[tile], sums[tile, chunk])
            if len(to_fields):
                write_block(block, 2, start, stop, to_fields[tile])
    restore(before)
