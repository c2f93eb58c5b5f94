"""Ranges of a matrix step's vectors, and what their results add up to, block by block."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime.errors import VerifyError
from lightloom.runtime.geometry import blocks
from lightloom.runtime.program import BankSpec, Conv2dGeometry, LinearGeometry
from lightloom.runtime.stepping.tilework import TileWork
from lightloom.runtime.stepping.vectors import Vectors


@st.composite
def convolutions(draw: Any) -> tuple[torch.Tensor, Conv2dGeometry]:
    small = st.integers(1, 3)
    groups = draw(st.integers(1, 2))
    channels = groups * draw(small)
    kernel, stride, dilation = ((draw(small), draw(small)) for _ in range(3))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
    spans = [dilation[axis] * (kernel[axis] - 1) + 1 for axis in range(2)]
    height, width = (span + draw(st.integers(0, 4)) for span in spans)
    x = torch.arange(draw(small) * channels * height * width, dtype=torch.float64)
    geometry = Conv2dGeometry(channels, kernel, stride, padding, dilation, groups)  # type: ignore[arg-type]
    return x.reshape(-1, channels, height, width) + 1, geometry


@settings(deadline=None, max_examples=150)
@given(convolutions(), st.data())
def test_any_range_of_patches_is_that_of_the_blocks(case: tuple[torch.Tensor, Conv2dGeometry], data: Any) -> None:
    x, geometry = case
    cols = geometry.channels // geometry.groups * geometry.kernel[0] * geometry.kernel[1]
    whole = torch.cat([block.vectors.transpose(1, 2).flatten(0, 1) for block in blocks(x, geometry, 1 << 30)])
    vectors = Vectors(x, geometry, cols)
    first = data.draw(st.integers(0, len(whole)))
    count = data.draw(st.integers(0, len(whole) - first))
    group = data.draw(st.integers(0, geometry.groups - 1))
    low = data.draw(st.integers(0, cols - 1))
    high = data.draw(st.integers(low + 1, cols))
    expected = whole[first : first + count, group * cols + low : group * cols + high]
    assert torch.equal(vectors.range(first, count, group, low, high), expected)


def test_rows_are_read_in_place() -> None:
    x = torch.arange(60.0).reshape(2, 5, 6)
    vectors = Vectors(x, LinearGeometry(), 3)
    assert torch.equal(vectors.range(4, 3, 1, 1, 3), x.reshape(10, 6)[4:7, 4:6])
    assert vectors.bytes_each == 24


SPEC = BankSpec("w", "clements", 2, 1, 3, 4, 4)
PLACES = {0: (0, 0), 1: (0, 0), 2: (0, 1), 3: (0, 1)}


def worked(items: list[tuple[int, int, int]]) -> TileWork:
    """Six vectors; (tile, first, count) in any order. Tile t reads 10^t from vector v, times v + 1."""
    work = TileWork.of(torch.zeros(6, 4, dtype=torch.float64), SPEC)
    for tile, first, count in items:
        work.take(tile, first, count, "layer")
        result = (torch.arange(first, first + count, dtype=torch.float64) + 1)[:, None] * 10.0**tile
        work.add(tile, first, PLACES[tile], [0, 1] if tile < 2 else [2, 3], result.expand(-1, 2))
    return work


ITEMS = [(tile, first, count) for tile in range(4) for first, count in ((0, 4), (4, 1), (5, 1))]


@given(st.permutations(ITEMS))
def test_sums_do_not_depend_on_the_order_of_blocks_and_tiles(items: list[tuple[int, int, int]]) -> None:
    work = worked(items)
    assert work.left == 0
    vector = torch.arange(1, 7, dtype=torch.float64)[:, None]
    assert torch.equal(work.total(SPEC), vector * torch.tensor([11.0, 11.0, 1100.0], dtype=torch.float64))
    assert not work.early


def test_tiles_are_added_in_ascending_order_whenever_they_come() -> None:
    spec = BankSpec("w", "clements", 1, 1, 1, 3, 3)
    big, small = 1e16, 1.0
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        work = TileWork.of(torch.zeros(2, 3, dtype=torch.float64), spec)
        for tile in order:
            for first in (1, 0):
                work.take(tile, first, 1, "layer")
                value = (big, small, -big)[tile]
                work.add(tile, first, (0, 0), [0, 1, 2], torch.full((1, 1), value, dtype=torch.float64))
        assert work.total(spec).flatten().tolist() == [(big + small) - big] * 2


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([(0, 0, 7)], r"for another batch \(at layer\); got 7 vectors from 0 through tile 0"),
        ([(0, -1, 2)], "for another batch"),
        ([(0, 0, 4), (1, 0, 3)], "for another batch"),
        ([(0, 0, 4), (0, 0, 4)], "a block through a tile again"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(items: list[tuple[int, int, int]], message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        worked(items)


def test_blocks_that_overlap_are_refused() -> None:
    work = worked([(tile, first, count) for tile in range(4) for first, count in ((0, 3), (2, 3))])
    assert work.left == 0  # six of six vectors, one of them twice
    with pytest.raises(VerifyError, match=r"blocks that overlap; got 0 to 3, 2 to 5; allowed: 0 to 6"):
        work.total(SPEC)
