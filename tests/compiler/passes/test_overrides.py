"""Overrides reach the layers that their globs name, all of them, and no shared matrix mixes two targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lightloom as ll
from lightloom.compiler.passes.ranges import Ranges
from lightloom.compiler.passes.shift import Shift
from lightloom.runtime.program import BankSpec


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(2 * x)


def test_a_shared_matrix_with_two_targets_is_two() -> None:
    x = torch.zeros(2, 8)
    assert len(ll.compile(Shared(), x, target="mzi16").body.banks) == 1
    program = ll.compile(Shared(), x, target="mzi16", overrides={"b": {"encoding.dac_bits": 4}})
    found = {step.path: program.body.target_for(step.bank).encoding.dac_bits for step in program.body.matrix_steps}
    assert found == {"a": program.target.encoding.dac_bits, "b": 4}
    both = ll.compile(Shared(), x, target="mzi16", overrides={"*": {"encoding.dac_bits": 4}})
    assert len(both.body.banks) == 1


def test_overlapping_globs_add_up_and_the_later_wins() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    program = ll.compile(
        model,
        torch.zeros(2, 8),
        target="mzi16",
        overrides={"*": {"encoding.dac_bits": 5, "detection.adc_bits": 6}, "2": {"encoding.dac_bits": 3}},
    )
    found = {
        step.path: (spec.encoding.dac_bits, spec.detection.adc_bits)
        for step in program.body.matrix_steps
        for spec in [program.body.target_for(step.bank)]
    }
    assert found == {"0": (5, 6), "2": (3, 6)}


def spec(rows: int, cols: int, ports: int = 4) -> BankSpec:
    return BankSpec("m", "clements", ports, 1, rows, cols, 1)


@pytest.mark.parametrize("sign", ["differential", "phase_sign"])
def test_the_worst_case_of_a_port_is_a_sum(sign: str) -> None:
    weights = np.array([[[1.0, -2.0, 3.0, -4.0], [1, 1, 1, 1], [-1, -1, -1, 2], [0, 0, 0, 0]]])
    target = ll.targets.get("mzi16").with_({"encoding.sign": sign})
    found = Ranges().run({"weights": weights, "scale": np.array([2.0])}, spec(4, 4), target)["adc_full_scale"]
    wanted = [6, 4, 3, 0] if sign == "differential" else [10, 4, 5, 0]
    assert (2 * found[0]).tolist() == wanted
    # the bound is reached by an input, and by none exceeded
    draws = np.random.default_rng(0).random((2000, 4)) * (2 if sign == "phase_sign" else 1) - (sign == "phase_sign")
    assert np.all(np.abs(draws @ weights[0].T) <= 2 * found[0] + 1e-6)


def test_a_shift_leaves_the_padding_of_edge_tiles_dark() -> None:
    chip = ll.targets.get("mzi16").with_({"detection.kind": "intensity", "encoding.sign": "differential"})
    weights = np.zeros((2, 4, 4))
    weights[0], weights[1, :2, :3] = np.arange(16).reshape(4, 4) - 5.0, -1.0
    places = {"row": np.array([0, 1], np.int32), "col": np.array([0, 1], np.int32)}
    made = Shift().run({"weights": weights, **places}, spec(6, 7), chip)
    assert made["shift"].tolist() == [5.0, 1.0]
    assert np.array_equal(made["weights"][0], np.arange(16).reshape(4, 4))
    assert not made["weights"][1].any()
    untouched = Shift().run({"weights": weights, **places}, replace(spec(6, 7)), ll.targets.get("mzi16"))
    assert np.array_equal(untouched["weights"], weights)
