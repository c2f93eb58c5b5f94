"""The check at the door of programming: a stack of finite, square, unitary matrices."""

from __future__ import annotations

import numpy as np
import torch

from ...runtime.errors import CompileError, complaint

_CHUNK = 32
"""Matrices multiplied at once: their products stay in the cache."""
_ADVICE = "program nearest_unitary(matrices) if a unitary was meant, or the factors of the singular value decomposition"


def nearest_unitary(matrices: np.ndarray) -> np.ndarray:
    """The unitary closest to each matrix in every unitarily invariant norm: ``W V^H`` of its ``W diag(s) V^H``.

    Args:
        matrices: real or complex (..., n, n); of single precision or better.

    Returns:
        float64 or complex128 (..., n, n), unitary to rounding. Where a matrix is singular there are several
        nearest ones, and this is one of them.

    Raises:
        CompileError: not square, NaN or inf.

    Source: Fan and Hoffman, Proc. Amer. Math. Soc. 6, 111 (1955).
    """
    stack = np.asarray(matrices)
    stack = stack.astype(np.complex128 if stack.dtype.kind == "c" else np.float64)
    if stack.ndim < 2 or stack.shape[-1] != stack.shape[-2] or not np.isfinite(stack).all():
        raise CompileError(
            complaint(
                "Only finite square matrices have a nearest unitary",
                where="matrices",
                got=f"shape {stack.shape}",
                allowed="(..., n, n), no NaN or inf",
            )
        )
    left, _, right = np.linalg.svd(stack)
    return left @ right


def check_unitary(matrices: np.ndarray, tolerance: float) -> np.ndarray:
    """The stack as float64 or complex128, or a complaint.

    Args:
        matrices: (T, n, n), real or complex floating point.
        tolerance: the largest max-abs distance of M^H M from the identity.

    Raises:
        CompileError: wrong dtype or shape, NaN or inf, or a matrix that is not unitary.
    """
    if matrices.dtype.kind not in "fc":
        raise CompileError(
            complaint(
                "Only real or complex floating-point matrices can be programmed",
                where="matrices",
                got=str(matrices.dtype),
                next_step="convert them, for example with .astype(np.float64)",
            )
        )
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or matrices.shape[1] == 0:
        raise CompileError(
            complaint(
                "A mesh is programmed with square matrices",
                where="matrices",
                got=f"shape {matrices.shape}",
                allowed="(T, n, n), n at least 1",
                next_step="factor other matrices into U diag(a) V^H first",
            )
        )
    stack = np.ascontiguousarray(matrices, dtype=np.float64 if matrices.dtype.kind == "f" else np.complex128)
    distance = _distances(stack)
    # NaN compares false: a matrix passes only when its distance is known to be small
    failed = np.flatnonzero(~(distance <= tolerance))
    if failed.size:
        first = int(failed[0])
        got = f"max |M^H M - 1| = {distance[first]:.3g}"
        others = f", and {failed.size - 1} more matrices fail" if failed.size > 1 else ""
        finite = np.isfinite(stack[first]).all()
        if finite:
            away = np.abs(np.linalg.svd(stack[first], compute_uv=False) - 1).max()
            got += f", the nearest unitary is {away:.3g} away (2-norm)"
        raise CompileError(
            complaint(
                "The matrix is not unitary" if finite else "The matrix holds NaN or inf",
                where=f"matrices[{first}]{others}",
                got=got,
                allowed=f"at most {tolerance:g}",
                next_step=_ADVICE if finite else "check the weights",
            )
        )
    return stack


def _distances(stack: np.ndarray) -> np.ndarray:
    """Max-abs distance of M^H M from the identity, float64 (T,)."""
    matrices = torch.from_numpy(stack)
    distances = torch.empty(len(matrices), dtype=torch.float64)
    eye = torch.eye(stack.shape[-1], dtype=matrices.dtype)
    for first in range(0, len(matrices), _CHUNK):
        part = matrices[first : first + _CHUNK]
        distances[first : first + _CHUNK] = (part.mH @ part - eye).abs().amax(dim=(1, 2))
    return distances.numpy()
