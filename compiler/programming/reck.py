"""Analytic programming of triangular meshes, many unitaries at once.

Rows from the last up, columns from the first: each row is one diagonal of cells, met by light in this order.
Source: Reck et al., Phys. Rev. Lett. 73, 58 (1994).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...runtime.meshes import Mesh, mesh
from ...runtime.meshes.gauge import expand_radians
from .decompose import RIGHT, decompose_complex, decompose_real, plan_of
from .settings import GaugeSettings, MeshSettings, PhaseSettings


def program(matrices: np.ndarray) -> MeshSettings:
    """Settings of orthogonal or unitary matrices (T, n, n): in the real gauge, or every phase.

    The matrices are taken to be unitary; ``program_unitaries`` checks it.
    """
    layout = mesh("reck", matrices.shape[-1])
    if np.iscomplexobj(matrices):
        return PhaseSettings(layout, expand_radians(layout, *decompose_complex(layout, plan(layout), matrices)))
    return GaugeSettings(layout, *decompose_real(layout, plan(layout), matrices))


@lru_cache(maxsize=16)
def plan(layout: Mesh) -> np.ndarray:
    """Every element below the diagonal, from the right."""
    n = layout.ports
    return plan_of(layout, [(RIGHT, 2 * (n - 1 - row) + p, p, row) for row in range(n - 1, 0, -1) for p in range(row)])
