"""Packed matrices hold every weight where a block-diagonal matrix has it, in as few tiles as the choice can make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.compiler.ir import Graph, Matrix, Value
from lightloom.compiler.passes.packing import choose_blocks, tiles_of_blocks
from lightloom.compiler.passes.tile import Tile, cut, grid
from lightloom.runtime import targets
from lightloom.runtime.pricing.counts import active_cols, active_rows, tile_weights
from lightloom.runtime.program import TileBank
from lightloom.runtime.values import TensorType

small = st.integers(1, 9)


def diagonal(blocks: np.ndarray) -> np.ndarray:
    """A block-diagonal matrix, written out: (blocks, rows, cols) to (blocks * rows, blocks * cols)."""
    count, rows, cols = blocks.shape
    full = np.zeros((count * rows, count * cols))
    for index, block in enumerate(blocks):
        full[index * rows : (index + 1) * rows, index * cols : (index + 1) * cols] = block
    return full


def tiles_in(matrix: np.ndarray, ports: int) -> int:
    """Tiles of a matrix that are not all zero, counted one by one."""
    corners = np.ndindex(-(-matrix.shape[0] // ports), -(-matrix.shape[1] // ports))
    return sum(bool(matrix[r * ports : (r + 1) * ports, c * ports : (c + 1) * ports].any()) for r, c in corners)


@settings(max_examples=200, deadline=None)
@given(blocks=small, rows=small, cols=st.integers(1, 20), ports=st.integers(1, 8))
def test_tiles_are_counted_without_writing_the_matrix(blocks: int, rows: int, cols: int, ports: int) -> None:
    assert tiles_of_blocks(blocks, rows, cols, ports) == tiles_in(diagonal(np.ones((blocks, rows, cols))), ports)


@settings(max_examples=200, deadline=None)
@given(groups=st.integers(1, 24), rows=small, cols=st.integers(1, 20), ports=st.integers(1, 8))
def test_the_choice_is_the_best_divisor_and_the_smallest_of_equals(groups: int, rows: int, cols: int, ports: int):
    blocks = choose_blocks(groups, rows, cols, ports)

    def tiles(each: int) -> int:
        return groups // each * tiles_in(diagonal(np.ones((each, rows, cols))), ports)

    others = [each for each in range(1, groups + 1) if groups % each == 0 and (each == 1 or each * rows <= 2 * ports)]
    assert blocks in others
    assert (tiles(blocks), blocks) == min((tiles(each), each) for each in others)


@pytest.mark.parametrize(
    ("groups", "rows", "cols", "blocks", "tiles"),
    [
        (960, 1, 9, 64, 135),  # depthwise 3 x 3: seven kernels side by side in a tile
        (32, 4, 36, 16, 18),  # ResNeXt's 32 groups of 4 channels
        (64, 16, 1, 4, 16),  # transposed depthwise 4 x 4
        (3, 64, 64, 1, 3),  # full tiles have no room
        (1, 10, 10, 1, 1),
        (131, 1, 9, 1, 131),  # a prime beyond the widest pack
    ],
)
def test_known_layers_on_64_ports(groups: int, rows: int, cols: int, blocks: int, tiles: int) -> None:
    assert choose_blocks(groups, rows, cols, 64) == blocks
    assert groups // blocks * tiles_of_blocks(blocks, rows, cols, 64) == tiles


@pytest.fixture
def no_dense_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding is how a dense grid is made."""
    monkeypatch.setattr("torch.nn.functional.pad", None)


def packed(weight: torch.Tensor, groups: int, blocks: int, ports: int) -> TileBank:
    rows, cols = weight.shape[0] // groups, weight[0].numel()
    constant = Value("w", TensorType("f32", tuple(weight.shape)))
    matrix = Matrix("m", "w", groups // blocks, blocks * rows, blocks * cols, blocks)
    graph = Graph("mvm", "g", (), (constant,), (), (), (matrix,), store={"w": weight})
    return Tile().run(graph, targets.get("mzi16").with_({"mesh.ports": ports})).tables["m"]


@settings(max_examples=100, deadline=None)
@given(
    groups=st.integers(1, 3), blocks=st.integers(2, 6), rows=st.integers(1, 5), cols=small, ports=st.integers(1, 6),
    density=st.floats(0, 1), seed=small,
)  # fmt: skip
def test_packed_tiles_are_those_of_the_block_diagonal_matrix(
    groups: int, blocks: int, rows: int, cols: int, ports: int, density: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (groups, blocks, rows, cols)
    values = (rng.normal(size=shape) * (rng.random(shape) < density)).astype(np.float32)
    weight = torch.from_numpy(values.reshape(-1, cols))
    bank = packed(weight, groups * blocks, blocks, ports)
    spec = bank.spec
    tiles = cut(grid(weight, spec), bank, slice(None))
    rebuilt = np.zeros((groups, spec.grid_rows * ports, spec.grid_cols * ports))
    for tile, g, r, c in zip(tiles, *(bank.columns[name] for name in ("group", "row", "col")), strict=True):
        rebuilt[g, r * ports : (r + 1) * ports, c * ports : (c + 1) * ports] += tile
    wanted = np.stack([diagonal(part) for part in values])
    np.testing.assert_array_equal(rebuilt[:, : spec.rows, : spec.cols], wanted)
    assert np.abs(rebuilt).sum() == np.abs(wanted).sum(), "padding holds weights"
    assert spec.tiles == sum(tiles_in(part, ports) for part in wanted), "an all-zero tile is in the table"


def test_what_a_packed_bank_says_of_itself() -> None:
    weight = torch.arange(1.0, 6 * 9 + 1).reshape(6, 1, 3, 3)
    bank = packed(weight, 6, 3, 16)  # per group 3 x 27 in 3 blocks: 27 columns are 2 tiles
    spec = bank.spec
    assert (spec.groups, spec.rows, spec.cols, spec.tiles) == (2, 3, 27, 4)
    assert spec.weights == 6 * 9
    assert spec.utilization == 54 / (4 * 256)
    assert (spec.unpacked_tiles, spec.unpacked_utilization) == (6, 54 / (6 * 256))
    # the first 16 columns hold the first block and 7 columns of the second, the other 11 its rest and the third
    assert active_rows(bank).tolist() == [2, 2] * 2
    assert active_cols(bank).tolist() == [16, 11] * 2
    assert tile_weights(bank).tolist() == [16, 11] * 2
    assert int(tile_weights(bank).sum()) == spec.weights


@settings(max_examples=60, deadline=None)
@given(blocks=st.integers(2, 7), rows=st.integers(1, 5), cols=small, ports=st.integers(1, 6))
def test_tile_weights_count_each_weight_once(blocks: int, rows: int, cols: int, ports: int) -> None:
    bank = packed(torch.ones(blocks * rows, cols), blocks, blocks, ports)
    held = cut(grid(torch.ones(blocks * rows, cols), bank.spec), bank, slice(None)) != 0
    assert tile_weights(bank).tolist() == held.sum(axis=(1, 2)).tolist()
    assert active_rows(bank).tolist() == held.any(axis=2).sum(axis=1).tolist()


def test_wide_depthwise_layers_never_become_dense(no_dense_grids: None) -> None:
    del no_dense_grids
    weight = torch.ones(3072, 1, 7, 7)
    blocks = choose_blocks(3072, 1, 49, 64)
    bank = packed(weight, 3072, blocks, 64)
    assert bank.spec.tiles == 2352 < bank.spec.unpacked_tiles == 3072
    assert grid(weight, bank.spec).numel() == weight.numel()
