"""Transfer matrices of meshes and their derivatives by every phase, window by window.

A phase sits in one cell, so with the light F that enters its window and the rest of the mesh B behind it,
``dT / dphase = B[:, ports] . dM / dphase . F[ports, :]`` with the 2x2 derivative of the cell's matrix. Both
come from one pass forward and one backward. A shifter moves the light of one arm, whose power over all inputs is
1: every column of the Jacobian has norm 1.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ...runtime.meshes import Mesh
from ...runtime.slicing.cells import cell_matrices, screen_phasors


def transfer_and_jacobian(mesh: Mesh, phases_rad: Tensor) -> tuple[Tensor, Tensor]:
    """Transfer matrices (T, n, n), complex128, and derivatives (T, n, n, phases) of lossless, perfect meshes.

    Args:
        mesh: any topology.
        phases_rad: float64 (T, phases).
    """
    tiles, n = len(phases_rad), mesh.ports
    elements = cell_matrices(mesh, phases_rad)
    screen = screen_phasors(mesh, phases_rad)
    uppers, lowers = (torch.tensor(ports, dtype=torch.int64) for ports in (mesh.cell_ports, mesh.cell_lower))
    windows = [*pairwise(np.searchsorted(mesh.cell_windows, np.arange(mesh.depth + 1)).tolist())]
    light = torch.eye(n, dtype=elements[0].dtype).repeat(tiles, 1, 1)
    entering = torch.empty(tiles, mesh.cells, 2, n, dtype=light.dtype)
    for first, last in windows:
        p, q = uppers[first:last], lowers[first:last]
        top, bottom = light[:, p], light[:, q]
        entering[:, first:last, 0], entering[:, first:last, 1] = top, bottom
        m00, m01, m10, m11 = (element[:, first:last, None] for element in elements)
        light[:, p], light[:, q] = m00 * top + m01 * bottom, m10 * top + m11 * bottom
    transfer = screen[:, :, None] * light
    rest = torch.diag_embed(screen)
    behind = torch.empty(tiles, mesh.cells, 2, n, dtype=light.dtype)
    for first, last in reversed(windows):
        p, q = uppers[first:last], lowers[first:last]
        top, bottom = rest[:, :, p], rest[:, :, q]
        behind[:, first:last, 0], behind[:, first:last, 1] = top.mT, bottom.mT
        m00, m01, m10, m11 = (element[:, None, first:last] for element in elements)
        rest[:, :, p], rest[:, :, q] = m00 * top + m10 * bottom, m01 * top + m11 * bottom
    derivatives = torch.zeros(tiles, n, n, mesh.phases, dtype=light.dtype)
    for name, place in mesh.phase_layout.items():
        if name == "screen":
            ports = torch.tensor(mesh.screen_ports, dtype=torch.int64)
            derivatives[:, ports, :, torch.arange(place.start, place.stop)] = (1j * transfer[:, ports]).transpose(0, 1)
        elif place.stop > place.start:
            owners = mesh.phi_cells if name == "phi" else np.arange(mesh.cells)
            cells = torch.tensor(owners, dtype=torch.int64)
            block = _block(mesh, phases_rad, place)[:, cells]
            moved = block @ entering[:, cells]
            derivatives[..., place] = torch.einsum("tkai,tkac->tick", behind[:, cells], moved)
    return transfer, derivatives


def _block(mesh: Mesh, phases_rad: Tensor, place: slice) -> Tensor:
    """Derivative of every cell's matrix by its phase of one group, (T, cells, 2, 2).

    The matrix is affine in e^{j phase}, so the derivative is j/2 times its difference from the one half a turn on.
    """
    turned = phases_rad.clone()
    turned[:, place] += np.pi
    pairs = zip(cell_matrices(mesh, phases_rad), cell_matrices(mesh, turned), strict=True)
    m00, m01, m10, m11 = (0.5j * (here - there) for here, there in pairs)
    return torch.stack([torch.stack([m00, m01], -1), torch.stack([m10, m11], -1)], -2)
