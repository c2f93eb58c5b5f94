"""Analytic programming of Clements meshes, many unitaries at once.

Source: Clements et al., "Optimal design for universal multiport interferometers", Optica 3, 1460 (2016).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...runtime.meshes import Mesh, mesh
from ...runtime.meshes.gauge import expand_radians
from .decompose import LEFT, RIGHT, decompose_complex, decompose_real, plan_of
from .settings import GaugeSettings, MeshSettings, PhaseSettings


def program(matrices: np.ndarray) -> MeshSettings:
    """Settings of orthogonal or unitary matrices (T, n, n): in the real gauge, or every phase."""
    layout = mesh("clements", matrices.shape[-1])
    if np.iscomplexobj(matrices):
        return PhaseSettings(layout, program_complex(matrices))
    return GaugeSettings(layout, *program_real(matrices))


def program_real(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Settings of real orthogonal matrices in the real gauge (see ``meshes.gauge``).

    The matrices are taken to be orthogonal; ``program_unitaries`` checks it.

    Args:
        matrices: float64 (T, n, n).

    Returns:
        theta, float64 (T, cells) in [0, pi] radians, and sign bits, bool (T, cells + n): those of the
        cells, then of the ports.
    """
    layout = mesh("clements", matrices.shape[-1])
    return decompose_real(layout, plan(layout), matrices)


def program_complex(matrices: np.ndarray) -> np.ndarray:
    """Every phase of the meshes of unitary matrices.

    The matrices are taken to be unitary; ``program_unitaries`` checks it.

    Args:
        matrices: complex128 (T, n, n).

    Returns:
        float64 (T, phases) in [0, 2 pi] radians, in the order [theta | phi | screen].
    """
    layout = mesh("clements", matrices.shape[-1])
    return expand_radians(layout, *decompose_complex(layout, plan(layout), matrices))


@lru_cache(maxsize=16)
def plan(layout: Mesh) -> np.ndarray:
    """Diagonals from the lower left corner: even ones from the right, odd ones from the left."""
    n, steps = layout.ports, []
    for i in range(n - 1):
        if i % 2 == 0:
            steps += [(RIGHT, j, i - j, n - 1 - j) for j in range(i + 1)]
        else:
            steps += [(LEFT, n - 1 - j, n - 2 - i + j, j) for j in range(i + 1)]
    return plan_of(layout, steps)
