"""Kernels of Clements programming: null every element below the diagonal with one cell each.

Tiles are worked on in groups of ``LANES``, the lane as the last axis of the scratch, so that the inner
loops are vector instructions for row and column operations alike. In the gauge of ``meshes.gauge`` a
cell is ``R = [[s, c], [c, -s]] diag(w, 1)`` with a unit number w (a sign, or a phase).

Even diagonals are nulled from the right by ``R^-1`` (cells near the input), odd ones from the left by R.
What is left is ``left^-1 D right`` with D diagonal; every left factor then moves through D:
``R^-1 diag(d1, d2) = diag(conj(w) d2, d2) [[s, c], [c, -s]] diag(d1 conj(d2), 1)``,
so D ends as the screen at the output. Source: Clements et al., Optica 3, 1460 (2016).
"""

from __future__ import annotations

import numpy as np
from numba import njit

LANES = 8
"""Tiles side by side: one AVX-512 register of float64, or two of AVX2."""

_TINY = 1e-280
"""Squared magnitudes below this count as zero: their square root would be no exact unit vector."""


@njit(nogil=True, cache=True, fastmath={"contract"})
def null_real(first_group, last_group, matrices, cell_index, theta, signs):
    """Settings of orthogonal matrices (T, n, n): fills theta (T, cells), signs bool (T, cells + n).

    Works on groups first_group .. last_group of ``LANES`` tiles each.
    """
    tiles, n, _ = matrices.shape
    cells = theta.shape[1]
    for group in range(first_group, last_group):
        first = group * LANES
        count = min(LANES, tiles - first)
        a = np.empty((n, n, LANES))
        for i in range(n):
            for k in range(n):
                for lane in range(LANES):
                    a[i, k, lane] = matrices[first + lane, i, k] if lane < count else (1.0 if i == k else 0.0)
        w = np.empty((cells, LANES))
        s, c = np.empty(LANES), np.empty(LANES)
        for i in range(n - 1):
            for j in range(i + 1):
                if i % 2 == 0:
                    p, row = i - j, n - 1 - j
                    k = cell_index[j, p]
                    for lane in range(LANES):
                        u, v = a[row, p, lane], a[row, p + 1, lane]
                        h2 = u * u + v * v
                        scale = 1.0 / np.sqrt(h2) if h2 > _TINY else 0.0
                        s[lane] = abs(v) * scale if h2 > _TINY else 1.0
                        c[lane] = abs(u) * scale
                        w[k, lane] = -1.0 if u * v > 0 else 1.0
                    for r in range(row + 1):
                        for lane in range(LANES):
                            u, v = w[k, lane] * a[r, p, lane], a[r, p + 1, lane]
                            a[r, p, lane] = s[lane] * u + c[lane] * v
                            a[r, p + 1, lane] = c[lane] * u - s[lane] * v
                else:
                    p = n - 2 - i + j
                    k = cell_index[n - 1 - j, p]
                    for lane in range(LANES):
                        u, v = a[p, j, lane], a[p + 1, j, lane]
                        h2 = u * u + v * v
                        scale = 1.0 / np.sqrt(h2) if h2 > _TINY else 0.0
                        s[lane] = abs(u) * scale if h2 > _TINY else 1.0
                        c[lane] = abs(v) * scale
                        w[k, lane] = -1.0 if u * v < 0 else 1.0
                    for q in range(j, n):
                        for lane in range(LANES):
                            u, v = w[k, lane] * a[p, q, lane], a[p + 1, q, lane]
                            a[p, q, lane] = s[lane] * u + c[lane] * v
                            a[p + 1, q, lane] = c[lane] * u - s[lane] * v
                for lane in range(count):
                    theta[first + lane, k] = 2 * np.arctan2(s[lane], c[lane])
        # the last factor nulled stands next to D: move it through first
        for back in range(n - 1):
            i = n - 2 - back
            if i % 2 == 0:
                continue
            for up in range(i + 1):
                j = i - up
                p = n - 2 - i + j
                k = cell_index[n - 1 - j, p]
                for lane in range(LANES):
                    d1, d2 = a[p, p, lane], a[p + 1, p + 1, lane]
                    a[p, p, lane] = -d2 if w[k, lane] < 0 else d2
                    w[k, lane] = -1.0 if (d1 < 0) != (d2 < 0) else 1.0
        for lane in range(count):
            for k in range(cells):
                signs[first + lane, k] = w[k, lane] < 0
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
def null_complex(first_group, last_group, real, imag, cell_index, theta, delta):
    """Settings of unitaries (T, n, n): fills theta (T, cells), delta (T, cells + n) in radians.

    Works on groups first_group .. last_group of ``LANES`` tiles each.
    """
    tiles, n, _ = real.shape
    cells = theta.shape[1]
    for group in range(first_group, last_group):
        first = group * LANES
        count = min(LANES, tiles - first)
        a, b = np.empty((n, n, LANES)), np.zeros((n, n, LANES))
        for i in range(n):
            for k in range(n):
                for lane in range(LANES):
                    a[i, k, lane] = real[first + lane, i, k] if lane < count else (1.0 if i == k else 0.0)
                    if lane < count:
                        b[i, k, lane] = imag[first + lane, i, k]
        # w = e^{j delta} of the cells
        wr, wi = np.empty((cells, LANES)), np.empty((cells, LANES))
        s, c = np.empty(LANES), np.empty(LANES)
        for i in range(n - 1):
            for j in range(i + 1):
                if i % 2 == 0:
                    p, row = i - j, n - 1 - j
                    k = cell_index[j, p]
                    for lane in range(LANES):
                        ur, ui, u = _unit(a[row, p, lane], b[row, p, lane])
                        vr, vi, v = _unit(a[row, p + 1, lane], b[row, p + 1, lane])
                        s[lane], c[lane], _ = _unit(v, u)
                        # w = -u conj(v) over their magnitudes; a zero leaves w free
                        free = u == 0 or v == 0
                        wr[k, lane] = 1.0 if free else -(ur * vr + ui * vi)
                        wi[k, lane] = 0.0 if free else -(ui * vr - ur * vi)
                    for r in range(row + 1):
                        for lane in range(LANES):
                            xr, xi = a[r, p, lane], b[r, p, lane]
                            ur = wr[k, lane] * xr + wi[k, lane] * xi
                            ui = wr[k, lane] * xi - wi[k, lane] * xr
                            vr, vi = a[r, p + 1, lane], b[r, p + 1, lane]
                            a[r, p, lane] = s[lane] * ur + c[lane] * vr
                            b[r, p, lane] = s[lane] * ui + c[lane] * vi
                            a[r, p + 1, lane] = c[lane] * ur - s[lane] * vr
                            b[r, p + 1, lane] = c[lane] * ui - s[lane] * vi
                else:
                    p = n - 2 - i + j
                    k = cell_index[n - 1 - j, p]
                    for lane in range(LANES):
                        ur, ui, u = _unit(a[p, j, lane], b[p, j, lane])
                        vr, vi, v = _unit(a[p + 1, j, lane], b[p + 1, j, lane])
                        s[lane], c[lane], _ = _unit(u, v)
                        # w = v conj(u) over their magnitudes
                        free = u == 0 or v == 0
                        wr[k, lane] = 1.0 if free else vr * ur + vi * ui
                        wi[k, lane] = 0.0 if free else vi * ur - vr * ui
                    for q in range(j, n):
                        for lane in range(LANES):
                            xr, xi = a[p, q, lane], b[p, q, lane]
                            ur = wr[k, lane] * xr - wi[k, lane] * xi
                            ui = wr[k, lane] * xi + wi[k, lane] * xr
                            vr, vi = a[p + 1, q, lane], b[p + 1, q, lane]
                            a[p, q, lane] = s[lane] * ur + c[lane] * vr
                            b[p, q, lane] = s[lane] * ui + c[lane] * vi
                            a[p + 1, q, lane] = c[lane] * ur - s[lane] * vr
                            b[p + 1, q, lane] = c[lane] * ui - s[lane] * vi
                for lane in range(count):
                    theta[first + lane, k] = 2 * np.arctan2(s[lane], c[lane])
        for lane in range(count):
            t = first + lane
            for k in range(cells):
                delta[t, k] = np.arctan2(wi[k, lane], wr[k, lane])
            for p in range(n):
                delta[t, cells + p] = np.arctan2(b[p, p, lane], a[p, p, lane])
            for back in range(n - 1):
                i = n - 2 - back
                if i % 2 == 0:
                    continue
                for up in range(i + 1):
                    j = i - up
                    p = n - 2 - i + j
                    k = cell_index[n - 1 - j, p]
                    d1, d2 = delta[t, cells + p], delta[t, cells + p + 1]
                    delta[t, cells + p] = (d2 - delta[t, k]) % (2 * np.pi)
                    delta[t, k] = (d1 - d2) % (2 * np.pi)
