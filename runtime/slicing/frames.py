"""A lossless mesh in the travelling frame: every cell one phase and one real rotation.

Any 2x2 unitary is ``diag(D0, D1) [[s, c], [c, -s]] diag(a + jb, 1)`` times a common phase that may stand in
front of it. The phases D behind a cell are not applied but carried along, one number psi a port (the field
at a port is psi times the field in the frame), and turn into the phase a + jb of the next cell; what is left
at the end joins the screen. This is the gauge of :mod:`lightloom.runtime.meshes.gauge` for complex meshes.

Gradients: with outgoing fields y and their gradients g (dL = Re g* dy), let ``P`` be the antihermitian part of
the sum over samples of y g^H. For a phase x whose change multiplies the cell by ``1 + j v v^H dx`` from the left,
``dL/dx = Re(j v^H P v)``; v is the column of the matrix behind the shifter that belongs to its arm. P in the frame
differs from P outside by the phase ``twist = D0 D1*`` on its off-diagonal.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._trig import cos_sin

CHUNK = 256
PIECE = 4096
"""Cells that a thread takes at a time, a multiple of CHUNK."""

_ROOT = np.sqrt(0.5)


@njit(cache=True)
def _unit(value, otherwise):
    """value / abs(value); where there is none to speak of, ``otherwise``."""
    size = abs(value)
    return value / size if size > 1e-30 else otherwise


@njit(nogil=True, cache=True)
def angles(phases, errors, two_splitters, has_lower, cell, upper, lower, phi, screen, out, final):
    """What is sequential about the frame, for every cell but a two-splitter one with errors: sums of angles.

    A cell's angles are those of ``a + jb`` and of ``c + js``.

    Args:
        phases, errors, two_splitters, has_lower, cell, upper, lower, phi, screen, final: as in :func:`frame`.
        out: receives the two angles of every cell, float64 (2, cells), in the plan's order.
    """
    cells = len(cell)
    psi = np.zeros(len(screen))
    for k in range(cells):
        number, p, q = cell[k], upper[k], lower[k]
        turn = psi[p] - psi[q] + (np.float64(phases[phi[k]]) if phi[k] >= 0 else 0.0)
        up = np.float64(phases[number])
        low = np.float64(phases[cells + number]) if has_lower else 0.0
        if two_splitters:
            out[0, k] = turn
            out[1, k] = 0.5 * (up - low)
            psi[p] = psi[q] + 0.5 * (up + low) + 0.5 * np.pi
            psi[q] = psi[p]
        else:
            out[0, k] = turn + up - low - 0.5 * np.pi
            out[1, k] = 0.25 * np.pi - (errors[number, 0] if len(errors) else 0.0)
            psi[p] = psi[q] + low + 0.5 * np.pi
            psi[q] = psi[q] + low + np.pi
    for port in range(len(screen)):
        angle = psi[port] + (np.float64(phases[screen[port]]) if screen[port] >= 0 else 0.0)
        final[port] = complex(np.cos(angle), np.sin(angle))


@njit(nogil=True, cache=True)
def rotations_of(first, last, pieces, given, rotations):
    """Cosines and sines of angles, pieces first .. last of ``PIECE`` cells; given: float64 (tiles, 2, cells)."""
    cells = given.shape[2]
    cos, sin = np.empty(CHUNK), np.empty(CHUNK)
    for unit in range(first, last):
        tile, begin = unit // pieces, unit % pieces * PIECE
        for start in range(begin, min(begin + PIECE, cells), CHUNK):
            count = min(CHUNK, cells - start)
            for part in range(2):
                cos_sin(given[tile, part, start : start + count], cos, sin)
                for i in range(count):
                    rotations[tile, start + i, 2 * part] = sin[i] if part else cos[i]
                    rotations[tile, start + i, 2 * part + 1] = cos[i] if part else sin[i]


@njit(nogil=True, cache=True)
def frame(phases, errors, has_lower, cell, upper, lower, phi, screen, rotations, twists, final):
    """Rotations of one mesh of two-splitter cells with errors, whose phases are not sums of its shifters'.

    Args:
        phases: real (phases,); the inner phase(s) of all cells first.
        errors: float64 (cells, 2).
        has_lower: whether the lower arm has a shifter.
        cell, upper, lower, phi, screen: of the plan.
        rotations: receives a, b, s, c, real (cells, 4), in the plan's order.
        twists: receives D0 D1*, complex128 (cells,).
        final: receives the diagonal behind the frame, complex128 (ports,).
    """
    cells = len(cell)
    psi = np.ones(len(screen), dtype=np.complex128)
    given = np.empty(5 * CHUNK)
    cos = np.empty(5 * CHUNK)
    sin = np.empty(5 * CHUNK)
    for first in range(0, cells, CHUNK):
        count = min(CHUNK, cells - first)
        for i in range(count):
            k = cell[first + i]
            given[i] = phases[phi[first + i]] if phi[first + i] >= 0 else 0.0
            given[CHUNK + i] = phases[k]
            given[2 * CHUNK + i] = phases[cells + k] if has_lower else 0.0
            given[3 * CHUNK + i] = 0.25 * np.pi + errors[k, 0]
            given[4 * CHUNK + i] = 0.25 * np.pi + errors[k, 1]
        for part in range(5):
            span = slice(part * CHUNK, part * CHUNK + count)
            cos_sin(given[span], cos[span], sin[span])
        for i in range(count):
            k = first + i
            p, q = upper[k], lower[k]
            outer = complex(cos[i], sin[i])
            up = complex(cos[CHUNK + i], sin[CHUNK + i])
            low = complex(cos[2 * CHUNK + i], sin[2 * CHUNK + i])
            c1, s1 = cos[3 * CHUNK + i], sin[3 * CHUNK + i]
            c2, s2 = cos[4 * CHUNK + i], sin[4 * CHUNK + i]
            m00 = c2 * c1 * up - s2 * s1 * low
            m01 = 1j * (c2 * s1 * up + s2 * c1 * low)
            m10 = 1j * (s2 * c1 * up + c2 * s1 * low)
            m11 = c2 * c1 * low - s2 * s1 * up
            s, c = abs(m00), abs(m01)
            d0 = _unit(m01, 1.0 + 0.0j) * psi[q]
            d1 = _unit(-m11, 1.0 + 0.0j) * psi[q]
            if s >= c:
                turn = outer * psi[p] * _unit(m00, 1.0 + 0.0j) * np.conj(d0)
            else:
                turn = outer * psi[p] * _unit(m10, 1.0 + 0.0j) * np.conj(d1)
            rotations[k, 0] = turn.real
            rotations[k, 1] = turn.imag
            rotations[k, 2] = s
            rotations[k, 3] = c
            twists[k] = d0 * np.conj(d1)
            psi[p] = d0
            psi[q] = d1
    for port in range(len(screen)):
        angle = phases[screen[port]] if screen[port] >= 0 else 0.0
        final[port] = complex(np.cos(angle), np.sin(angle)) * psi[port]


@njit(nogil=True, cache=True)
def phase_gradients(
    begin, end, phases, errors, two_splitters, has_lower, cell, phi, screen, rotations, twists, sums, ends, to_phases,
    to_errors,
):  # fmt: skip
    """Gradients of one mesh's phases and splitter errors from what its cells have summed up.

    Args:
        begin, end: which cells of the plan's order; the ports' shifters go with the first ones.
        sums: real (chunks, cells, 4): Im P00, Im P11 and 2 P01 of every cell in the frame.
        ends: float64 (chunks, ports): Im of the sums of y g* at the output ports.
        to_phases: receives dL/dphases, real (phases,).
        to_errors: receives dL/derrors, float64 (cells, splitters), unless it has length 0.
    """
    cells = len(cell)
    faulty = len(errors) > 0
    for k in range(begin, end):
        upper, lower, real, imaginary = 0.0, 0.0, 0.0, 0.0
        for chunk in range(len(sums)):
            upper += sums[chunk, k, 0]
            lower += sums[chunk, k, 1]
            real += sums[chunk, k, 2]
            imaginary += sums[chunk, k, 3]
        s, c = np.float64(rotations[k, 2]), np.float64(rotations[k, 3])
        number = cell[k]
        # the shifters in front of the cell: v is a column of the rotation
        front = -(s * s * upper + c * c * lower + s * c * imaginary)
        if phi[k] >= 0:
            to_phases[phi[k]] = front
        if len(twists):
            twist = twists[k]
        elif two_splitters:
            twist = 1.0 + 0.0j
        else:
            twist = -1.0j
        off = 0.5 * twist * complex(real, imaginary)
        c2, s2 = _ROOT, _ROOT
        if faulty:
            angle = 0.25 * np.pi + errors[number, 1 if two_splitters else 0]
            c2, s2 = np.cos(angle), np.sin(angle)
        if two_splitters:
            cross = 2.0 * c2 * s2 * off.real
            to_phases[number] = -(c2 * c2 * upper + s2 * s2 * lower + cross)
            if has_lower:
                to_phases[cells + number] = -(s2 * s2 * upper + c2 * c2 * lower - cross)
        else:
            to_phases[number] = front
            if has_lower:
                to_phases[cells + number] = -(c * c * upper + s * s * lower - s * c * imaginary)
        if len(to_errors):
            to_errors[number, 1 if two_splitters else 0] = -2.0 * off.imag
            if two_splitters:
                angle = (np.float64(phases[cells + number]) if has_lower else 0.0) - np.float64(phases[number])
                inner = c2 * s2 * (lower - upper) + c2 * c2 * off - s2 * s2 * np.conj(off)
                to_errors[number, 0] = -2.0 * (complex(np.cos(angle), np.sin(angle)) * inner).imag
    for port in range(len(screen) if begin == 0 else 0):
        if screen[port] >= 0:
            total = 0.0
            for chunk in range(len(ends)):
                total += ends[chunk, port]
            to_phases[screen[port]] = -total
