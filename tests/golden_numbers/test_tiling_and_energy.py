"""Worked examples of photonic matrix computing: tiling, link budgets, energy.

Inputs and right values from the book "Photonic Matrix Computing" (section numbers in the names); where its
own arithmetic slips, the right value is ours and the slip is named.
"""

import pytest

from lightloom.runtime import targets
from lightloom.runtime.optics.budget import ErrorBudget, detected_power_w, launch_power_w, optical_energy_j
from lightloom.runtime.optics.detection import photocurrent_a, shot_noise_rms_a
from lightloom.runtime.pricing.counts import run_counts, settings_per_tile, tile_sizes
from lightloom.runtime.pricing.energy import energy
from lightloom.runtime.program import BankSpec
from lightloom.runtime.scheduling.dealing import deal

from ..runtime.bodies import bank, layer


def chip(ports, **changes):
    """A chip that costs nothing but what an example states: one rail, intensity detection."""
    free = {
        "phase_shifter_hold_w": 0.0,
        "reconfigure_j_per_phase": 0.0,
        "dac_j_per_sample": 0.0,
        "modulator_j_per_sample": 0.0,
        "detector_j_per_sample": 0.0,
        "adc_j_per_sample": 0.0,
        "memory_j_per_byte": 0.0,
        "host_j_per_mac": 0.0,
        "host_j_per_op": 0.0,
        "laser_wall_plug_efficiency": 1.0,
    }
    target = targets.get("ideal").with_(
        mesh={"ports": ports}, encoding={"sign": "offset"}, detection={"kind": "intensity"}, energy=free
    )
    return target.with_(changes)


def settings(ports):
    return settings_per_tile(chip(ports).mesh)


def spec(rows, cols, ports):
    return bank("w", chip(ports), rows, cols).spec


def test_4_4_tiling_on_a_3_by_4_mesh():
    assert tile_sizes(6, 3) == (3, 3)
    assert tile_sizes(10, 4) == (4, 4, 2)
    assert len(tile_sizes(5, 2)) == 3
    assert spec(6, 10, 3).grid_rows == 2
    assert spec(6, 10, 4).grid_cols == 3


def test_7_1_energy_per_multiply_accumulate():
    """20 mW for 10 ns through a 64x64 tile, 0.5 uJ to control, 0.2 uJ to detect."""
    target = chip(
        64,
        **{
            "timing.window_s": 10e-9,
            "detection.launch_power_w": 20e-3 / 64,
            "energy.reconfigure_j_per_phase": 0.5e-6 / settings(64),
            "energy.detector_j_per_sample": 0.2e-6 / 64,
        },
    )
    body = layer(target, 64, 64)
    found = energy(body, deal(body, 1))
    assert found.run.by_part()["optical"] == pytest.approx(0.2e-9)
    assert found.amortised_per_mac_j == pytest.approx(170.9e-12, rel=5e-4)


def test_7_2_launch_power():
    assert launch_power_w(200e-6, 0.4, 0.75) == pytest.approx(667e-6, rel=1e-3)


def test_7_5_a_64_by_256_layer_in_one_shot():
    """The book prints 1.28 uJ of light and 4.608 uJ in all, and 0.23 uA of shot noise: slips."""
    target = chip(
        256,
        **{
            "timing.window_s": 10e-9,
            "detection.launch_power_w": 0.5e-3,
            "energy.reconfigure_j_per_phase": 4096 * 0.5e-9 / settings(256),
            "energy.adc_j_per_sample": 20e-9,
        },
    )
    body = layer(target, 64, 256)
    schedule = deal(body, 1)
    parts = energy(body, schedule).amortised.by_part()
    assert run_counts(body, schedule).shots == 1
    assert parts["optical"] == pytest.approx(1.28e-9)
    assert parts["control"] == pytest.approx(2.048e-6)
    assert parts["conversion"] == pytest.approx(1.28e-6)
    assert energy(body, schedule).amortised_j == pytest.approx(3.329e-6, rel=1e-4)

    detected = detected_power_w(256 * 0.5e-3, 0.1, outputs=64)
    current = photocurrent_a(detected, 0.8)
    assert detected == pytest.approx(0.2e-3)
    assert current == pytest.approx(0.16e-3)
    assert shot_noise_rms_a(current, 1 / 10e-9) == pytest.approx(71.6e-9, rel=1e-3)


def test_9_1_a_dense_layer_on_256_by_1024_tiles():
    over_outputs, over_inputs = tile_sizes(1024, 256), tile_sizes(4096, 1024)
    assert (len(over_outputs), len(over_inputs)) == (4, 4)
    assert spec(1024, 4096, 256).grid_rows == 4
    assert spec(1024, 4096, 1024).grid_cols == 4


def test_11_5_an_energy_measurement():
    """2 mW and 0.5 W of drivers for 1 us; 1 W for 10 s of calibration over 1000 inferences."""
    vectors = 64
    target = chip(
        64,
        **{
            "timing.window_s": 1e-6 / vectors,
            "timing.pipeline_latency_s": 0.0,
            "timing.reconfigure_s": 0.0,
            "detection.launch_power_w": 2e-3 / 64,
            "energy.phase_shifter_hold_w": 0.5 / settings(64),
        },
    )
    body = layer(target, 64, 64, vectors=vectors)
    found = energy(body, deal(body, 1), reuse=1000, calibration_j=1.0 * 10)
    items = found.amortised.by_item()
    assert found.makespan_s == pytest.approx(1e-6)
    assert items["laser"] == pytest.approx(2e-9)
    assert items["laser"] == pytest.approx(optical_energy_j(2e-3, 1e-6))
    assert items["hold"] == pytest.approx(500e-9)
    assert items["calibration"] == pytest.approx(10e-3)
    assert found.macs == 262_144


def test_12_1_launches_of_a_50_by_34_layer():
    target = chip(16)
    body = layer(target, 50, 34)
    places = body.banks["w"].spec
    assert (places.grid_rows, places.grid_cols) == (4, 3)
    assert run_counts(body, deal(body, 1)).shots == 12
    assert (tile_sizes(50, 16)[-1], tile_sizes(34, 16)[-1]) == (2, 2)


def test_12_5_co_design_of_a_256_by_256_layer():
    """1 mW of light a block at 50 % efficiency for 10 ns, and 0.5 nJ of overhead in all."""
    blocks = BankSpec("w", "clements", 16, 1, 256, 256, 256).grid_tiles
    target = chip(
        16,
        **{
            "timing.window_s": 10e-9,
            "detection.launch_power_w": 1e-3 / 16,
            "energy.laser_wall_plug_efficiency": 0.5,
            "energy.detector_j_per_sample": 0.5e-9 / (blocks * 16),
        },
    )
    body = layer(target, 256, 256)
    found = energy(body, deal(body, 1))
    assert blocks == 256
    assert found.run.by_part()["optical"] == pytest.approx(5.12e-9)
    assert found.total_j == pytest.approx(5.62e-9)
    errors = ErrorBudget(1e-3, {"phase": 3.6e-4, "loss": 3.9e-4, "readout": 2.0e-4})
    assert errors.total == pytest.approx(9.5e-4)
    assert errors.met
    assert not ErrorBudget(9e-4, errors.terms).met
