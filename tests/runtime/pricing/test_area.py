"""Areas: numbers of parts times footprints, and the rates set against them."""

from __future__ import annotations

import json

import pytest

from lightloom.runtime import targets
from lightloom.runtime.pricing.area import area
from lightloom.runtime.pricing.energy import peak_power
from lightloom.runtime.scheduling.latency import peak_ops_per_s

EACH = {
    "cell_m2": 1e-8,
    "attenuator_m2": 2e-9,
    "modulator_m2": 3e-9,
    "detector_m2": 4e-10,
    "laser_m2": 5e-7,
    "dac_m2": 6e-10,
    "adc_m2": 7e-10,
    "driver_m2": 8e-11,
    "memory_m2_per_byte": 9e-13,
}
NO_MEMORY = {"sram_bytes": None, "input_buffer_bytes": None, "accumulator_bytes": None}
MZI16 = targets.get("mzi16").with_(area=dict.fromkeys(EACH), memory=NO_MEMORY)


def test_every_part_is_counted_by_hand() -> None:
    """3 cores of 8 ports, 2 buffers, 4 lanes, 2 rails at once: 28 cells a mesh."""
    target = MZI16.with_(
        mesh={"ports": 8, "cores": 3, "buffers": 2},
        encoding={"lanes": 4},
        memory={"sram_bytes": 1000, "input_buffer_bytes": 10, "accumulator_bytes": 40},
        area=EACH,
    )
    found = area(target)
    numbers = {part.name: part.number for part in found.parts}
    fields = 3 * 4 * 8 * 2
    assert numbers == {
        "cells": 3 * 2 * 28,
        "attenuators": 3 * 8,
        "modulators": fields,
        "detectors": fields,
        "lasers": 3 * 4,
        "DACs": fields,
        "ADCs": fields,
        "drivers": 3 * 2 * (2 * 64 + 8),
        "memory bytes": 1000 + 3 * 50,
    }
    light = 168 * 1e-8 + 24 * 2e-9 + 192 * 3e-9 + 192 * 4e-10 + 12 * 5e-7
    rest = 192 * 6e-10 + 192 * 7e-10 + 816 * 8e-11 + 1150 * 9e-13
    assert found.photonic_m2 == pytest.approx(light)
    assert found.electronic_m2 == pytest.approx(rest)
    assert found.total_m2 == pytest.approx(light + rest)
    assert found.not_counted == ()


def test_rails_one_after_the_other_share_their_modulators() -> None:
    one, two = (
        {part.name: part.number for part in area(MZI16.with_({"encoding.sign": sign})).parts}
        for sign in ("differential", "differential_two_shot")
    )
    assert one["modulators"] == 2 * two["modulators"]
    assert one["cells"] == two["cells"]


def test_rates_are_those_of_the_peak() -> None:
    target = MZI16.with_(area={"cell_m2": 1e-8})
    found = area(target)
    assert found.ops_per_s == peak_ops_per_s(target)
    assert found.ops_per_j == pytest.approx(found.ops_per_s / peak_power(target).total_w)
    assert found.ops_per_s_m2 == pytest.approx(2.048e12 / (960 * 1e-8))
    assert "0.2133 TOPS/mm²" in str(found)


def test_what_has_no_footprint_is_said() -> None:
    found = area(MZI16.with_(area={"cell_m2": 1e-8, "adc_m2": 0.0}))
    assert found.not_counted == ("attenuators", "modulators", "detectors", "lasers", "DACs", "drivers")
    assert f"not counted, having no footprint: {', '.join(found.not_counted)}" in str(found)
    data = json.loads(json.dumps(found.to_dict()))
    assert data["total_m2"] == pytest.approx(9.6e-6)
    assert data["not_counted"] == list(found.not_counted)


def test_a_chip_without_footprints_has_no_density() -> None:
    found = area(MZI16)
    assert found.total_m2 == found.ops_per_s_m2 == 0
    assert "TOPS/mm²" not in str(found)
