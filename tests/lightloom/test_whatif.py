"""Changing the chip under a compiled program equals compiling for the changed chip."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lightloom as ll
from lightloom.models import MLP
from lightloom.whatif import CHANGEABLE, what_if

CHANGES = {
    "mesh.phase_bits": 6,
    "mesh.attenuator_bits": 5,
    "mesh.splitter_error_rad": 0.01,
    "encoding.dac_bits": 7,
    "detection.adc_bits": None,
    "detection.noise": True,
}


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return MLP((20, 12, 5)).eval()


@pytest.fixture(scope="module")
def program(model) -> ll.Program:
    return ll.compile(model, torch.rand(2, 20), "mzi16")


def test_equals_compiling_again(model, program):
    changed = what_if(program, CHANGES)
    again = ll.compile(model, torch.rand(2, 20), ll.targets.get("mzi16").with_(CHANGES))
    for name, bank in again.body.banks.items():
        assert changed.body.banks[name].spec == bank.spec
        for column, array in bank.columns.items():
            np.testing.assert_array_equal(changed.body.banks[name].columns[column], array)
    x = torch.rand(3, 20)
    assert torch.equal(changed.run(x, seed=3), again.run(x, seed=3))
    assert not torch.equal(changed.run(x, seed=3), program.run(x, seed=3))
    assert torch.equal(changed.run(x, ideal=True), program.run(x, ideal=True))


def test_every_changeable_field_exists():
    target = ll.targets.get("mzi16")
    for path in CHANGEABLE:
        part, field = path.split(".")
        assert hasattr(getattr(target, part), field), path


def test_refuses_fields_that_decide_the_compilation(program):
    with pytest.raises(ll.CompileError, match=r"mesh\.ports"):
        what_if(program, {"mesh.ports": 8})


def test_refuses_impossible_values(program):
    with pytest.raises(ll.TargetError):
        what_if(program, {"encoding.dac_bits": 0})


def test_refuses_per_layer_overrides(model):
    program = ll.compile(model, torch.rand(2, 20), "mzi16", overrides={"layers.1": {"encoding.dac_bits": 4}})
    with pytest.raises(ll.CompileError, match="overrides"):
        what_if(program, {"encoding.dac_bits": 6})
