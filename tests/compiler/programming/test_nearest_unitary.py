"""Matrices that are not unitary: how far they are, and the unitary that is nearest."""

import numpy as np
import pytest

from lightloom.compiler.programming import nearest_unitary, program_unitaries
from lightloom.runtime.errors import CompileError

from .matrices import orthogonal, unitary


@pytest.mark.parametrize("draw", [orthogonal, unitary])
def test_nearest_to_a_disturbed_unitary(draw):
    random = np.random.default_rng(0)
    exact = draw(random, 4, 5)
    # U H with H positive definite: U is the polar factor
    root = random.standard_normal((4, 5, 5)) * 0.1
    stretched = exact @ (np.eye(5) + root @ root.swapaxes(1, 2))
    found = nearest_unitary(stretched)
    assert found.dtype == exact.dtype
    np.testing.assert_allclose(found, exact, atol=1e-13)
    program_unitaries("clements", found)


def test_no_unitary_is_nearer():
    random = np.random.default_rng(1)
    matrix = random.standard_normal((3, 3))
    least = np.linalg.norm(matrix - nearest_unitary(matrix))
    others = unitary(random, 200, 3)
    assert (np.linalg.norm(others - matrix, axis=(1, 2)) >= least).all()


def test_singular_matrices_have_one_too():
    found = nearest_unitary(np.zeros((2, 3, 3)))
    np.testing.assert_allclose(found.swapaxes(1, 2) @ found, np.stack([np.eye(3)] * 2), atol=1e-14)


def test_the_complaint_offers_it_and_gives_the_distance():
    # singular values 1.2 and 1: the nearest unitary is 0.2 away
    with pytest.raises(
        CompileError, match=r"= 0\.44, the nearest unitary is 0\.2 away.*Program nearest_unitary\(matrices\)"
    ):
        program_unitaries("reck", np.diag([1.2, 1.0])[None])


@pytest.mark.parametrize("bad", [np.ones((2, 3)), np.full((2, 2), np.nan), np.ones(4)])
def test_refusals(bad):
    with pytest.raises(CompileError, match="finite square"):
        nearest_unitary(bad)
