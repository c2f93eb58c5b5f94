"""Targets that cannot meet what they ask: which constraint, by how much, which field to change."""

from __future__ import annotations

from typing import Any

import pytest

from lightloom.runtime import targets
from lightloom.runtime.converters import adc_sample_j, dac_sample_j
from lightloom.runtime.counts import Counts
from lightloom.runtime.energy import price
from lightloom.runtime.errors import TargetError
from lightloom.runtime.latency import detection_window_s, spare_s, vectors_per_s
from lightloom.runtime.optics.budget import required_launch_w, snr_db


def chip(**changes: Any) -> targets.Target:
    return targets.get("mzi16").with_(changes)


class TestConverters:
    def test_walden(self) -> None:
        found = chip(energy={"dac_j_per_sample": None, "dac_j_per_step": 14e-15}, encoding={"dac_bits": 8})
        assert dac_sample_j(found) == pytest.approx(14e-15 * 256)
        items = price(found, Counts(dac_samples=10))
        assert items["dac"] == pytest.approx(10 * 14e-15 * 256)
        assert dac_sample_j(found.with_({"encoding.dac_bits": 9})) == pytest.approx(2 * dac_sample_j(found))

    def test_schreier(self) -> None:
        found = chip(energy={"adc_j_per_sample": None, "adc_schreier_db": 160.0}, detection={"adc_bits": 8})
        # 49.92 dB less 160 dB: 9.82e-12 J for a hertz of bandwidth, which takes two samples a second
        assert adc_sample_j(found) == pytest.approx(4.91e-12, rel=1e-3)
        assert price(found, Counts(adc_samples=1))["adc"] == adc_sample_j(found)

    def test_stated(self) -> None:
        assert adc_sample_j(chip()) == chip().energy.adc_j_per_sample

    @pytest.mark.parametrize(
        ("energy", "said"),
        [
            ({"dac_j_per_step": 1e-15}, "Drop the others"),
            ({"adc_j_per_sample": None}, "got none"),
            ({"adc_j_per_step": 1e-15, "adc_schreier_db": 160.0}, "adc_j_per_sample, adc_j_per_step, adc_schreier_db"),
        ],
    )
    def test_one_figure_each(self, energy: dict[str, float | None], said: str) -> None:
        with pytest.raises(TargetError, match=said):
            chip(energy=energy)

    def test_a_figure_of_merit_needs_bits(self) -> None:
        with pytest.raises(TargetError, match=r"a figure of merit needs a resolution.*detection.adc_bits"):
            chip(energy={"adc_j_per_sample": None, "adc_j_per_step": 1e-15}, detection={"adc_bits": None})


class TestTiming:
    def test_what_fits(self) -> None:
        found = chip(timing={"window_s": 10e-9, "encode_s": 3e-9, "detector_margin_s": 1e-9, "integrate_s": 6e-9})
        assert spare_s(found) == pytest.approx(0, abs=1e-18)
        opens, closes = detection_window_s(found)
        assert opens == pytest.approx(found.timing.reconfigure_s + 4e-9)
        assert closes - opens == pytest.approx(6e-9)

    def test_a_window_shorter_than_its_settling(self) -> None:
        said = r"short by 2e-09 s.*at least 1.2e-08 s.*Raise timing.window_s to 1.2e-08"
        with pytest.raises(TargetError, match=said):
            chip(timing={"window_s": 10e-9, "encode_s": 12e-9})
        with pytest.raises(TargetError, match="short by 5e-09 s"):
            chip(timing={"window_s": 10e-9, "encode_s": 8e-9, "integrate_s": 7e-9})

    def test_settling_that_leaves_nothing_to_detect(self) -> None:
        with pytest.raises(TargetError, match="the window is too short"):
            chip(timing={"window_s": 10e-9, "encode_s": 10e-9})

    def test_a_margin_below_the_skew(self) -> None:
        with pytest.raises(TargetError, match=r"short by 1e-10 s.*Raise timing.detector_margin_s to 2e-10"):
            chip(timing={"detector_skew_s": 2e-10, "detector_margin_s": 1e-10})

    def test_slow_control(self) -> None:
        with pytest.raises(TargetError, match=r"cannot start shots this fast.*Raise timing.window_s to 5e-06"):
            chip(timing={"control_rate_hz": 200e3})

    def test_a_missed_throughput(self) -> None:
        found = chip(timing={"required_vectors_per_s": 1e9})
        assert vectors_per_s(found) == pytest.approx(1e9)
        with pytest.raises(TargetError, match=r"short by 5e\+08.*Lower timing.window_s to 5e-10 or send one shot"):
            found.with_({"encoding.sign": "differential_two_shot"})


class TestLight:
    def test_a_ratio_within_reach(self) -> None:
        assert chip(detection={"required_snr_db": snr_db(chip())}).detection.required_snr_db

    def test_a_ratio_out_of_reach(self) -> None:
        asked = snr_db(chip()) + 1
        watts = required_launch_w(chip(), snr_db=asked)
        said = rf"short by 1.00 dB.*Raise detection.launch_power_w to {watts:g}"
        with pytest.raises(TargetError, match=said):
            chip(detection={"required_snr_db": asked})
        assert chip(detection={"required_snr_db": asked, "launch_power_w": watts})

    def test_a_ratio_that_no_light_reaches(self) -> None:
        with pytest.raises(TargetError, match="no launch power reaches it"):
            chip(detection={"required_snr_db": 90.0})


def test_all_broken_constraints_are_told_at_once() -> None:
    with pytest.raises(TargetError) as caught:
        chip(timing={"encode_s": 1.0, "control_rate_hz": 1.0}, detection={"required_snr_db": 200.0})
    for said in ("too short", "start shots this fast", "signal-to-noise ratio"):
        assert said in str(caught.value)


def test_unset_fields_are_no_numbers() -> None:
    """A target that states none of this says nothing about it, in TOML neither."""
    text = targets.dump_target(targets.get("mzi64"))
    for name in ("encode_s", "j_per_step", "required", "schreier", "control_rate"):
        assert name not in text
