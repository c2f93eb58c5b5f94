"""Lasers sized by the link budget: the power follows from what the detectors are asked for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import lightloom as ll
from lightloom.runtime.errors import TargetError
from lightloom.runtime.optics import budget
from lightloom.runtime.optics.detection import noise_coefficients
from lightloom.runtime.targets.faults import at_least
from lightloom.runtime.targets.schema import DetectionSpec
from lightloom.runtime.targets.sizing import FIELD
from lightloom.whatif import what_if

GIVEN = ll.targets.get("mzi16")


def sized(**changes: Any) -> ll.Target:
    """A 16-port chip whose laser is sized for 45 dB, with fields changed."""
    detection = {"laser": "sized", "required_snr_db": 45.0, **changes.pop("detection", {})}
    return GIVEN.with_(detection=detection, **changes)


def test_the_detectors_get_what_they_are_asked_for() -> None:
    target = sized()
    assert budget.snr_db(target) == pytest.approx(45.0, abs=1e-9)
    assert target.detection.launch_power_w == budget.required_launch_w(GIVEN, snr_db=45.0)
    # an independent check: noise rms over full scale, from the coefficients of the noise model
    assert noise_coefficients(target, 16).rms(1.0) == pytest.approx(10 ** (-45 / 20))


@pytest.mark.parametrize(("kind", "magnitude_bits"), [("coherent", 5), ("intensity", 6)])
def test_without_a_ratio_the_noise_is_the_rounding_error_of_the_adc(kind: str, magnitude_bits: int) -> None:
    """A coherent ADC of 6 bits resolves 5 bits and a sign."""
    target = GIVEN.with_(detection={"kind": kind, "laser": "sized", "adc_bits": 6})
    assert noise_coefficients(target, 16).rms(1.0) == pytest.approx(2**-magnitude_bits / math.sqrt(12))


def test_the_ratio_wins_over_the_bits() -> None:
    assert sized(detection={"adc_bits": 12}).detection.launch_power_w == sized().detection.launch_power_w


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"mesh.coupling_loss_db": GIVEN.mesh.coupling_loss_db + 3.0}, 10**0.3),
        ({"mesh.cell_loss_db": GIVEN.mesh.cell_loss_db + 0.1}, 10 ** (2 * 16 * 0.1 / 10)),  # two meshes of 16 cells
        ({"mesh.ports": 32}, 10 ** (2 * 16 * GIVEN.mesh.cell_loss_db / 10)),
    ],
)
def test_a_change_sizes_it_anew(change: dict[str, Any], factor: float) -> None:
    before, after = sized(), sized().with_(change)
    assert after.detection.launch_power_w / before.detection.launch_power_w == pytest.approx(factor)
    assert budget.snr_db(after) == pytest.approx(45.0, abs=1e-9)


def test_half_the_responsivity_takes_more_light() -> None:
    lower = sized().with_({"detection.responsivity_a_per_w": GIVEN.detection.responsivity_a_per_w / 2})
    assert lower.detection.launch_power_w > 2 * sized().detection.launch_power_w


def test_its_source_says_that_it_is_computed() -> None:
    item = sized().provenance[FIELD]
    assert (item.unit, item.kind) == ("W", "assumed")
    assert item.source.startswith("computed: 45 dB of a full-scale signal at its detector, over 4.04 dB of loss")
    bits = GIVEN.with_({"detection.laser": "sized"}).provenance[FIELD].source
    assert "detection.adc_bits = 8" in bits


@settings(deadline=None, max_examples=25)
@given(ratio=st.floats(20.0, 60.0), loss=st.floats(0.0, 12.0), kind=st.sampled_from(["coherent", "intensity"]))
def test_it_survives_toml_and_json(ratio: float, loss: float, kind: str) -> None:
    target = sized(detection={"required_snr_db": ratio, "kind": kind}, mesh={"coupling_loss_db": loss})
    assert ll.targets.parse_target(ll.targets.dump_target(target)) == target
    assert ll.Target.model_validate_json(target.model_dump_json()) == target
    assert ll.Target.model_validate(target) is target


def test_it_is_sized_however_a_target_is_made() -> None:
    parts = {name: getattr(sized(), name) for name in ("mesh", "encoding", "timing", "energy", "memory", "area")}
    detection = GIVEN.detection.model_copy(update={"laser": "sized", "required_snr_db": 45.0})
    made = ll.Target(name="mine", detection=detection, **parts)
    assert made.detection.launch_power_w == sized().detection.launch_power_w
    assert made.provenance[FIELD] == sized().provenance[FIELD]
    assert made.with_({"name": "other"}).detection == made.detection


def test_a_file_need_not_give_the_power() -> None:
    lines = ll.targets.dump_target(sized()).splitlines()
    text = "\n".join(line for line in lines if not line.startswith("launch_power_w"))
    assert ll.targets.parse_target(text) == sized()


def test_a_file_may_not_state_the_power() -> None:
    text = ll.targets.dump_target(GIVEN).replace('laser = "given"', 'laser = "sized"')
    with pytest.raises(TargetError, match=r"computed, not stated \(at detection.launch_power_w\); got 0.001"):
        ll.targets.parse_target(text)


def test_a_change_may_not_state_the_power() -> None:
    said = r"computed, not stated.*got 0.002, computed: .* W.*Leave it out, or set detection.laser to given"
    with pytest.raises(TargetError, match=said):
        sized().with_({FIELD: 2e-3})
    with pytest.raises(TargetError, match=said):
        sized().with_(detection={"launch_power_w": 2e-3})
    assert sized().with_({FIELD: sized().detection.launch_power_w}) == sized()
    assert sized().with_({"detection": DetectionSpec(laser="sized", required_snr_db=40.0)}).detection.laser == "sized"


def test_a_power_that_was_computed_can_be_kept() -> None:
    kept = sized().with_({"detection.laser": "given"})
    assert kept.detection.launch_power_w == sized().detection.launch_power_w
    assert kept.provenance[FIELD].source == "set by Target.with_, kept as it was computed"
    assert sized().with_({"detection.laser": "given", FIELD: 2e-3}).detection.launch_power_w == 2e-3


class TestOutOfReach:
    def test_nothing_asked(self) -> None:
        with pytest.raises(
            TargetError, match=r"nothing is asked \(at detection.laser\).*Give detection.required_snr_db"
        ):
            GIVEN.with_(detection={"laser": "sized", "adc_bits": None})

    def test_intensity_noise(self) -> None:
        """-155 dB/Hz over 0.5 GHz: 68.01 dB, with the signal's shot noise 67.11 dB."""
        with pytest.raises(TargetError) as caught:
            sized(detection={"required_snr_db": 70.0})
        said = str(caught.value)
        assert "intensity noise of the laser (detection.rin_db_per_hz) leaves 67.11 dB at any power" in said
        assert "short by 2.89 dB" in said
        assert "detection.required_snr_db, 70 dB" in said
        # each remedy alone helps: a little more than what is said suffices
        density = float(said.partition("Lower detection.rin_db_per_hz below ")[2].partition(",")[0])
        bandwidth = float(said.partition("lower detection.bandwidth_hz below ")[2].rstrip("."))
        assert sized(detection={"required_snr_db": 70.0, "rin_db_per_hz": density - 0.05})
        assert sized(detection={"required_snr_db": 70.0, "bandwidth_hz": bandwidth * 0.999})
        with pytest.raises(TargetError):
            sized(detection={"required_snr_db": 70.0, "bandwidth_hz": bandwidth * 1.01})

    def test_shot_noise_against_a_weak_local_oscillator(self) -> None:
        dim = {"required_snr_db": 60.0, "local_oscillator_w": 1e-6}
        with pytest.raises(TargetError) as caught:
            sized(detection=dim)
        said = str(caught.value)
        assert "shot noise of the signal against the local oscillator (detection.local_oscillator_w) leaves" in said
        watts = float(said.partition("Raise detection.local_oscillator_w above ")[2].partition(",")[0])
        assert sized(detection={**dim, "local_oscillator_w": watts * 1.01})
        with pytest.raises(TargetError):
            sized(detection={**dim, "local_oscillator_w": watts * 0.99})

    def test_bits_that_no_light_reaches(self) -> None:
        with pytest.raises(TargetError, match=r"the rounding error of detection.adc_bits = 14, 89.06 dB"):
            GIVEN.with_(detection={"laser": "sized", "adc_bits": 14})

    def test_more_than_the_lasers_give(self) -> None:
        needed = sized().detection.launch_power_w
        most = needed / 2
        with pytest.raises(TargetError) as caught:
            sized(detection={"max_launch_w": most})
        said = str(caught.value)
        assert "(at detection.max_launch_w)" in said
        assert f"short by {needed - most:g} W, 3.01 dB" in said
        assert f"Raise detection.max_launch_w to {at_least(needed)}" in said
        reachable = float(said.partition("lower detection.required_snr_db to ")[2].partition(",")[0])
        assert sized(detection={"max_launch_w": most, "required_snr_db": reachable})
        with pytest.raises(TargetError):
            sized(detection={"max_launch_w": most, "required_snr_db": reachable + 0.01})
        assert sized(detection={"max_launch_w": needed}).detection.launch_power_w == needed

    def test_bits_beyond_the_lasers(self) -> None:
        with pytest.raises(TargetError, match=r"set detection.required_snr_db to [\d.]+, less than the ADC resolves"):
            GIVEN.with_(detection={"laser": "sized", "max_launch_w": 1e-6})

    def test_a_given_power_above_the_lasers(self) -> None:
        said = (
            r"0.0009 W or 10.00 dB too much.*at most detection.max_launch_w = 0.0001 W.*[Ll]ower detection.launch_power"
        )
        with pytest.raises(TargetError, match=said):
            GIVEN.with_(detection={"max_launch_w": 1e-4})

    def test_a_given_power_that_the_lasers_could_not_raise_enough(self) -> None:
        detection = {"required_snr_db": 60.0, "launch_power_w": 1e-5, "max_launch_w": 1e-5}
        with pytest.raises(TargetError, match=r"and detection.max_launch_w with it \(11.68 dB above\)"):
            GIVEN.with_(detection=detection)


class TestPrograms:
    MODEL = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))

    def program(self, target: ll.Target, **options: Any) -> ll.Program:
        torch.manual_seed(0)
        return ll.compile(self.MODEL, torch.zeros(4, 16), target, **options)

    def test_prices_and_noise_use_it(self) -> None:
        dim, bright = sized(detection={"required_snr_db": 30.0}), sized(detection={"required_snr_db": 55.0})
        x = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
        wanted = self.MODEL(x).detach()
        errors = [float((self.program(chip).run(x) - wanted).norm()) for chip in (dim, bright)]
        assert errors[0] > 2 * errors[1]
        lasers = [self.program(chip).energy.execution.by_item()["laser"] for chip in (dim, bright)]
        launched = [chip.detection.launch_power_w for chip in (dim, bright)]
        assert lasers[1] / lasers[0] == pytest.approx(launched[1] / launched[0])

    def test_a_layer_that_asks_for_more_gets_more(self) -> None:
        program = self.program(sized(), overrides={"2": {"detection.required_snr_db": 50.0}})
        (layer,) = program.body.layer_targets.values()
        assert layer.detection.launch_power_w == budget.required_launch_w(GIVEN, snr_db=50.0)
        assert program.target.detection.launch_power_w == sized().detection.launch_power_w
        lossy = what_if(program, {"mesh.coupling_loss_db": GIVEN.mesh.coupling_loss_db + 3.0})
        (changed,) = lossy.body.layer_targets.values()
        assert changed.detection.launch_power_w / layer.detection.launch_power_w == pytest.approx(10**0.3)

    def test_a_layer_that_asks_for_too_much_is_named(self) -> None:
        with pytest.raises(TargetError, match=r"overrides\['2'\].*no launch power reaches.*short by 22.89 dB"):
            self.program(sized(), overrides={"2": {"detection.required_snr_db": 90.0}})

    def test_a_changed_chip_is_sized_without_compiling(self) -> None:
        program = self.program(GIVEN)
        changed = what_if(program, GIVEN.with_({"detection.laser": "sized"}))
        assert changed.target.detection.launch_power_w < GIVEN.detection.launch_power_w
        assert changed.energy.run.by_item()["laser"] < program.energy.run.by_item()["laser"]
