"""Analytic programming of Clements meshes of symmetric cells, many unitaries at once.

The Clements rule gives theta and delta in the gauge (``meshes.gauge``). A symmetric cell of phases
``sigma + theta/2`` and ``sigma - theta/2`` is ``j e^{j sigma} [[s, c], [c, -s]]``: sigma is free and turns both
outputs alike. With psi the phase that the light of a port has beyond the gauge's,

    psi_upper = psi_lower = psi_lower + pi/2 + sigma     (after the cell)
    psi_lower - psi_upper + delta = phi                  (in front of it; 0 where there is no phi)
    screen = delta - psi                                 (at the end; 0 where there is none)

so the sigmas of a window are chosen such that the next window, or the end, needs no shifters but those it has.
Source: Bell and Walmsley, APL Photonics 6, 070804 (2021).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ...runtime.meshes import Mesh, mesh
from ...runtime.threads import spread
from .clements import plan
from .decompose import decompose_complex, decompose_real
from .settings import PhaseSettings


def program(matrices: np.ndarray) -> PhaseSettings:
    """Settings of orthogonal or unitary matrices (T, n, n): every phase.

    The matrices are taken to be unitary; ``program_unitaries`` checks it.
    """
    layout, rectangle = mesh("clements_bell", matrices.shape[-1]), mesh("clements", matrices.shape[-1])
    if np.iscomplexobj(matrices):
        theta, delta = decompose_complex(rectangle, plan(rectangle), matrices)
    else:
        theta, signs = decompose_real(rectangle, plan(rectangle), matrices)
        delta = np.pi * signs
    return PhaseSettings(layout, absorb(layout, theta, delta))


def absorb(layout: Mesh, theta_rad: np.ndarray, delta_rad: np.ndarray) -> np.ndarray:
    """Phases of symmetric cells from settings in the gauge.

    Args:
        layout: a ``clements_bell`` mesh.
        theta_rad: float64 (T, cells). delta_rad: float64 (T, cells + ports).

    Returns:
        float64 (T, phases) in [0, 2 pi] radians, in the order [upper | lower | phi | screen].
    """
    out = np.empty((len(theta_rad), layout.phases))
    spread(
        len(out),
        _absorb,
        layout.cell_ports,
        layout.cell_lower,
        np.searchsorted(layout.cell_windows, np.arange(layout.depth + 1)),
        _places(layout.phi_cells, layout.cells, layout.phase_layout["phi"].start),
        _places(layout.screen_ports, layout.ports, layout.phase_layout["screen"].start),
        theta_rad,
        delta_rad,
        out,
    )
    return out


def _places(some: np.ndarray, size: int, start: int) -> np.ndarray:
    """Place in the vector of phases for each of 0 .. size, -1 where there is no shifter."""
    places = np.full(size, -1)
    places[some] = start + np.arange(len(some))
    return places


@njit(cache=True)
def _wrap(angle):
    """The angle in one turn from 0; the remainder operator takes five times as long."""
    return angle - 2 * np.pi * np.floor(angle * (0.5 / np.pi))


@njit(cache=True)
def _settle(k, chi, lead, uppers, lowers, psi, owner, sigma):
    """Give cell k the output phase chi: what its sigma is, and what its ports carry from now on."""
    chi = _wrap(chi)
    sigma[k] = chi - lead[k]
    p, q = uppers[k], lowers[k]
    psi[p] = chi
    psi[q] = chi
    owner[p] = -1
    owner[q] = -1


@njit(cache=True)
def _meet(k, phi_place, uppers, lowers, psi, owner, lead, sigma, delta):
    """Make the phases in front of cell k meet, if it has no phi and one of its two sides is still free: 1 if so."""
    p, q = uppers[k], lowers[k]
    if phi_place[k] >= 0 or (owner[p] >= 0) == (owner[q] >= 0):
        return 0
    if owner[p] >= 0:
        _settle(owner[p], psi[q] + delta[k], lead, uppers, lowers, psi, owner, sigma)
    else:
        _settle(owner[q], psi[p] - delta[k], lead, uppers, lowers, psi, owner, sigma)
    return 1


@njit(nogil=True, cache=True)
def _absorb(first, last, uppers, lowers, starts, phi_place, screen_place, theta, delta, out):
    cells, n = len(uppers), len(screen_place)
    psi = np.empty(n)
    # the cell whose output phase a port waits for, -1 where the phase is known
    owner = np.empty(n, dtype=np.int64)
    # phase of a cell's outputs at sigma 0
    lead, sigma = np.empty(cells), np.zeros(cells)
    for t in range(first, last):
        psi[:] = 0.0
        owner[:] = -1
        waiting = 0
        for w in range(len(starts)):
            begin = starts[w]
            end = starts[w + 1] if w + 1 < len(starts) else begin
            # known phases spread up, then down; what is in no chain with one is free, and becomes sigma 0
            for k in range(end - 1, begin - 1, -1):
                waiting -= _meet(k, phi_place, uppers, lowers, psi, owner, lead, sigma, delta[t])
            if waiting > 0:
                for k in range(begin, end):
                    waiting -= _meet(k, phi_place, uppers, lowers, psi, owner, lead, sigma, delta[t])
            if w + 1 == len(starts):
                for p in range(n):
                    if screen_place[p] < 0 and owner[p] >= 0:
                        _settle(owner[p], delta[t, cells + p], lead, uppers, lowers, psi, owner, sigma)
                        waiting -= 1
            for p in range(n - 1, -1, -1):
                if waiting == 0:
                    break
                if owner[p] >= 0:
                    _settle(owner[p], lead[owner[p]], lead, uppers, lowers, psi, owner, sigma)
                    waiting -= 1
                    for k in range(end - 1, begin - 1, -1):
                        waiting -= _meet(k, phi_place, uppers, lowers, psi, owner, lead, sigma, delta[t])
            waiting = end - begin
            for k in range(begin, end):
                p, q = uppers[k], lowers[k]
                if phi_place[k] >= 0:
                    out[t, phi_place[k]] = _wrap(psi[q] - psi[p] + delta[t, k])
                lead[k] = _wrap(psi[q] + 0.5 * np.pi)
                owner[p] = k
                owner[q] = k
        for k in range(cells):
            out[t, k] = _wrap(sigma[k] + 0.5 * theta[t, k])
            out[t, cells + k] = _wrap(sigma[k] - 0.5 * theta[t, k])
        for p in range(n):
            if screen_place[p] >= 0:
                out[t, screen_place[p]] = _wrap(delta[t, cells + p] - psi[p])
