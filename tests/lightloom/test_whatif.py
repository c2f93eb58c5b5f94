"""Changing the chip under a compiled program equals compiling for the changed chip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.models import MLP
from lightloom.runtime.pricing.energy import energy
from lightloom.runtime.scheduling.plan import OBJECTIVES
from lightloom.runtime.targets.edit import field_names
from lightloom.runtime.targets.surroundings import AreaSpec, LinkSpec, MemorySpec
from lightloom.whatif import CHANGEABLE, DECIDING, what_if

CHIP = ll.targets.get("mzi16").with_(
    {
        "mesh.cores": 2,
        "mesh.phase_bits": 8,
        "mesh.attenuator_bits": 8,
        "encoding.dac_bits": 6,
        "detection.adc_bits": 8,
        "detection.noise": True,
        "memory.sram_bytes_per_s": 1e11,
        "link.latency_s": 1e-6,
    }
)

VALUES: dict[str, Any] = {
    "mesh.cores": 3,
    "mesh.buffers": 2,
    "mesh.writes": "changed",
    "mesh.phase_bits": 5,
    "mesh.attenuator_bits": None,
    "mesh.phase_error_rad": 0.01,
    "mesh.splitter_error_rad": 0.01,
    "mesh.chip_seed": 4,
    "encoding.lanes": 2,
    "encoding.dac_rate_hz": 2e10,
    "detection.adc_rate_hz": 2e10,
    "encoding.dac_bits": 4,
    "detection.adc_bits": 5,
    "detection.noise": False,
    "detection.laser": "sized",
    "detection.required_snr_db": 10.0,
    "detection.rin_db_per_hz": -140.0,
    "timing.encode_s": 1e-11,
    "timing.integrate_s": 1e-11,
    "timing.detector_skew_s": 0.0,
    "timing.detector_margin_s": 1e-11,
    "timing.control_rate_hz": 1e12,
    "timing.required_vectors_per_s": 1e3,
    "memory.sram_bytes": 600,
    "energy.laser_wall_plug_efficiency": 0.11,
}
"""Another value of fields for which twice the value of :data:`CHIP` is none."""

WITH: dict[str, dict[str, Any]] = {
    "detection.laser": {"detection.required_snr_db": 10.0},
    "energy.phase_shifter_pi_w": {"energy.phase_shifter_hold_w": None},
    "energy.dac_j_per_step": {"energy.dac_j_per_sample": None},
    "energy.dac_j_per_sample": {"energy.dac_j_per_step": None},
    "energy.adc_j_per_sample": {"energy.adc_j_per_step": None, "energy.adc_schreier_db": None},
    "energy.adc_j_per_step": {"energy.adc_j_per_sample": None, "energy.adc_schreier_db": None},
    "energy.adc_schreier_db": {"energy.adc_j_per_sample": None, "energy.adc_j_per_step": None},
}
"""What else must change with a field."""


def other(path: str) -> dict[str, Any]:
    """Changes that give a field another value than the chip has."""
    part, name = path.split(".")
    now = getattr(getattr(CHIP, part), name)
    assumed = 170.0 if name.endswith("_db") else 1e-6 if part == "area" or name.endswith("_s") else 1e-3
    found = VALUES.get(path, 2 * now if now else 4096 if name.endswith("bytes") else assumed)
    assert found != now
    return {**WITH.get(path, {}), path: found}


def same(one: ll.Program, two: ll.Program, x: torch.Tensor) -> None:
    """Two programs are the same: target, tables, schedule, energy, outputs."""
    assert one.target == two.target
    assert one.body.plan == two.body.plan
    for name, bank in two.body.banks.items():
        assert one.body.banks[name].spec == bank.spec
        assert one.body.target_for(name) == two.body.target_for(name)
        for column, array in bank.columns.items():
            np.testing.assert_array_equal(one.body.banks[name].columns[column], array)
    assert one.schedule.to_dict() == two.schedule.to_dict()
    assert one.energy.to_dict() == two.energy.to_dict()
    assert torch.equal(one.run(x, seed=3), two.run(x, seed=3))
    assert torch.equal(one.run(x, ideal=True), two.run(x, ideal=True))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return MLP((20, 12, 5)).eval()


@pytest.fixture(scope="module")
def program(model: nn.Module) -> ll.Program:
    return ll.compile(model, torch.rand(2, 20), CHIP)


def test_every_field_of_a_target_is_either_changeable_or_decides_about_tiles() -> None:
    fields = {f"{part}.{name}" for part, names in field_names(ll.Target).items() if part for name in names}
    assert set(CHANGEABLE) | set(DECIDING) == fields
    assert not set(CHANGEABLE) & set(DECIDING)
    for part, spec in {"memory": MemorySpec, "link": LinkSpec, "area": AreaSpec}.items():
        assert {f"{part}.{name}" for name in spec.model_fields} <= set(CHANGEABLE)


@pytest.mark.parametrize("path", CHANGEABLE)
def test_equals_compiling_again(model: nn.Module, program: ll.Program, path: str) -> None:
    changes = other(path)
    again = ll.compile(model, torch.rand(2, 20), CHIP.with_(changes))
    x = torch.rand(3, 20, generator=torch.Generator().manual_seed(0))
    same(what_if(program, changes), again, x)


def test_changes_what_the_chip_computes_and_nothing_of_the_ideal_one(program: ll.Program) -> None:
    x = torch.rand(3, 20)
    changed = what_if(program, {"encoding.dac_bits": 3})
    assert not torch.equal(changed.run(x, seed=3), program.run(x, seed=3))
    assert torch.equal(changed.run(x, ideal=True), program.run(x, ideal=True))


def test_takes_a_target(program: ll.Program) -> None:
    slower = program.target.with_({"timing.window_s": 1e-6})
    assert program.what_if(slower).schedule.makespan_s > program.schedule.makespan_s
    assert program.what_if(slower).energy.to_dict() == what_if(program, {"timing.window_s": 1e-6}).energy.to_dict()
    with pytest.raises(ll.CompileError, match=r"mesh\.ports"):
        what_if(program, program.target.with_({"mesh.ports": 8}))


@pytest.mark.parametrize("dataflow", ["weight", "auto"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_changes_the_plan(model: nn.Module, program: ll.Program, dataflow: Any, objective: Any) -> None:
    again = ll.compile(model, torch.rand(2, 20), CHIP, dataflow=dataflow, objective=objective)
    same(what_if(program, {}, dataflow, objective), again, torch.rand(3, 20))
    assert what_if(again, {"mesh.cores": 1}).body.plan == again.body.plan


def test_refuses_an_unknown_plan(program: ll.Program) -> None:
    with pytest.raises(ll.InputError, match="dataflow"):
        what_if(program, {}, dataflow="sideways")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", DECIDING)
def test_refuses_fields_that_decide_the_compilation(program: ll.Program, path: str) -> None:
    with pytest.raises(ll.CompileError, match=path.replace(".", r"\.")):
        what_if(program, {path: 8})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mesh.core": 4}, r"unknown field \(at mesh.core\). Did you mean cores"),
        ({"mesh": {"core": 4}}, r"unknown field \(at mesh.core\). Did you mean cores"),
        ({"cores": 4}, r"unknown field \(at cores\). Did you mean mesh.cores"),
        ({"mesh.cores": 2, "enegry.memory_j_per_byte": 1.0}, r"Did you mean energy.memory_j_per_byte"),
    ],
)
def test_names_the_field_that_was_meant(program: ll.Program, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ll.TargetError, match=message):
        what_if(program, changes)


def test_takes_nested_changes(program: ll.Program) -> None:
    assert what_if(program, {"mesh": {"cores": 1}}).target == what_if(program, {"mesh.cores": 1}).target


def test_refuses_impossible_values(program: ll.Program) -> None:
    with pytest.raises(ll.TargetError):
        what_if(program, {"encoding.dac_bits": 0})


OVERRIDES = {"layers.1": {"encoding.dac_bits": 4, "mesh.phase_bits": 8}}


@pytest.fixture(scope="module")
def mixed(model: nn.Module) -> ll.Program:
    return ll.compile(model, torch.rand(2, 20), CHIP, overrides=OVERRIDES)


class TestOverrides:
    @pytest.mark.parametrize("path", ["mesh.cores", "detection.adc_bits", "mesh.attenuator_bits", "timing.window_s"])
    def test_fields_that_no_override_sets_change_in_all_layers(
        self, model: nn.Module, mixed: ll.Program, path: str
    ) -> None:
        changes = other(path)
        again = ll.compile(model, torch.rand(2, 20), CHIP.with_(changes), overrides=OVERRIDES)
        same(what_if(mixed, changes), again, torch.rand(3, 20))

    @pytest.mark.parametrize("path", ["encoding.dac_bits", "mesh.phase_bits"])
    def test_fields_of_overrides_are_refused(self, mixed: ll.Program, path: str) -> None:
        with pytest.raises(ll.CompileError, match="Overrides"):
            what_if(mixed, {path: 6})


def test_ranges_of_the_models_quantizers_fit_one_dac() -> None:
    class Fake(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(torch.fake_quantize_per_tensor_affine(x, 0.013, 0, -127, 127))

    static = CHIP.with_({"encoding.scale": "static", "encoding.dac_bits": 8})
    with pytest.warns(UserWarning, match="batch is fixed"):
        program = ll.compile(Fake().eval(), torch.zeros(2, 8), static)
    with pytest.raises(ll.CompileError, match="quantizers"):
        what_if(program, {"encoding.dac_bits": 6})
    cores = what_if(program, {"mesh.cores": 1})
    assert energy(cores.body, cores.schedule).total_j > 0
