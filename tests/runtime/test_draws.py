"""Every shifter and splitter of a die has an error of its own; a run's seed decides the first, the die the second."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.runtime.banks import SIDES, phase_errors, splitter_errors
from lightloom.runtime.meshes import tile_mesh

CHIP = ll.targets.get("mzi16").with_({"mesh.phase_error_rad": 0.02, "mesh.splitter_error_rad": 0.03})


def apart(draws: Mapping[object, np.ndarray], std: float) -> None:
    """No two draws are the same or related, and each has the spread that was asked for."""
    for (one, a), (other, b) in combinations(draws.items(), 2):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.25, (one, other)
    whole = np.concatenate([draw.ravel() for draw in draws.values()])
    assert abs(whole.mean()) < 4 * std / np.sqrt(whole.size)
    assert whole.std() == pytest.approx(std, rel=4 / np.sqrt(2 * whole.size))


def test_phase_errors_differ_by_seed_bank_side_and_tile() -> None:
    draws = {}
    for seed in (0, 1):
        for bank in (0, 1):
            for side in SIDES:
                found = phase_errors(CHIP, seed, bank, side, np.arange(3), 240)
                assert found is not None
                draws |= {(seed, bank, side, tile): found[tile] for tile in range(3)}
    apart(draws, 0.02)
    again = phase_errors(CHIP, 1, 1, SIDES[1], np.array([2]), 240)
    assert again is not None
    assert np.array_equal(again[0], draws[1, 1, SIDES[1], 2])


def test_splitter_errors_differ_by_die_core_and_side() -> None:
    layout = tile_mesh(CHIP.mesh)
    draws = {}
    for die in (0, 1):
        chip = CHIP.with_({"mesh.chip_seed": die})
        for core in (0, 1, 2):
            for side in SIDES:
                found = splitter_errors(chip, core, side, layout)
                assert found is not None
                draws[die, core, side] = found
    apart(draws, 0.03)


@pytest.mark.parametrize("executor", ["batched", "step"])
def test_a_live_program_draws_anew_for_every_seed(executor: str) -> None:
    torch.manual_seed(0)
    chip = CHIP.with_({"detection.noise": False})
    program = ll.compile(nn.Linear(40, 20), torch.zeros(1, 40), target=chip)
    x = torch.randn(4, 40)
    runs = [program.run(x, seed=seed, executor=executor) for seed in (0, 1, 0, 2)]
    assert torch.equal(runs[0], runs[2])
    assert (runs[0] - runs[1]).abs().max() > 1e-3
    assert (runs[1] - runs[3]).abs().max() > 1e-3
    for seed, run in ((1, runs[1]), (2, runs[3])):
        other = "step" if executor == "batched" else "batched"
        torch.testing.assert_close(program.run(x, seed=seed, executor=other), run, rtol=1e-4, atol=1e-4)


def test_tiles_of_one_matrix_have_errors_of_their_own() -> None:
    """The same weights on every tile: with one draw for all, the halves of the output would be the same."""
    weight = torch.randn(16, 16, generator=torch.Generator().manual_seed(1))
    layer = nn.Linear(16, 32, bias=False)
    layer.weight.data = torch.cat([weight, weight])
    for field in ("mesh.phase_error_rad", "mesh.splitter_error_rad"):
        chip = ll.targets.get("mzi16").with_({field: 0.03, "detection.noise": False})
        y = ll.compile(layer, torch.zeros(1, 16), target=chip).run(torch.randn(8, 16))
        assert (y[:, :16] - y[:, 16:]).abs().max() > 1e-2
