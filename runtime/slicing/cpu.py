"""The slicing engine on CPUs: transfer matrices of many tiles, one tile at a time a core.

The columns of the identity travel together: real and imaginary planes of one tile lie apart in a
scratch, and the inner loop runs over columns. Where cells join neighbours, a column has reached only w ports to
either side after w windows, so the first windows work on a band. Every kind of cell is
``BS . diag(upper, lower) . BS . diag(phi, 1)``: a shifter that a mesh lacks has phase 0, and a first
splitter that it lacks has angle 0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numba import njit

from ..errors import InputError, complaint
from ..meshes import Mesh
from ..threads import spread
from ._trig import cos_sin

Part = Literal["complex", "real"]
Precision = Literal["float64", "float32"]


def transfer_matrices(
    mesh: Mesh,
    phases_rad: np.ndarray,
    splitter_error_rad: np.ndarray | None = None,
    *,
    part: Part = "complex",
    precision: Precision = "float64",
) -> np.ndarray:
    """Transfer matrices of T meshes of one topology; equals ``reference.transfer_matrix``.

    Args:
        mesh: windows and cells.
        phases_rad: float64 (T, phases), in the order of ``mesh.phase_layout``.
        splitter_error_rad: float64 (T, cells, mesh.cell_splitters), added to pi/4, in the order of the light.
        part: the whole matrix, or its real part alone (what coherent detection sees).
        precision: of the result; the fields are always float64.

    Returns:
        (T, n, n) complex128, complex64, float64 or float32; element [t, i, k] from port k to port i.

    Raises:
        InputError: wrong shape, part or precision.
    """
    phases = _table(phases_rad, (mesh.phases,), "phases_rad")
    tiles = len(phases)
    errors = _errors(mesh, splitter_error_rad, tiles, "splitter_error_rad")
    out = _planes(tiles, mesh.ports, part, precision)
    _run(mesh, np.empty((0, mesh.phases)), np.ones((tiles, mesh.ports)), phases, _NO_ERRORS, errors, out)
    return _join(out)


def tile_matrices(
    mesh: Mesh,
    left_phases_rad: np.ndarray,
    attenuation: np.ndarray,
    right_phases_rad: np.ndarray,
    left_splitter_error_rad: np.ndarray | None = None,
    right_splitter_error_rad: np.ndarray | None = None,
    *,
    part: Part = "complex",
    precision: Precision = "float64",
) -> np.ndarray:
    """``U diag(a) V^H`` of T tiles: the identity goes through V^H, the attenuators and U in one pass.

    Args:
        mesh: windows and cells of both meshes.
        left_phases_rad: float64 (T, phases) of U.
        attenuation: float64 (T, n), field amplitude that each attenuator passes.
        right_phases_rad: float64 (T, phases) of the mesh that is programmed with V^H itself.
        left_splitter_error_rad, right_splitter_error_rad: float64 (T, cells, mesh.cell_splitters),
            added to pi/4.
        part, precision: of the result, as in :func:`transfer_matrices`.

    Returns:
        (T, n, n), element [t, i, k] from port k to port i.

    Raises:
        InputError: wrong shape, part or precision.
    """
    left = _table(left_phases_rad, (mesh.phases,), "left_phases_rad")
    tiles = len(left)
    right = _table(right_phases_rad, (mesh.phases,), "right_phases_rad", tiles)
    gain = _table(attenuation, (mesh.ports,), "attenuation", tiles)
    left_errors = _errors(mesh, left_splitter_error_rad, tiles, "left_splitter_error_rad")
    right_errors = _errors(mesh, right_splitter_error_rad, tiles, "right_splitter_error_rad")
    out = _planes(tiles, mesh.ports, part, precision)
    _run(mesh, left, gain, right, left_errors, right_errors, out)
    return _join(out)


_NO_ERRORS = np.empty((0, 0, 2))


def _run(mesh: Mesh, *tables: np.ndarray) -> None:
    spread(len(tables[-1]), _tiles, *_plan(mesh), mesh.ports, mesh.cell_splitters, *tables)


@lru_cache(maxsize=32)
def _plan(mesh: Mesh) -> tuple[np.ndarray, ...]:
    """Ports and windows of cells, the latter growing by n where light leaves the band, and shifters' places.

    The places of upper, lower and phi, int64 (3, cells), and of the screen, int64 (ports,), in the vector of phases;
    one past its end for a shifter that the mesh lacks.
    """
    layout, none = mesh.phase_layout, mesh.phases
    inner = np.full((3, mesh.cells), none)
    for arm, name in enumerate(mesh.kind.phases):
        inner[arm] = np.arange(layout[name].start, layout[name].stop)
    inner[2, mesh.phi_cells] = np.arange(layout["phi"].start, layout["phi"].stop)
    screen = np.full(mesh.ports, none)
    screen[mesh.screen_ports] = np.arange(layout["screen"].start, layout["screen"].stop)
    near = (mesh.cell_lower == mesh.cell_ports + 1).all()
    windows = mesh.cell_windows.astype(np.int64) + (0 if near else mesh.ports)
    return mesh.cell_ports, mesh.cell_lower, windows, inner, screen


def _planes(tiles: int, ports: int, part: str, precision: str) -> np.ndarray:
    """Room for the results, real numbers (tiles, n, n, 2 or 1): re, im in turn, or re alone."""
    if part not in ("complex", "real") or precision not in ("float64", "float32"):
        raise InputError(
            complaint(
                "No such form of a transfer matrix",
                got=f"part={part!r}, precision={precision!r}",
                allowed="part 'complex' or 'real', precision 'float64' or 'float32'",
            )
        )
    return np.empty((tiles, ports, ports, 2 if part == "complex" else 1), dtype=precision)


def _join(planes: np.ndarray) -> np.ndarray:
    if planes.shape[-1] == 1:
        return planes[..., 0]
    return planes.view(np.complex128 if planes.dtype == np.float64 else np.complex64)[..., 0]


def _table(array: np.ndarray, row: tuple[int, ...], name: str, tiles: int | None = None) -> np.ndarray:
    """The array as contiguous float64 of shape (tiles, *row), or a complaint."""
    if array.ndim != 1 + len(row) or array.shape[1:] != row or tiles not in (None, len(array)):
        raise InputError(
            complaint(
                "Wrong table of tile settings",
                where=name,
                got=f"{array.dtype} {array.shape}",
                allowed=f"float64 ({'T' if tiles is None else tiles}, {', '.join(map(str, row))})",
            )
        )
    return np.ascontiguousarray(array, dtype=np.float64)


def _errors(mesh: Mesh, array: np.ndarray | None, tiles: int, name: str) -> np.ndarray:
    """Splitter errors of every tile; an empty table stands for perfect splitters."""
    return _NO_ERRORS if array is None else _table(array, (mesh.cells, mesh.cell_splitters), name, tiles)


# "contract" lets a multiply and an add become one instruction; nothing else of fastmath is wanted
_INNER = {"inline": "never", "cache": True, "fastmath": {"contract"}}


@njit(**_INNER)
def _cell(re_p, im_p, re_q, im_q, m):
    """One cell on the rows of its ports; m: re, im of m00, m01, m10, m11.

    Takes whole slices: an index that might be negative would keep the loop from vector instructions.
    """
    a, b, c, d, e, f, g, h = m
    for k in range(len(re_p)):
        xr = re_p[k]
        xi = im_p[k]
        yr = re_q[k]
        yi = im_q[k]
        re_p[k] = a * xr - b * xi + c * yr - d * yi
        im_p[k] = a * xi + b * xr + c * yi + d * yr
        re_q[k] = e * xr - f * xi + g * yr - h * yi
        im_q[k] = e * xi + f * xr + g * yi + h * yr


@njit(cache=True)
def _cell_matrix(tr, ti, ur, ui, pr, pi, c1, s1, c2, s2):
    """Elements of BS(second) diag(t, u) BS(first) diag(p, 1), re and im in turn, from cosines and sines."""
    ar, ai = c2 * c1 * tr - s2 * s1 * ur, c2 * c1 * ti - s2 * s1 * ui
    br, bi = -c2 * s1 * ti - s2 * c1 * ui, c2 * s1 * tr + s2 * c1 * ur
    cr, ci = -s2 * c1 * ti - c2 * s1 * ui, s2 * c1 * tr + c2 * s1 * ur
    dr, di = c2 * c1 * ur - s2 * s1 * tr, c2 * c1 * ui - s2 * s1 * ti
    return ar * pr - ai * pi, ar * pi + ai * pr, br, bi, cr * pr - ci * pi, cr * pi + ci * pr, dr, di


@njit(cache=True)
def _mesh(uppers, lowers, windows, inner, screen, n, phases, errors, splitters, t, spread, gain, re, im):
    """Tile t's mesh, and a real gain behind every port of its screen.

    A column of re, im enters nonzero within ``spread`` of its own port; every window widens that by one.
    """
    cells, some = len(uppers), len(phases[t])
    angles = np.zeros(some + 1)
    angles[:some] = phases[t]
    cos, sin = np.empty(some + 1), np.empty(some + 1)
    cos_sin(angles, cos, sin)
    count = splitters * cells
    split_cos, split_sin = np.full(count, np.sqrt(0.5)), np.full(count, np.sqrt(0.5))
    if len(errors):
        cos_sin(errors[t].reshape(count) + 0.25 * np.pi, split_cos, split_sin)
    for k in range(cells):
        a, b, c = inner[0, k], inner[1, k], inner[2, k]
        last = splitters * (k + 1) - 1
        cos1, sin1 = (split_cos[last - 1], split_sin[last - 1]) if splitters == 2 else (1.0, 0.0)
        m = _cell_matrix(cos[a], sin[a], cos[b], sin[b], cos[c], sin[c], cos1, sin1, split_cos[last], split_sin[last])
        p, q, reach = uppers[k], lowers[k], spread + windows[k]
        lo, hi = max(0, p - reach), min(n, p + 2 + reach)
        _cell(re[p, lo:hi], im[p, lo:hi], re[q, lo:hi], im[q, lo:hi], m)
    for p in range(n):
        c, s = gain[p] * cos[screen[p]], gain[p] * sin[screen[p]]
        for k in range(n):
            xr, xi = re[p, k], im[p, k]
            re[p, k] = c * xr - s * xi
            im[p, k] = c * xi + s * xr


@njit(cache=True)
def _identity(n, re, im):
    re[:] = 0.0
    im[:] = 0.0
    for p in range(n):
        re[p, p] = 1.0


@njit(cache=True)
def _store(re, im, out):
    n = len(re)
    both = out.shape[2] == 2
    for i in range(n):
        for k in range(n):
            out[i, k, 0] = re[i, k]
            if both:
                out[i, k, 1] = im[i, k]


@njit(nogil=True, cache=True)
def _tiles(
    first, last, uppers, lowers, windows, inner, screen, n, splitters, left, gain, right, left_errors, right_errors, out
):
    """Tiles first .. last; without a left table a tile is its right mesh, and then its gain."""
    ones = np.ones(n)
    re, im = np.empty((n, n)), np.empty((n, n))
    # np.int64: a literal zero would compile _mesh a second time
    near, wide = np.int64(0), np.int64(n)
    for t in range(first, last):
        _identity(n, re, im)
        _mesh(uppers, lowers, windows, inner, screen, n, right, right_errors, splitters, t, near, gain[t], re, im)
        if len(left):
            _mesh(uppers, lowers, windows, inner, screen, n, left, left_errors, splitters, t, wide, ones, re, im)
        _store(re, im, out[t])
