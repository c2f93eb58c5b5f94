"""Sizes are computed where they are numbers, and costs can read them where they are not."""

from __future__ import annotations

import pytest

from lightloom.compiler.passes.costs import size
from lightloom.compiler.passes.dims import plus, product
from lightloom.runtime.values import Dim


@pytest.mark.parametrize(
    ("dims", "wanted", "value"),
    [
        ((2, 3), 6, 6),
        ((2, "s0", 3), "6*s0", 30),
        (("s0",), "s0", 5),
        (("s0 + 1", "s1"), "(s0 + 1)*s1", 42),
        ((0, "s0"), 0, 0),
    ],
)
def test_products(dims: tuple[Dim, ...], wanted: Dim, value: int) -> None:
    assert product(*dims) == wanted
    assert size(product(*dims), {"s0": 5, "s1": 7}) == value


@pytest.mark.parametrize(
    ("dim", "rest", "wanted"), [(2, 3, 5), ("s0", 2, "s0 + 2"), ("2*s0", -1, "2*s0 - 1"), ("s0", 0, "s0"), (4, 0, 4)]
)
def test_sums(dim: Dim, rest: int, wanted: Dim) -> None:
    assert plus(dim, rest) == wanted
