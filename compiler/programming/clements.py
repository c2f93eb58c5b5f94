"""Analytic programming of Clements meshes, many unitaries at once.

Source: Clements et al., "Optimal design for universal multiport interferometers", Optica 3, 1460 (2016).
"""

from __future__ import annotations

import numpy as np

from ...runtime.meshes import mesh
from ...runtime.meshes.gauge import expand_radians
from ...runtime.threads import spread
from ._nulling import LANES, null_complex, null_real


def program_real(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Settings of real orthogonal matrices in the real gauge (see ``meshes.gauge``).

    The matrices are taken to be orthogonal; ``program_unitaries`` checks it.

    Args:
        matrices: float64 (T, n, n).

    Returns:
        theta, float64 (T, cells) in [0, pi] radians, and sign bits, bool (T, cells + n): those of the
        cells, then of the ports.
    """
    tiles, n, _ = matrices.shape
    layout = mesh("clements", n)
    theta = np.empty((tiles, layout.cells))
    signs = np.empty((tiles, layout.cells + n), dtype=np.bool_)
    spread(
        -(-tiles // LANES), null_real, np.ascontiguousarray(matrices, dtype=np.float64), layout.cell_index, theta, signs
    )
    return theta, signs


def program_complex(matrices: np.ndarray) -> np.ndarray:
    """Every phase of the meshes of unitary matrices.

    The matrices are taken to be unitary; ``program_unitaries`` checks it.

    Args:
        matrices: complex128 (T, n, n).

    Returns:
        float64 (T, phases) in [0, 2 pi] radians, in the order [theta | phi | screen].
    """
    tiles, n, _ = matrices.shape
    layout = mesh("clements", n)
    theta = np.empty((tiles, layout.cells))
    delta = np.empty((tiles, layout.cells + n))
    real = np.ascontiguousarray(np.real(matrices), dtype=np.float64)
    imag = np.ascontiguousarray(np.imag(matrices), dtype=np.float64)
    spread(-(-tiles // LANES), null_complex, real, imag, layout.cell_index, theta, delta)
    return expand_radians(layout, theta, delta)
