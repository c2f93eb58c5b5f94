"""Matrices to program: Haar-random ones, and the degenerate ones that divide by zero if anything does."""

import numpy as np


def orthogonal(random, tiles, n):
    """Haar-random orthogonal matrices: QR with the signs of R's diagonal taken back."""
    q, r = np.linalg.qr(random.standard_normal((tiles, n, n)))
    return q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]


def unitary(random, tiles, n):
    """Haar-random unitaries."""
    q, r = np.linalg.qr(random.standard_normal((tiles, n, n)) + 1j * random.standard_normal((tiles, n, n)))
    d = np.diagonal(r, axis1=1, axis2=2)
    return q * (d / np.abs(d))[:, None, :]


def permutations(random, tiles, n):
    """Permutation matrices: the identity, the reversal, then random ones."""
    orders = [np.arange(n), np.arange(n)[::-1], *(random.permutation(n) for _ in range(tiles))]
    return np.stack([np.eye(n)[order] for order in orders])


def real_cases(n):
    """Stacks of orthogonal matrices (T, n, n)."""
    random = np.random.default_rng(n)
    signs = np.where(random.random((4, n)) < 0.5, -1.0, 1.0)
    yield orthogonal(random, 9, n)
    yield np.stack([np.eye(n), -np.eye(n)])
    yield permutations(random, 3, n)
    yield permutations(random, 2, n) * signs[:, None, :]
    yield signs[:, :, None] * np.eye(n)
    # rotations in one plane, some so small that their squares underflow
    tilted = np.stack([np.eye(n)] * 3)
    for matrix, angle in zip(tilted, (1e-8, 1e-150, 5e-324), strict=True):
        if n > 1:
            matrix[[0, 0, -1, -1], [0, -1, 0, -1]] = (
                np.cos(angle),
                -np.sin(angle),
                np.sin(angle),
                np.cos(angle),
            )
    yield tilted


def complex_cases(n):
    """Stacks of unitary matrices (T, n, n), the real cases among them."""
    random = np.random.default_rng(n)
    phases = np.exp(2j * np.pi * random.random((5, n)))
    yield unitary(random, 9, n)
    yield phases[:, :, None] * np.eye(n)
    yield permutations(random, 3, n) * phases[:, None, :]
    for case in real_cases(n):
        yield case.astype(np.complex128)
