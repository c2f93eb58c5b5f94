"""Kernels that choose, among equal settings of a mesh, those nearest to what it was set to before.

In the gauge (see ``meshes.gauge``) a cell ``M(theta) diag(delta, 1)`` is ``diag(-1, 1) M(-theta) diag(-delta, 1)`` up
to a common sign: every cell may take theta or minus theta, its sign bit turned and a sign handed on to its upper
output. That is one free bit a cell. Cells of a window are chosen together, by dynamic programming along the
window: the choice of two neighbours decides the phase in front of the cell that joins them in the next window.

Angles are fixed-point turns, theta in 2**-32 and psi in 2**-33, so that what is compared is what is stored.
"""

import numpy as np
from numba import njit

_FULL = np.int64(1) << 32
_MASK = _FULL - 1


@njit(nogil=True, cache=True, inline="always")
def _arc(turns):
    """The shorter way round, of a difference in turns / 2**32."""
    turns = turns & _MASK
    return min(turns, _FULL - turns)


@njit(nogil=True, cache=True)
def settle(ports, lowers, starts, index, n, theta, signs, before, phases):
    """Choose the settings of one mesh, or leave it as it is where none that is found lies nearer.

    As :func:`_choose`, but ``phases`` hold those of theta and signs to begin with.
    """
    plain = np.int64(0)
    for k in range(len(phases)):
        plain += _arc(phases[k] - before[k])
    old_theta, old_signs, old_phases = theta.copy(), signs.copy(), phases.copy()
    travel = _choose(ports, lowers, starts, index, n, theta, signs, before, phases)
    if travel <= plain:
        return travel
    theta[:], signs[:], phases[:] = old_theta, old_signs, old_phases
    return plain


@njit(nogil=True, cache=True)
def _choose(ports, lowers, starts, index, n, theta, signs, before, phases):
    """Choose the settings of one mesh; theta and signs are replaced by the chosen ones.

    Args:
        ports, lowers: of every cell. starts (depth + 1,): first cell of each window.
        index (depth, n): the cell at (window, upper port), -1 for none. n: ports.
        theta: int64 (cells,), turns / 2**32. signs: int64 (cells + n,), bits.
        before: int64 (phases,), what the mesh is set to. phases: int64 (phases,), filled with what is chosen.

    Returns:
        The way that all phases go, in turns / 2**32.
    """
    cells = len(ports)
    half = np.int64(1) << 31
    psi = np.zeros(n, np.int64)
    pending = np.zeros(n, np.int64)
    cost = np.zeros((n, 2), np.int64)
    back = np.zeros((n, 2), np.int64)
    phi = np.zeros((n, 2), np.int64)
    common = np.zeros((n, 2), np.int64)
    travel = np.int64(0)
    depth = len(starts) - 1
    for window in range(depth):
        first, count = starts[window], starts[window + 1] - starts[window]
        for i in range(count):
            k = first + i
            p, q = ports[k], lowers[k]
            bit = signs[k] ^ pending[p] ^ pending[q]
            for o in range(2):
                angle = theta[k] if o == 0 else _FULL - theta[k]
                phi[i, o] = (((psi[q] - psi[p]) >> 1) + ((bit ^ o) << 31)) & _MASK
                common[i, o] = psi[q] + half + angle
                own = _arc(angle - before[k]) + _arc(phi[i, o] - before[cells + k])
                # theta 0 is its own other half: no choice there
                own = own if o == 0 or theta[k] != 0 else np.int64(1) << 60
                cost[i, o] = own + (
                    _join(
                        window,
                        i,
                        k,
                        o,
                        ports,
                        lowers,
                        index,
                        depth,
                        cells,
                        theta,
                        signs,
                        before,
                        pending,
                        common,
                        cost,
                        back,
                    )
                    if i
                    else 0
                )
        if count == 0:
            continue
        o = 0 if cost[count - 1, 0] <= cost[count - 1, 1] else 1
        for i in range(count - 1, -1, -1):
            k = first + i
            p, q = ports[k], lowers[k]
            bit = signs[k] ^ pending[p] ^ pending[q]
            if o:
                theta[k] = _FULL - theta[k]
            signs[k] = bit ^ o
            phases[k] = theta[k]
            phases[cells + k] = phi[i, o]
            travel += _arc(theta[k] - before[k]) + _arc(phi[i, o] - before[cells + k])
            psi[p] = common[i, o]
            psi[q] = common[i, o]
            pending[p] = pending[q] ^ o
            o = back[i, o]
    for p in range(n):
        k = cells + p
        signs[k] ^= pending[p]
        phases[cells + k] = (((-psi[p]) >> 1) + (signs[k] << 31)) & _MASK
        travel += _arc(phases[cells + k] - before[cells + k])
    return travel


@njit(nogil=True, cache=True)
def _join(window, i, k, o, ports, lowers, index, depth, cells, theta, signs, before, pending, common, cost, back):
    """The cheapest way to cell i of a window in state o, the cell ahead that joins it to its neighbour included."""
    half = np.int64(1) << 31
    left = lowers[k - 1]
    ahead = index[window + 1, left] if window + 1 < depth else -1
    if ahead >= 0 and lowers[ahead] != ports[k]:
        ahead = -1
    best, chosen = np.int64(1) << 62, 0
    for j in range(2):
        way = cost[i - 1, j]
        if ahead >= 0:
            # signs handed on: a cell's lower input's, to both outputs; turned at the upper one by the choice
            bit = signs[ahead] ^ pending[left] ^ pending[lowers[k]] ^ o
            phi = ((common[i, o] - common[i - 1, j]) >> 1) + (bit << 31) - before[cells + ahead]
            way += min(
                _arc(theta[ahead] - before[ahead]) + _arc(phi),
                _arc(-theta[ahead] - before[ahead]) + _arc(phi + half),
            )
        if way < best:
            best, chosen = way, j
    back[i, o] = chosen
    return best


@njit(nogil=True, cache=True)
def settle_chain(ports, lowers, starts, index, n, theta, signs, phases):
    """Settle meshes one after another on one core: theta, signs and phases are (T, ...); the first stays as it is.

    Returns:
        The way that all phases go from the first setting to the last, in turns (float64).
    """
    travel = 0.0
    for t in range(1, len(theta)):
        travel += settle(ports, lowers, starts, index, n, theta[t], signs[t], phases[t - 1], phases[t]) / 2.0**32
    return travel
