"""Kernels of analytic programming: null every element below the diagonal with one cell each.

Tiles are worked on in groups of ``LANES``, the lane as the last axis of the scratch, so that the inner
loops are vector instructions for row and column operations alike. In the gauge of ``meshes.gauge`` a
cell is ``R = [[s, c], [c, -s]] diag(w, 1)`` with a unit number w (a sign, or a phase).

A *plan* lists the elements in order. An element is nulled from the right by ``R^-1`` (a cell near the
input) or from the left by R (a cell near the output). What is left is
``left^-1 D right`` with D diagonal; every left factor then moves through D:
``R^-1 diag(d1, d2) = diag(conj(w) d2, d2) [[s, c], [c, -s]] diag(d1 conj(d2), 1)``,
so D ends as the screen at the output. Source: Clements et al., Optica 3, 1460 (2016).

Rows of a plan, int32 (cells used, 4): from the left (1) or the right (0); upper port p of the cell; from
the right the row, whose element in column p is nulled with column p + 1, from the left the column, whose element in
row p + 1 is nulled with row p; the number of the cell. The order must leave nulled elements alone: from the
right rows go up and columns p to the right, from the left columns to the right and rows up.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._rotation import LANES, double_angle, rotate

BLOCK = 8
"""Rows or columns of a group of tiles that all cells of a diagonal go through before the next ones."""

_TINY = 1e-280
"""Squared magnitudes below this count as zero: their square root would be no exact unit vector."""


@njit(inline="always")
def _null(a, x, y, opposite, found, cell):
    """The cell that nulls the LANES elements of a at x with those at y: found[cell] (s, c, w).

    w is -1 where the signs of x and y are ``opposite``, or else where they are the same.
    """
    for lane in range(LANES):
        u, v = a[x + lane], a[y + lane]
        h2 = u * u + v * v
        scale = 1.0 / np.sqrt(h2 if h2 > _TINY else 1.0)
        found[cell, 0, lane] = abs(v) * scale if h2 > _TINY else 1.0
        found[cell, 1, lane] = abs(u) * scale if h2 > _TINY else 0.0
        found[cell, 2, lane] = -1.0 if (u * v < 0 if opposite else u * v > 0) else 1.0


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def null_real(first_group, last_group, matrices, plan, theta, signs):
    """Settings of orthogonal matrices (T, n, n): fills theta (T, cells), signs bool (T, cells + ports).

    Works on groups first_group .. last_group of ``LANES`` tiles each. Consecutive cells of one side go
    through ``BLOCK`` rows (or columns) after another: those stay in the nearest cache, and each cell's angle is
    known by the time that another row needs it.
    """
    tiles, n, _ = matrices.shape
    cells, ops = theta.shape[1], len(plan)
    # one column more: rows of a power of two would share a few sets of the nearest cache
    a = np.empty((n, n + 1, LANES))
    flat, width = a.reshape(-1), (n + 1) * LANES
    w, angles, found = np.empty((ops, LANES)), np.empty((ops, LANES)), np.empty((n, 3, LANES))
    for group in range(first_group, last_group):
        first = group * LANES
        count = min(LANES, tiles - first)
        for i in range(n):
            # a row of one tile after another: the same place of all tiles may share one set of the nearest cache
            for lane in range(count):
                for k in range(n):
                    a[i, k, lane] = matrices[first + lane, i, k]
            for lane in range(count, LANES):
                for k in range(n):
                    a[i, k, lane] = 1.0 if i == k else 0.0
        start = 0
        while start < ops:
            left = plan[start, 0] == 1
            end = start + 1
            while end < ops and end - start < n and plan[end, 0] == plan[start, 0]:
                end += 1
            for block in range(0, n, BLOCK):
                low, high = (block, min(block + BLOCK, n)) if left else (max(n - block - BLOCK, 0), n - block)
                for op in range(start, end):
                    p, pivot = plan[op, 1], plan[op, 2]
                    cell = op - start
                    if low <= pivot < high:
                        x = (p + 1) * width + pivot * LANES if left else pivot * width + p * LANES
                        y = x - width if left else x + LANES
                        _null(flat, x, y, left, found, cell)
                    if left and pivot < high:
                        q = max(pivot, low)
                        rotate(flat, p * width + q * LANES, width, LANES, high - q, found, cell)
                    elif not left and pivot >= low:
                        rows = min(pivot + 1, high) - low
                        rotate(flat, low * width + p * LANES, LANES, width, rows, found, cell)
            for op in range(start, end):
                for lane in range(LANES):
                    w[op, lane] = found[op - start, 2, lane]
                    angles[op, lane] = double_angle(found[op - start, 0, lane], found[op - start, 1, lane])
            start = end
        # the last factor nulled stands next to D: move it through first
        for op in range(ops - 1, -1, -1):
            if plan[op, 0] == 0:
                continue
            p = plan[op, 1]
            for lane in range(LANES):
                d1, d2 = a[p, p, lane], a[p + 1, p + 1, lane]
                a[p, p, lane] = -d2 if w[op, lane] < 0 else d2
                w[op, lane] = -1.0 if (d1 < 0) != (d2 < 0) else 1.0
        for lane in range(count):
            for op in range(ops):
                theta[first + lane, plan[op, 3]] = angles[op, lane]
                signs[first + lane, plan[op, 3]] = w[op, lane] < 0
            for p in range(n):
                signs[first + lane, cells + p] = a[p, p, lane] < 0


@njit(cache=True)
def _unit(re, im):
    """A complex number over its magnitude, and the magnitude; 1 and 0 for zero."""
    h2 = re * re + im * im
    if h2 > _TINY:
        h = np.sqrt(h2)
        return re / h, im / h, h
    return 1.0, 0.0, 0.0


@njit(nogil=True, cache=True, fastmath={"contract"})
def null_complex(first_group, last_group, real, imag, plan, theta, delta):
    """Settings of unitaries (T, n, n): fills theta (T, cells), delta (T, cells + ports) in radians.

    Works on groups first_group .. last_group of ``LANES`` tiles each.
    """
    tiles, n, _ = real.shape
    cells, ops = theta.shape[1], len(plan)
    for group in range(first_group, last_group):
        first = group * LANES
        count = min(LANES, tiles - first)
        a, b = np.empty((n, n + 1, LANES)), np.zeros((n, n + 1, LANES))
        for i in range(n):
            for k in range(n):
                for lane in range(LANES):
                    a[i, k, lane] = real[first + lane, i, k] if lane < count else (1.0 if i == k else 0.0)
                    if lane < count:
                        b[i, k, lane] = imag[first + lane, i, k]
        # w = e^{j delta} of the cells
        wr, wi = np.empty((ops, LANES)), np.empty((ops, LANES))
        s, c = np.empty(LANES), np.empty(LANES)
        for op in range(ops):
            p, pivot, k = plan[op, 1], plan[op, 2], plan[op, 3]
            if plan[op, 0] == 0:
                for lane in range(LANES):
                    ur, ui, u = _unit(a[pivot, p, lane], b[pivot, p, lane])
                    vr, vi, v = _unit(a[pivot, p + 1, lane], b[pivot, p + 1, lane])
                    s[lane], c[lane], _ = _unit(v, u)
                    # w = -u conj(v) over their magnitudes; a zero leaves w free
                    free = u == 0 or v == 0
                    wr[op, lane] = 1.0 if free else -(ur * vr + ui * vi)
                    wi[op, lane] = 0.0 if free else -(ui * vr - ur * vi)
                for r in range(pivot + 1):
                    for lane in range(LANES):
                        xr, xi = a[r, p, lane], b[r, p, lane]
                        ur = wr[op, lane] * xr + wi[op, lane] * xi
                        ui = wr[op, lane] * xi - wi[op, lane] * xr
                        vr, vi = a[r, p + 1, lane], b[r, p + 1, lane]
                        a[r, p, lane] = s[lane] * ur + c[lane] * vr
                        b[r, p, lane] = s[lane] * ui + c[lane] * vi
                        a[r, p + 1, lane] = c[lane] * ur - s[lane] * vr
                        b[r, p + 1, lane] = c[lane] * ui - s[lane] * vi
            else:
                for lane in range(LANES):
                    ur, ui, u = _unit(a[p, pivot, lane], b[p, pivot, lane])
                    vr, vi, v = _unit(a[p + 1, pivot, lane], b[p + 1, pivot, lane])
                    s[lane], c[lane], _ = _unit(u, v)
                    # w = v conj(u) over their magnitudes
                    free = u == 0 or v == 0
                    wr[op, lane] = 1.0 if free else vr * ur + vi * ui
                    wi[op, lane] = 0.0 if free else vi * ur - vr * ui
                for q in range(pivot, n):
                    for lane in range(LANES):
                        xr, xi = a[p, q, lane], b[p, q, lane]
                        ur = wr[op, lane] * xr - wi[op, lane] * xi
                        ui = wr[op, lane] * xi + wi[op, lane] * xr
                        vr, vi = a[p + 1, q, lane], b[p + 1, q, lane]
                        a[p, q, lane] = s[lane] * ur + c[lane] * vr
                        b[p, q, lane] = s[lane] * ui + c[lane] * vi
                        a[p + 1, q, lane] = c[lane] * ur - s[lane] * vr
                        b[p + 1, q, lane] = c[lane] * ui - s[lane] * vi
            for lane in range(count):
                theta[first + lane, k] = 2 * np.arctan2(s[lane], c[lane])
        for lane in range(count):
            t = first + lane
            for op in range(ops):
                delta[t, plan[op, 3]] = np.arctan2(wi[op, lane], wr[op, lane])
            for p in range(n):
                delta[t, cells + p] = np.arctan2(b[p, p, lane], a[p, p, lane])
            for op in range(ops - 1, -1, -1):
                if plan[op, 0] == 0:
                    continue
                p, k = plan[op, 1], plan[op, 3]
                d1, d2 = delta[t, cells + p], delta[t, cells + p + 1]
                delta[t, cells + p] = (d2 - delta[t, k]) % (2 * np.pi)
                delta[t, k] = (d1 - d2) % (2 * np.pi)
