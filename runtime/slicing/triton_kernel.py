"""The Triton kernels of the slicing engine: one program takes a block of samples through window after window.

The fields of a block are planes of real numbers, small enough to stay in the multiprocessor's cache. The cells of a
window are vectorised, (cells, samples); no two of them share a port, so fields are replaced in place and one
barrier a window orders it all. Importing this module needs triton.

Shapes: fields (programs, planes, ports, S): re and im of the fields, then of their gradients where there are 4 planes;
cells (tiles, 8, cells): re, im of m00, m01, m10, m11; starts int32 (depth + 1,): a window's first cell; upper and
lower ports int32 (cells,); tape (programs, room, 4, S): the fields in front of every cell of a group of windows.
"""

from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def _times(ar, ai, br, bi):
    return ar * br - ai * bi, ar * bi + ai * br


@triton.jit
def _conj_times(ar, ai, br, bi):
    """conj(a) b."""
    return ar * br + ai * bi, ar * bi - ai * br


@triton.jit
def _load(source, step, real):
    return tl.load(source, mask=real, other=0.0), tl.load(source + step, mask=real, other=0.0)


@triton.jit
def _store(target, step, real, re, im):
    tl.store(target, re, mask=real)
    tl.store(target + step, im, mask=real)


@triton.jit
def forward(
    fields, cells, starts, upper, lower, tape, first, last, ports, count, blocks, room,
    TAPE: tl.constexpr, C: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Windows first .. last, in place. With TAPE, ``tape`` receives the fields in front of each of their cells."""
    program = tl.program_id(0).to(tl.int64)
    sample = tl.arange(0, S)[None, :]
    plane = ports * S
    block = fields + program * 2 * plane + sample
    table = cells + program // blocks * 8 * count
    origin = tl.load(starts + first)
    for window in range(first, last):
        end = tl.load(starts + window + 1)
        for begin in range(tl.load(starts + window), end, C):
            cell = begin + tl.arange(0, C)[:, None]
            real = cell < end
            top = block + tl.load(upper + cell, mask=real, other=0) * S
            low = block + tl.load(lower + cell, mask=real, other=0) * S
            xr, xi = _load(top, plane, real)
            yr, yi = _load(low, plane, real)
            if TAPE:
                to = tape + (program * room + cell - origin) * 4 * S + sample
                _store(to, S, real, xr, xi)
                _store(to + 2 * S, S, real, yr, yi)
            ar, ai = _load(table + cell, count, real)
            br, bi = _load(table + 2 * count + cell, count, real)
            cr, ci = _load(table + 4 * count + cell, count, real)
            dr, di = _load(table + 6 * count + cell, count, real)
            pr, pi = _times(ar, ai, xr, xi)
            qr, qi = _times(br, bi, yr, yi)
            _store(top, plane, real, pr + qr, pi + qi)
            pr, pi = _times(cr, ci, xr, xi)
            qr, qi = _times(dr, di, yr, yi)
            _store(low, plane, real, pr + qr, pi + qi)
        tl.debug_barrier()


@triton.jit
def _sum(to, step, real, gr, gi, xr, xi):
    """The gradient of a cell's element: the sum of g conj(x) over the samples."""
    pr, pi = _conj_times(xr, xi, gr, gi)
    _store(to, step, real, tl.sum(pr, 1, keep_dims=True), tl.sum(pi, 1, keep_dims=True))


@triton.jit
def backward(
    fields, cells, starts, upper, lower, tape, sums, first, last, ports, count, blocks, room,
    SUMS: tl.constexpr, TAPE: tl.constexpr, C: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Back through windows last .. first, in place: 4 planes, of which without SUMS only the gradients matter.

    With SUMS, ``sums`` (programs, 8, room) receives this block's gradients of the cells of these windows. The
    fields in front of a cell are recomputed through its inverse, or with TAPE taken from the tape.
    """
    program = tl.program_id(0).to(tl.int64)
    sample = tl.arange(0, S)[None, :]
    plane = ports * S
    block = fields + program * 4 * plane + sample
    table = cells + program // blocks * 8 * count
    origin = tl.load(starts + first)
    for step in range(first, last):
        window = first + last - 1 - step
        end = tl.load(starts + window + 1)
        for begin in range(tl.load(starts + window), end, C):
            cell = begin + tl.arange(0, C)[:, None]
            real = cell < end
            top = block + tl.load(upper + cell, mask=real, other=0) * S
            low = block + tl.load(lower + cell, mask=real, other=0) * S
            ar, ai = _load(table + cell, count, real)
            br, bi = _load(table + 2 * count + cell, count, real)
            cr, ci = _load(table + 4 * count + cell, count, real)
            dr, di = _load(table + 6 * count + cell, count, real)
            gr, gi = _load(top + 2 * plane, plane, real)
            hr, hi = _load(low + 2 * plane, plane, real)
            if SUMS:
                if TAPE:
                    at = tape + (program * room + cell - origin) * 4 * S + sample
                    xr, xi = _load(at, S, real)
                    yr, yi = _load(at + 2 * S, S, real)
                else:
                    ur, ui = _load(top, plane, real)
                    vr, vi = _load(low, plane, real)
                    # 1 / determinant
                    er, ei = _times(ar, ai, dr, di)
                    fr, fi = _times(br, bi, cr, ci)
                    er, ei = er - fr, ei - fi
                    scale = 1.0 / tl.where(real, er * er + ei * ei, 1.0)
                    er, ei = er * scale, -ei * scale
                    pr, pi = _times(dr, di, ur, ui)
                    qr, qi = _times(br, bi, vr, vi)
                    xr, xi = _times(er, ei, pr - qr, pi - qi)
                    pr, pi = _times(ar, ai, vr, vi)
                    qr, qi = _times(cr, ci, ur, ui)
                    yr, yi = _times(er, ei, pr - qr, pi - qi)
                    _store(top, plane, real, xr, xi)
                    _store(low, plane, real, yr, yi)
                to = sums + program * 8 * room + cell - origin
                _sum(to, room, real, gr, gi, xr, xi)
                _sum(to + 2 * room, room, real, gr, gi, yr, yi)
                _sum(to + 4 * room, room, real, hr, hi, xr, xi)
                _sum(to + 6 * room, room, real, hr, hi, yr, yi)
            pr, pi = _conj_times(ar, ai, gr, gi)
            qr, qi = _conj_times(cr, ci, hr, hi)
            _store(top + 2 * plane, plane, real, pr + qr, pi + qi)
            pr, pi = _conj_times(br, bi, gr, gi)
            qr, qi = _conj_times(dr, di, hr, hi)
            _store(low + 2 * plane, plane, real, pr + qr, pi + qi)
        tl.debug_barrier()


COMPILED = isinstance(forward, triton.JITFunction)
"""Whether the kernels are compiled for a GPU; in triton's interpreter (TRITON_INTERPRET=1) they are not."""
