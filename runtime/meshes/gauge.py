"""The real gauge: a real orthogonal mesh in one phase and one sign bit a cell.

In the gauge a cell acts as ``[[s, c], [c, -s]] diag(e^{j delta}, 1)`` and the screen as ``e^{j delta}``:
the common factor ``j e^{j theta/2}`` of every physical cell is carried along as one phase psi per port
and taken back by the next phi, and at the end by the screen::

    phi = psi_lower - psi_upper + delta
    psi_upper = psi_lower = psi_lower + pi/2 + theta/2      (after the cell)
    screen = delta - psi

A real matrix has delta = pi * (sign bit), so theta and the bits are its whole program.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..errors import InputError, complaint
from ..threads import spread
from .mesh import Mesh


def sign_bytes(mesh: Mesh) -> int:
    """Bytes of a mesh's packed sign bits: one bit a cell, then one a port."""
    return -(-(mesh.cells + mesh.ports) // 8)


def expand(mesh: Mesh, theta: np.ndarray, sign_packed: np.ndarray) -> np.ndarray:
    """Every phase of meshes programmed in the real gauge, in exact fixed-point arithmetic.

    psi is kept in turns / 2**33, so theta / 2 is exact; phi and the screen are rounded down to
    turns / 2**32.

    Args:
        mesh: the topology.
        theta: uint32 (T, cells), turns / 2**32.
        sign_packed: uint8 (T, ceil((cells + ports) / 8)), ``np.packbits`` of the sign bits of the
            cells, then of the ports.

    Returns:
        uint32 (T, phases), turns / 2**32, in the order [theta | phi | screen].

    Raises:
        InputError: wrong dtype or shape, or a mesh of other cells than MZIs.
    """
    _check_gauge(mesh)
    _check(theta, np.uint32, (mesh.cells,), "theta")
    _check(sign_packed, np.uint8, (sign_bytes(mesh),), "sign")
    if len(theta) != len(sign_packed):
        raise InputError(
            complaint("theta and sign are of different tile counts", got=f"{len(theta)} and {len(sign_packed)}")
        )
    out = np.empty((len(theta), mesh.phases), dtype=np.uint32)
    spread(
        len(out),
        _expand_turns,
        mesh.cell_ports,
        mesh.cell_lower,
        mesh.ports,
        np.ascontiguousarray(theta),
        np.ascontiguousarray(sign_packed),
        out,
    )
    return out


def expand_radians(mesh: Mesh, theta_rad: np.ndarray, delta_rad: np.ndarray) -> np.ndarray:
    """Every phase of meshes programmed in the gauge, in floating point.

    Args:
        mesh: the topology.
        theta_rad: float64 (T, cells).
        delta_rad: float64 (T, cells + ports), the phase of every cell's upper input, then of the ports;
            pi * (sign bit) for a real matrix.

    Returns:
        float64 (T, phases) in [0, 2 pi], in the order [theta | phi | screen].

    Raises:
        InputError: wrong dtype or shape, or a mesh of other cells than MZIs.
    """
    _check_gauge(mesh)
    _check(theta_rad, np.float64, (mesh.cells,), "theta_rad")
    _check(delta_rad, np.float64, (mesh.cells + mesh.ports,), "delta_rad")
    out = np.empty((len(theta_rad), mesh.phases))
    spread(len(out), _expand_radians, mesh.cell_ports, mesh.cell_lower, mesh.ports, theta_rad, delta_rad, out)
    return out


def pack_signs(signs: np.ndarray) -> np.ndarray:
    """Pack sign bits, bool (T, cells + ports), into uint8 (T, bytes)."""
    return np.packbits(signs, axis=-1)


def unpack_signs(mesh: Mesh, sign_packed: np.ndarray) -> np.ndarray:
    """The sign bits of packed bytes: bool (T, cells + ports)."""
    return np.unpackbits(sign_packed, axis=-1, count=mesh.cells + mesh.ports).astype(bool)


def _check_gauge(mesh: Mesh) -> None:
    if not mesh.has_gauge:
        raise InputError(
            complaint(
                "The real gauge is for meshes of MZIs with a phi each and a whole screen",
                where=mesh.topology,
                got=f"{mesh.cell} cells",
                next_step="store every phase of this mesh",
            )
        )


def _check(array: np.ndarray, dtype: type, row: tuple[int, ...], name: str) -> None:
    if array.dtype != dtype or array.ndim != 2 or array.shape[1:] != row:
        raise InputError(
            complaint(
                "Wrong table of mesh settings",
                where=name,
                got=f"{array.dtype} {array.shape}",
                allowed=f"{np.dtype(dtype)} (T, {row[0]})",
            )
        )


@njit(nogil=True, cache=True)
def _expand_turns(first, last, ports, lowers, n, theta, packed, out):
    cells = len(ports)
    for t in range(first, last):
        psi = np.zeros(n, dtype=np.int64)
        for k in range(cells):
            p, q = ports[k], lowers[k]
            bit = (packed[t, k >> 3] >> (7 - (k & 7))) & 1
            angle = np.int64(theta[t, k])
            phi = ((psi[q] - psi[p]) >> 1) + (np.int64(bit) << 31)
            out[t, k] = theta[t, k]
            out[t, cells + k] = np.uint32(phi & 0xFFFFFFFF)
            # pi/2 is 2**31 half-units, theta/2 is theta's own count of them
            common = psi[q] + (np.int64(1) << 31) + angle
            psi[p] = common
            psi[q] = common
        for p in range(n):
            k = cells + p
            bit = (packed[t, k >> 3] >> (7 - (k & 7))) & 1
            out[t, cells + k] = np.uint32((((-psi[p]) >> 1) + (np.int64(bit) << 31)) & 0xFFFFFFFF)


@njit(nogil=True, cache=True)
def _expand_radians(first, last, ports, lowers, n, theta, delta, out):
    cells = len(ports)
    turn = 2 * np.pi
    for t in range(first, last):
        psi = np.zeros(n)
        for k in range(cells):
            p, q = ports[k], lowers[k]
            out[t, k] = theta[t, k] % turn
            out[t, cells + k] = (psi[q] - psi[p] + delta[t, k]) % turn
            common = (psi[q] + 0.5 * np.pi + 0.5 * theta[t, k]) % turn
            psi[p] = common
            psi[q] = common
        for p in range(n):
            out[t, 2 * cells + p] = (delta[t, cells + p] - psi[p]) % turn
