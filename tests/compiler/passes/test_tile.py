"""Tiles cover every weight exactly once; padding is zero; all-zero tiles are left out."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.compiler.ir import Graph, Matrix, Value
from lightloom.compiler.passes.tile import Tile, cut, grid
from lightloom.runtime import targets
from lightloom.runtime.values import TensorType

small = st.integers(1, 9)


def tiled(weight: torch.Tensor, groups: int, ports: int) -> Graph:
    rows, cols = weight.shape[0] // groups, weight[0].numel()
    constant = Value("w", TensorType("f32", tuple(weight.shape)))
    graph = Graph("mvm", "g", (), (constant,), (), (), (Matrix("m", "w", groups, rows, cols),), store={"w": weight})
    return Tile().run(graph, targets.get("mzi16").with_({"mesh.ports": ports}))


@settings(max_examples=100, deadline=None)
@given(
    groups=st.integers(1, 3),
    rows=small,
    cols=small,
    ports=st.integers(1, 5),
    density=st.floats(0, 1),
    seed=small,
)
def test_tiles_cover_every_weight_exactly_once(
    groups: int, rows: int, cols: int, ports: int, density: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(groups * rows, cols)) * (rng.random((groups * rows, cols)) < density)
    weight = torch.from_numpy(values.astype(np.float32))
    bank = tiled(weight, groups, ports).tables["m"]
    spec = bank.spec
    tiles = cut(grid(weight, spec), bank, slice(None))
    rebuilt = np.zeros((groups, spec.grid_rows * ports, spec.grid_cols * ports))
    hits = np.zeros(rebuilt.shape, dtype=int)
    for tile, g, r, c in zip(tiles, *(bank.columns[name] for name in ("group", "row", "col")), strict=True):
        place = g, slice(r * ports, (r + 1) * ports), slice(c * ports, (c + 1) * ports)
        rebuilt[place] += tile
        hits[place] += 1
    inside = rebuilt[:, :rows, :cols].reshape(groups * rows, cols)
    np.testing.assert_array_equal(inside, weight.numpy())
    assert np.abs(rebuilt).sum() == np.abs(inside).sum(), "padding holds weights"
    assert hits.max(initial=0) <= 1
    assert (np.abs(tiles).sum(axis=(1, 2)) > 0).all(), "an all-zero tile is in the table"


def test_an_all_zero_matrix_has_no_tiles() -> None:
    bank = tiled(torch.zeros(5, 7), 1, 4).tables["m"]
    assert bank.spec.tiles == 0
    assert bank.spec.grid_tiles == 4
    assert bank.columns["group"].shape == (0,)
