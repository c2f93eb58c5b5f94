"""Targets that cannot meet what they ask: which constraint, by how much, which field to change."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime import targets
from lightloom.runtime.errors import TargetError
from lightloom.runtime.optics.budget import required_launch_w, snr_db
from lightloom.runtime.pricing.converters import adc_sample_j, dac_sample_j
from lightloom.runtime.pricing.counts import Counts
from lightloom.runtime.pricing.energy import price
from lightloom.runtime.scheduling.latency import detection_window_s, spare_s, vectors_per_s
from lightloom.runtime.targets.faults import at_least


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
        said = r"short by 2e-09 s.*more than 1.2e-08 s.*Raise timing.window_s above 1.2e-08"
        with pytest.raises(TargetError, match=said):
            chip(timing={"window_s": 10e-9, "encode_s": 12e-9})
        with pytest.raises(
            TargetError, match=r"short by 5e-09 s.*at least 1.5e-08 s.*Raise timing.window_s to 1.5e-08"
        ):
            chip(timing={"window_s": 10e-9, "encode_s": 8e-9, "integrate_s": 7e-9})

    def test_settling_that_leaves_nothing_to_detect(self) -> None:
        with pytest.raises(TargetError, match=r"nothing of it is left to detect in.*more than 1e-08 s.*above 1e-08"):
            chip(timing={"window_s": 10e-9, "encode_s": 10e-9})
        assert chip(timing={"window_s": 10e-9, "encode_s": 9.9e-9})

    def test_a_margin_below_the_skew(self) -> None:
        with pytest.raises(TargetError, match=r"short by 1e-10 s.*Raise timing.detector_margin_s to 2e-10"):
            chip(timing={"detector_skew_s": 2e-10, "detector_margin_s": 1e-10})

    def test_slow_control(self) -> None:
        with pytest.raises(TargetError, match=r"cannot start shots this fast.*Raise timing.window_s to 5e-06"):
            chip(timing={"control_rate_hz": 200e3})

    def test_a_missed_throughput(self) -> None:
        found = chip(timing={"required_vectors_per_s": 1e9})
        assert vectors_per_s(found) == pytest.approx(1e9)
        with pytest.raises(
            TargetError, match=r"short by 5e\+08.*Lower timing.window_s to 5e-10, raise encoding.lanes to 2 or send one"
        ):
            found.with_({"encoding.sign": "differential_two_shot"})

    def test_an_update_longer_than_a_configuration(self) -> None:
        slow = chip().timing.reconfigure_s + 2e-6
        said = rf"\(at timing.update_s\); got {slow:g} s, 2e-06 s too long.*Lower timing.update_s to 1.02e-05"
        with pytest.raises(TargetError, match=said):
            chip(timing={"update_s": slow})
        assert chip(timing={"update_s": chip().timing.reconfigure_s})

    @pytest.mark.parametrize(
        ("field", "name", "others"),
        [
            ("encoding.dac_rate_hz", "DACs", "detection.adc_rate_hz"),
            ("detection.adc_rate_hz", "ADCs", "encoding.dac_rate_hz"),
        ],
    )
    def test_slow_converters(self, field: str, name: str, others: str) -> None:
        free = chip().with_({others: None})
        assert free.with_({field: 1e9, "encoding.lanes": 4})  # every lane has its own
        said = rf"the {name} cannot convert.*short by 1e-09 s.*at least 2e-09 s.*window_s to 2e-09 or {field} to 1e\+09"
        with pytest.raises(TargetError, match=said):
            free.with_({field: 5e8})

    def test_control_starts_every_lane(self) -> None:
        """Four lanes of a window of 1 ns are 4 G shots a second."""
        lanes = {"encoding": {"lanes": 4}}
        assert chip(timing={"control_rate_hz": 4e9}, **lanes)
        said = r"short by 1e-09 s.*2e-09 s, 4 lanes' shots.*control_rate_hz to 4e\+09, or lower encoding.lanes from 4"
        with pytest.raises(TargetError, match=said):
            chip(timing={"control_rate_hz": 2e9}, **lanes)
        assert chip(timing={"control_rate_hz": 2e9, "window_s": 2e-9}, **lanes)

    def test_lanes_raise_the_throughput(self) -> None:
        asked = {"timing": {"required_vectors_per_s": 3e9}}
        with pytest.raises(
            TargetError, match=r"got 2e\+09 vectors/s with 1 shots a vector on 2 lanes, short by 1e\+09"
        ):
            chip(encoding={"lanes": 2}, **asked)
        with pytest.raises(TargetError, match=r"raise encoding.lanes to 3"):
            chip(encoding={"lanes": 2}, **asked)
        found = chip(encoding={"lanes": 3}, **asked)
        assert vectors_per_s(found) == pytest.approx(3e9)

    def test_lanes_do_not_shorten_settling(self) -> None:
        with pytest.raises(TargetError, match="the window is too short"):
            chip(timing={"window_s": 10e-9, "encode_s": 12e-9}, encoding={"lanes": 8})


class TestMemories:
    """A 16-port tile has 2 x 256 phases of 12 bits and 16 attenuators: 528 settings of 2 bytes."""

    @pytest.mark.parametrize(
        ("field", "needed", "why"),
        [
            ("sram_bytes", 1056, "528 settings of 2 bytes"),
            ("accumulator_bytes", 64, "16 ports of 4 bytes"),
            ("input_buffer_bytes", 16, "16 ports of 1 bytes"),
        ],
    )
    def test_a_memory_too_small(self, field: str, needed: int, why: str) -> None:
        assert getattr(chip(memory={field: needed}).memory, field) == needed
        said = rf"\(at memory.{field}\); got {needed - 7} bytes, short by 7 bytes.*at least {needed} bytes = {why}"
        with pytest.raises(TargetError, match=said):
            chip(memory={field: needed - 7})

    def test_widths_count(self) -> None:
        with pytest.raises(TargetError, match=r"input_buffer_bytes\).*at least 64 bytes = 16 ports of 4 bytes"):
            chip(memory={"input_buffer_bytes": 32}, encoding={"dac_bits": None})
        with pytest.raises(TargetError, match=r"sram_bytes\).*at least 528 bytes"):
            chip(memory={"sram_bytes": 500}, mesh={"phase_bits": 8})

    def test_a_memory_that_is_slow_is_allowed(self) -> None:
        """It makes schedules longer; no constraint is broken."""
        assert chip(memory={"sram_bytes_per_s": 1.0, "dram_bytes_per_s": 1.0})

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("memory.sram_bytes_per_s", 0.0),
            ("memory.dram_bytes_per_s", -1.0),
            ("memory.sram_bytes", 0),
            ("memory.dram_j_per_byte", -1e-12),
            ("link.bytes_per_s", 0.0),
            ("link.latency_s", -1e-6),
            ("link.j_per_byte", float("inf")),
            ("area.cell_m2", -1.0),
            ("encoding.lanes", 0),
            ("timing.update_s", -1.0),
            ("energy.control_w", -1.0),
        ],
    )
    def test_impossible_values(self, path: str, value: float) -> None:
        with pytest.raises(TargetError, match=rf"impossible value \(at {path}\); got .*allowed: "):
            chip().with_({path: value})


class TestLight:
    def test_a_ratio_within_reach(self) -> None:
        assert chip(detection={"required_snr_db": snr_db(chip())}).detection.required_snr_db

    def test_a_ratio_out_of_reach(self) -> None:
        asked = snr_db(chip()) + 1
        watts = required_launch_w(chip(), snr_db=asked)
        said = rf"short by 1.00 dB.*Raise detection.launch_power_w to {at_least(watts)}"
        with pytest.raises(TargetError, match=said):
            chip(detection={"required_snr_db": asked})
        assert chip(detection={"required_snr_db": asked, "launch_power_w": watts})

    def test_a_ratio_that_no_light_reaches(self) -> None:
        with pytest.raises(TargetError, match=r"no launch power reaches.*short by 22.89 dB"):
            chip(detection={"required_snr_db": 90.0})


def test_all_broken_constraints_are_told_at_once() -> None:
    with pytest.raises(TargetError) as caught:
        chip(timing={"encode_s": 1.0, "control_rate_hz": 1.0}, detection={"required_snr_db": 200.0})
    for said in ("too short", "start shots this fast", "signal-to-noise ratio"):
        assert said in str(caught.value)


AWKWARD = st.floats(1.0, 10.0).map(lambda value: value / 3)
"""Factors whose products need more digits than a message has."""


@settings(deadline=None, max_examples=40)
@given(
    field=st.sampled_from(
        [
            "timing.encode_s",
            "timing.integrate_s",
            "timing.detector_skew_s",
            "timing.update_s",
            "timing.control_rate_hz",
            "encoding.dac_rate_hz",
            "detection.adc_rate_hz",
            "timing.required_vectors_per_s",
            "detection.required_snr_db",
            "detection.max_launch_w",
            "memory.sram_bytes",
            "memory.accumulator_bytes",
            "memory.input_buffer_bytes",
        ]
    ),
    factor=AWKWARD,
)
def test_the_first_thing_to_change_helps(field: str, factor: float) -> None:
    """A chip that breaks one constraint is taken once the field is set to what the message says."""
    broken: dict[str, float] = {
        "timing.encode_s": 4e-9 * factor,
        "timing.integrate_s": 4e-9 * factor,
        "timing.detector_skew_s": 1e-10 * factor,
        "timing.update_s": 31e-6 * factor,
        "timing.control_rate_hz": 1e8 * factor,
        "encoding.dac_rate_hz": 1e8 * factor,
        "detection.adc_rate_hz": 1e8 * factor,
        "timing.required_vectors_per_s": 4e9 * factor,
        "detection.required_snr_db": 65.0 + factor / 2,
        "detection.max_launch_w": 2e-4 * factor,
        "memory.sram_bytes": int(300 * factor),
        "memory.accumulator_bytes": int(19 * factor),
        "memory.input_buffer_bytes": int(4 * factor),
    }
    change: dict[str, Any] = {field: broken[field], "encoding.dac_rate_hz": None, "detection.adc_rate_hz": None}
    change[field] = broken[field]
    with pytest.raises(TargetError) as caught:
        chip().with_(change)
    found = re.search(r"(?:Raise|Lower) ([\w.]+) (to|above) ([\d.e+-]+\d)", str(caught.value))
    assert found is not None, str(caught.value)
    value = float(found[3]) * (1 + 1e-6 * (found[2] == "above"))
    change[found[1]] = int(value) if found[1].endswith("_bytes") else value
    assert chip().with_(change)


def test_unset_fields_are_no_numbers() -> None:
    """A target that states none of this says nothing about it, in TOML neither."""
    text = targets.dump_target(targets.get("mzi64"))
    for name in ("encode_s", "j_per_step", "required", "schreier", "control_rate"):
        assert name not in text
