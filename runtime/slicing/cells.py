"""The 2x2 matrices of cells, in plain torch and differentiable: one small function a kind of cell.

Everything a cell does to light is in four complex numbers; kernels need these, the ports, and the screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from ..meshes import Mesh

Elements = tuple[Tensor, Tensor, Tensor, Tensor]
"""m00, m01, m10, m11 of every cell, complex (..., cells): upper out = m00 upper in + m01 lower in, and so on."""

Splitters = tuple[Tensor, Tensor] | None
"""Cosines and sines of the splitters' angles, real (..., cells, splitters); None for 50:50 ones."""


def mzi(inner: tuple[Tensor, ...], splitters: Splitters) -> Elements:
    """``BS . diag(theta, 1) . BS``, the first splitter met first."""
    (theta,) = inner
    if splitters is None:
        bar, cross = (theta - 1) / 2, (theta + 1) * 0.5j
        return bar, cross, cross, -bar
    return _between(theta, torch.ones_like(theta), splitters)


def symmetric(inner: tuple[Tensor, ...], splitters: Splitters) -> Elements:
    """``BS . diag(upper, lower) . BS``, the first splitter met first."""
    upper, lower = inner
    if splitters is None:
        bar, cross = (upper - lower) / 2, (upper + lower) * 0.5j
        return bar, cross, cross, -bar
    return _between(upper, lower, splitters)


def fldzhyan(inner: tuple[Tensor, ...], splitters: Splitters) -> Elements:
    """``BS . diag(theta, 1)``."""
    (theta,) = inner
    return _behind(theta, torch.ones_like(theta), splitters)


def fldzhyan_bell(inner: tuple[Tensor, ...], splitters: Splitters) -> Elements:
    """``BS . diag(upper, lower)``."""
    upper, lower = inner
    return _behind(upper, lower, splitters)


KINDS: Mapping[str, Callable[[tuple[Tensor, ...], Splitters], Elements]] = MappingProxyType(
    {"mzi": mzi, "symmetric": symmetric, "fldzhyan": fldzhyan, "fldzhyan_bell": fldzhyan_bell}
)
"""The matrix of every kind: (unit numbers e^{j phase} in the order of the kind, splitters) -> elements."""


def cell_matrices(
    mesh: Mesh,
    phases_rad: Tensor,
    splitter_error_rad: Tensor | None = None,
    cell_gain: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Elements:
    """The four elements of every cell, its phi included.

    Args:
        mesh: windows and cells.
        phases_rad: real (..., phases), in the order of ``mesh.phase_layout``.
        splitter_error_rad: real (..., cells, mesh.cell_splitters), added to the angle pi/4 of a splitter
            [[cos, j sin], [j sin, cos]], in the order that light meets them.
        cell_gain: amplitude that a cell passes, a number or (..., cells).
        dtype: complex dtype of the result; that of the phases by default.

    Returns:
        m00, m01, m10, m11, complex (..., cells) each.
    """
    dtype = phases_rad.dtype.to_complex() if dtype is None else dtype
    layout = mesh.phase_layout
    inner = tuple(phasor(phases_rad[..., layout[name]], dtype) for name in mesh.kind.phases)
    splitters = None
    if splitter_error_rad is not None:
        angle = splitter_error_rad + math.pi / 4
        splitters = angle.cos(), angle.sin()
    m00, m01, m10, m11 = KINDS[mesh.cell](inner, splitters)
    if len(mesh.phi_cells):
        outer = phasor(_whole(phases_rad[..., layout["phi"]], mesh.phi_cells, mesh.cells), dtype)
        m00, m10 = m00 * outer, m10 * outer
    elements = m00, m01, m10, m11
    if cell_gain is not None:
        elements = tuple(element * cell_gain for element in elements)
    m00, m01, m10, m11 = (element.to(dtype) for element in elements)
    return m00, m01, m10, m11


def screen_phasors(mesh: Mesh, phases_rad: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The diagonal at the end of a mesh, complex (..., ports): e^{j screen}, 1 where a port has no shifter."""
    dtype = phases_rad.dtype.to_complex() if dtype is None else dtype
    return phasor(_whole(phases_rad[..., mesh.phase_layout["screen"]], mesh.screen_ports, mesh.ports), dtype)


def phasor(angle: Tensor, dtype: torch.dtype) -> Tensor:
    """e^{j angle}, unit complex numbers."""
    return torch.complex(angle.cos(), angle.sin()).to(dtype)


def _whole(some: Tensor, places: np.ndarray, size: int) -> Tensor:
    """``some`` (..., k) at its places among zeros, (..., size)."""
    if some.shape[-1] == size:
        return some
    index = torch.tensor(places, dtype=torch.int64, device=some.device)
    return some.new_zeros((*some.shape[:-1], size)).index_copy(-1, index, some)


def _between(upper: Tensor, lower: Tensor, splitters: tuple[Tensor, Tensor]) -> Elements:
    """Two splitters with the unit numbers of the arms between them."""
    (cos1, cos2), (sin1, sin2) = (part.unbind(-1) for part in splitters)
    m00 = cos2 * cos1 * upper - sin2 * sin1 * lower
    m01 = 1j * (cos2 * sin1 * upper + sin2 * cos1 * lower)
    m10 = 1j * (sin2 * cos1 * upper + cos2 * sin1 * lower)
    m11 = cos2 * cos1 * lower - sin2 * sin1 * upper
    return m00, m01, m10, m11


def _behind(upper: Tensor, lower: Tensor, splitters: Splitters) -> Elements:
    """One splitter behind the unit numbers of the arms."""
    if splitters is None:
        half = math.sqrt(0.5)
        return half * upper, 1j * half * lower, 1j * half * upper, half * lower
    cos, sin = (part[..., 0] for part in splitters)
    return cos * upper, 1j * sin * lower, 1j * sin * upper, cos * lower
