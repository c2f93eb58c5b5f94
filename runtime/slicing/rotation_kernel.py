"""The kernels of lossless meshes: a block of samples stays in the cache through all windows.

A unit of work is one chunk of one tile's batch. Its blocks hold, port by port, a row of real and a row of
imaginary parts; on the way back the rows of the gradients lie beside them. The way back recomputes the fields
from the outgoing ones through the inverse rotations, so nothing is kept per window.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .cell_rows import rotate, rotation_gradient, unrotate
from .vector import flush_denormals, restore


@njit(cache=True)
def empty_block(ports, rows, samples, like):
    """A block (ports, rows, samples) of the dtype of ``like``, aligned to cache lines."""
    size = ports * rows * samples
    line = 64 // like.itemsize
    room = np.empty(size + line, dtype=like.dtype)
    start = (-room.ctypes.data % 64) // like.itemsize
    return room[start : start + size].reshape((ports, rows, samples))


@njit(cache=True)
def read_block(fields, start, stop, row, block):
    """Samples start .. stop of ``fields`` (batch, ports, 2) into rows ``row`` and ``row + 1``; zeros behind."""
    ports, samples = len(block), block.shape[2]
    count = stop - start
    for base in range(0, count, 8):
        width = min(8, count - base)
        for port in range(ports):
            for k in range(width):
                block[port, row, base + k] = fields[start + base + k, port, 0]
                block[port, row + 1, base + k] = fields[start + base + k, port, 1]
    for port in range(ports):
        for k in range(max(0, count), samples):
            block[port, row, k] = 0
            block[port, row + 1, k] = 0


@njit(cache=True)
def write_block(block, row, start, stop, fields):
    """The inverse of :func:`read_block`."""
    for base in range(0, stop - start, 8):
        width = min(8, stop - start - base)
        for port in range(len(block)):
            for k in range(width):
                fields[start + base + k, port, 0] = block[port, row, base + k]
                fields[start + base + k, port, 1] = block[port, row + 1, base + k]


@njit(cache=True)
def scale_rows(block, row, factors):
    """Multiply every port's rows by a complex number."""
    samples = block.shape[2]
    for port in range(len(block)):
        a = block.dtype.type(factors[port].real)
        b = block.dtype.type(factors[port].imag)
        for k in range(samples):
            x, y = block[port, row, k], block[port, row + 1, k]
            block[port, row, k] = a * x - b * y
            block[port, row + 1, k] = a * y + b * x


@njit(cache=True)
def _forward(block, upper, lower, rotations):
    base = block.ctypes.data
    samples = block.shape[2]
    row = samples * block.itemsize
    for k in range(len(upper)):
        p, q = base + 2 * row * upper[k], base + 2 * row * lower[k]
        m = (rotations[k, 0], rotations[k, 1], rotations[k, 2], rotations[k, 3])
        rotate(samples, (p, p + row, q, q + row), m)


@njit(cache=True)
def _adjoint(block, upper, lower, rotations):
    base = block.ctypes.data
    samples = block.shape[2]
    row = samples * block.itemsize
    for k in range(len(upper) - 1, -1, -1):
        p, q = base + 2 * row * upper[k], base + 2 * row * lower[k]
        m = (rotations[k, 0], rotations[k, 1], rotations[k, 2], rotations[k, 3])
        unrotate(samples, (p, p + row, q, q + row), m)


@njit(cache=True)
def _backward(block, upper, lower, rotations, sums):
    base = block.ctypes.data
    samples = block.shape[2]
    row = samples * block.itemsize
    for k in range(len(upper) - 1, -1, -1):
        p, q = base + 4 * row * upper[k], base + 4 * row * lower[k]
        rows = (p, p + row, q, q + row, p + 2 * row, p + 3 * row, q + 2 * row, q + 3 * row)
        m = (rotations[k, 0], rotations[k, 1], rotations[k, 2], rotations[k, 3])
        s0, s1, s2, s3 = rotation_gradient(samples, rows, m)
        sums[k, 0] += s0
        sums[k, 1] += s1
        sums[k, 2] += s2
        sums[k, 3] += s3


@njit(nogil=True, cache=True)
def forward(first, last, chunks, blocks, samples, upper, lower, rotations, final, fields, out):
    """Units first .. last. fields, out: real (tiles, batch, ports, 2); final: complex128 (tiles, ports)."""
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
            _forward(block, upper, lower, rotations[tile])
            scale_rows(block, 0, final[tile])
            write_block(block, 0, start, stop, out[tile])
    restore(before)


@njit(nogil=True, cache=True)
def adjoint(first, last, chunks, blocks, samples, upper, lower, rotations, final, gradient, out):
    """As :func:`forward`, through the conjugate transpose of the meshes: gradients of the fields alone."""
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
            _adjoint(block, upper, lower, rotations[tile])
            write_block(block, 0, start, stop, out[tile])
    restore(before)


@njit(cache=True)
def _end_sums(block, ends):
    """Im of the sums of y g* at every port."""
    for port in range(len(block)):
        total = 0.0
        for k in range(block.shape[2]):
            total += (
                np.float64(block[port, 1, k]) * block[port, 2, k] - np.float64(block[port, 0, k]) * block[port, 3, k]
            )
        ends[port] += total


@njit(nogil=True, cache=True)
def backward(
    first, last, chunks, blocks, samples, upper, lower, rotations, final, outgoing, gradient, sums, ends, to_fields
):
    """Units first .. last, from the outgoing fields and their gradients.

    Args:
        outgoing, gradient: real (tiles, batch, ports, 2).
        sums: real (tiles, chunks, cells, 4), zeros: receives Im P00, Im P11, 2 P01 of every cell.
        ends: float64 (tiles, chunks, ports), zeros: receives Im of the sums of y g* at the output ports.
        to_fields: receives the gradients of the incoming fields, unless its first dimension is 0.
    """
    batch, ports = outgoing.shape[1], outgoing.shape[2]
    block = empty_block(ports, 4, samples, outgoing)
    before = flush_denormals()
    for unit in range(first, last):
        tile, chunk = unit // chunks, unit % chunks
        for turn in range(blocks):
            start = (chunk * blocks + turn) * samples
            stop = min(start + samples, batch)
            if start >= stop:
                break
            read_block(outgoing[tile], start, stop, 0, block)
            read_block(gradient[tile], start, stop, 2, block)
            _end_sums(block, ends[tile, chunk])
            scale_rows(block, 0, 1.0 / final[tile])
            scale_rows(block, 2, np.conj(final[tile]))
            _backward(block, upper, lower, rotations[tile], sums[tile, chunk])
            if len(to_fields):
                write_block(block, 2, start, stop, to_fields[tile])
    restore(before)
