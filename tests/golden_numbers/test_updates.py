"""Worked example 7.3, thresholded updates, through a target, a compiled program and its schedule.

From the book "Photonic Matrix Computing": 256 shifters, of which 30 % move: 77 updates a layer, 3.3 times less control
energy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.runtime.banks import phase_words
from lightloom.runtime.pricing.counts import step_counts
from lightloom.runtime.pricing.energy import energy
from lightloom.runtime.program import ProgramBody, TileBank
from lightloom.runtime.scheduling.dealing import deal

SHIFTERS = 256
PER_PHASE_J = 10e-12


def two_layers(writes: str) -> ProgramBody:
    """Two layers of one tile each on one core of 16 ports, the second with settings close to the first one's.

    The mesh of U has 256 shifters. 30 % of the second layer's are a step of the 8-bit driver away, the others less than
    half of one; V and the attenuators stay.
    """
    target = ll.targets.get("ideal").with_(
        mesh={"ports": 16, "cores": 1, "phase_bits": 8, "attenuator_bits": 8, "writes": writes},
        energy={"reconfigure_j_per_phase": PER_PHASE_J, "phase_shifter_hold_w": 0.0},
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False))
    body = ll.compile(model, torch.zeros(1, 16), target).body
    (first, one), (second, two) = body.banks.items()
    words = {side: phase_words(one, side) for side in ("left", "right")}
    # in the middle of the driver's steps, so that rounding is the same for all
    words["left"] = words["left"] & np.uint32(0xFF000000)
    assert words["left"].shape == (1, SHIFTERS)
    rng = np.random.default_rng(0)
    moves = rng.permutation(SHIFTERS) < round(0.3 * SHIFTERS)
    below = rng.integers(0, 1 << 23, SHIFTERS)
    near = words["left"] + np.where(moves, 1 << 24, below).astype(np.uint32)
    plain = {name: values for name, values in one.columns.items() if not name.endswith((".theta", ".sign"))}
    banks = {
        first: TileBank(one.spec, {**plain, "left.phases": words["left"], "right.phases": words["right"]}),
        second: TileBank(two.spec, {**plain, "left.phases": near, "right.phases": words["right"]}),
    }
    return replace(body, banks=banks)


def test_7_3_thresholded_updates() -> None:
    """256 shifters of which 30 % move: 77 writes for the second layer, 3.3 times less control energy."""
    changed, whole = two_layers("changed"), two_layers("all")
    schedule = deal(changed, 1)
    schedule.verify(changed)
    assert (schedule.kind == 0).sum() == 2
    name = changed.matrix_steps[1].name
    updates = step_counts(changed, schedule)[name].configuration.phases_written
    assert updates == 77
    control = energy(changed, schedule).configuration
    row = control.rows.index(name)
    joules = control.joules[row, list(control.by_item()).index("reconfigure")]
    assert joules == pytest.approx(77 * PER_PHASE_J)
    # the book's layer has one mesh of 256 shifters, all of which it writes otherwise
    assert SHIFTERS * PER_PHASE_J / joules == pytest.approx(3.3, abs=0.05)
    settings = 2 * SHIFTERS + 16
    assert step_counts(whole, deal(whole, 1))[name].configuration.phases_written == settings
