"""Phases that make a mesh Haar-random: every unitary as likely as any other.

Uniformly random phases do not: light then stays near the port it came in by, and a wide mesh trains badly.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...runtime.errors import InputError, complaint
from ...runtime.meshes import Mesh

FAMILIES = ("clements", "clements_bell", "reck")


def haar_phases(mesh: Mesh, generator: torch.Generator | None = None) -> Tensor:
    """Phases of a Haar-random unitary, float64 (phases,).

    The cross power of a cell, cos^2(theta/2), is Beta(alpha, 1) with the cell's sensitivity index
    alpha = (inputs that reach it) + (outputs it reaches) - ports - 1; every other phase is uniform.

    Args:
        mesh: of a family in ``FAMILIES``.
        generator: of torch's random numbers.

    Raises:
        InputError: another family; no such rule is known for it.

    Source: Russell et al., New J. Phys. 19, 033007 (2017); Pai et al., Phys. Rev. Applied 11, 064044 (2019).
    """
    if mesh.topology not in FAMILIES:
        raise InputError(
            complaint(
                "No rule is known that makes this mesh Haar-random",
                where="haar",
                got=mesh.topology,
                allowed=", ".join(FAMILIES),
                next_step="pass haar=False for uniform phases",
            )
        )
    phases = uniform_phases(mesh, generator)
    alpha = torch.from_numpy(sensitivity(mesh))
    power = torch.rand(mesh.cells, generator=generator, dtype=torch.float64) ** (1 / alpha)
    theta = 2 * torch.acos(power.sqrt())
    layout = mesh.phase_layout
    if mesh.cell == "symmetric":
        # the common phase stays uniform
        lower = phases[layout["lower"]]
        phases[layout["upper"]] = (lower + theta) % (2 * math.pi)
    else:
        phases[layout["theta"]] = theta
    return phases


def uniform_phases(mesh: Mesh, generator: torch.Generator | None = None) -> Tensor:
    """Every phase uniform in 0 .. 2 pi, float64 (phases,)."""
    return 2 * math.pi * torch.rand(mesh.phases, generator=generator, dtype=torch.float64)


def sensitivity(mesh: Mesh) -> np.ndarray:
    """Sensitivity index of every cell, float64 (cells,)."""
    reaching = _reached(mesh, range(mesh.cells))
    leaving = _reached(mesh, range(mesh.cells - 1, -1, -1))
    return np.maximum(reaching + leaving - mesh.ports - 1, 1).astype(np.float64)


def _reached(mesh: Mesh, order: range) -> np.ndarray:
    """For every cell, from how many ports light reaches it if it meets the cells in this order."""
    sources = np.eye(mesh.ports, dtype=bool)
    counts = np.zeros(mesh.cells, dtype=np.int64)
    for cell in order:
        p, q = mesh.cell_ports[cell], mesh.cell_lower[cell]
        both = sources[p] | sources[q]
        sources[p] = sources[q] = both
        counts[cell] = both.sum()
    return counts
