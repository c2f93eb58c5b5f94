"""Analytic programming of diamond meshes, many unitaries at once.

The upper half of a diamond is a triangle with its tip at the top: it is nulled from the left, column by column. The
cells of the lower half stay in the bar state.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...runtime.meshes import Mesh, mesh
from ...runtime.meshes.diamond import diamond_ports
from ...runtime.meshes.gauge import expand_radians
from .decompose import LEFT, decompose_complex, decompose_real, plan_of
from .settings import GaugeSettings, MeshSettings, PhaseSettings


def program(matrices: np.ndarray) -> MeshSettings:
    """Settings of the diamonds of 2 n - 2 waveguides that hold matrices (T, n, n) on their upper n ports.

    The other ports pass light straight on. The matrices are taken to be unitary; ``program_unitaries``
    checks it.
    """
    size = matrices.shape[-1]
    layout = mesh("diamond", diamond_ports(size))
    flips = bar_signs(layout)[size:]
    if np.iscomplexobj(matrices):
        theta, delta = decompose_complex(layout, plan(layout), matrices)
        delta[:, layout.cells + size :] = np.pi * flips
        return PhaseSettings(layout, expand_radians(layout, theta, delta))
    theta, signs = decompose_real(layout, plan(layout), matrices)
    signs[:, layout.cells + size :] = flips
    return GaugeSettings(layout, theta, signs)


def bar_signs(layout: Mesh) -> np.ndarray:
    """Sign of each port when all cells are in the bar state, bool (ports,): the lower arm turns by pi."""
    return np.bincount(layout.cell_lower, minlength=layout.ports) % 2 == 1


@lru_cache(maxsize=16)
def plan(layout: Mesh) -> np.ndarray:
    """Every element below the diagonal, from the left: columns to the right, rows up."""
    n = layout.ports // 2 + 1
    return plan_of(layout, [(LEFT, n - 2 - 2 * j + p, p, j) for j in range(n - 1) for p in range(n - 2, j - 1, -1)])
