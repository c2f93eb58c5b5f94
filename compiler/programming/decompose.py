"""From a plan of nullings to the settings of many meshes in the gauge (see ``meshes.gauge``)."""

from __future__ import annotations

import numpy as np

from ...runtime.meshes import Mesh
from ...runtime.threads import spread
from ._nulling import LANES, null_complex, null_real

LEFT, RIGHT = 1, 0


def plan_of(layout: Mesh, steps: list[tuple[int, int, int, int]]) -> np.ndarray:
    """A plan of ``_nulling`` from steps (side, window, upper port, pivot row or column), read-only."""
    side, window, port, pivot = np.array(steps, dtype=np.int32).reshape(-1, 4).T
    plan = np.ascontiguousarray(np.stack([side, port, pivot, layout.cell_index[window, port]], axis=1))
    plan.flags.writeable = False
    return plan


def decompose_real(layout: Mesh, plan: np.ndarray, matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Settings of orthogonal matrices.

    Args:
        layout: the mesh; its upper n ports carry the matrices.
        plan: what to null, in order, with which cell.
        matrices: float64 (T, n, n), taken to be orthogonal.

    Returns:
        theta, float64 (T, cells) in [0, pi] radians, and sign bits, bool (T, cells + ports); cells out of
        the plan are in the bar state (theta pi, no sign).
    """
    theta = np.full((len(matrices), layout.cells), np.pi)
    signs = np.zeros((len(matrices), layout.cells + layout.ports), dtype=np.bool_)
    real = np.ascontiguousarray(matrices, dtype=np.float64)
    spread(-(-len(matrices) // LANES), null_real, real, plan, theta, signs)
    return theta, signs


def decompose_complex(layout: Mesh, plan: np.ndarray, matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Settings of unitary matrices, complex128 (T, n, n): as :func:`decompose_real`, with phases for signs.

    Returns:
        theta as there, and delta, float64 (T, cells + ports) in radians.
    """
    theta = np.full((len(matrices), layout.cells), np.pi)
    delta = np.zeros((len(matrices), layout.cells + layout.ports))
    real = np.ascontiguousarray(np.real(matrices), dtype=np.float64)
    imag = np.ascontiguousarray(np.imag(matrices), dtype=np.float64)
    spread(-(-len(matrices) // LANES), null_complex, real, imag, plan, theta, delta)
    return theta, delta
