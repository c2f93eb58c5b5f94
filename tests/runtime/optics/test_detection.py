"""Detector physics: noise terms, their sum, and the way to numbers."""

import math

import pytest

from lightloom.runtime.errors import TargetError
from lightloom.runtime.optics import detection as d
from lightloom.runtime.optics.loss import loss_db, path_loss_db, transmission

from ..bankloop.toy import make_target


def quiet(**detection):
    return make_target(8, mesh_={"cell_loss_db": 0.1, "coupling_loss_db": 2.0}, detection=detection)


def test_photocurrent_and_noise_terms():
    assert d.photocurrent_a(2e-3, 0.8, 1e-9) == pytest.approx(1.600001e-3)
    assert d.thermal_noise_rms_a(2e-12, 1e10) == pytest.approx(2e-7)
    assert d.rin_rms_a(-1e-3, -150, 1e9) == pytest.approx(1e-3 * math.sqrt(1e-15 * 1e9))
    assert d.total_noise_rms_a(3e-9, 4e-9, 12e-9) == pytest.approx(13e-9)


def test_path_loss_counts_two_meshes():
    assert path_loss_db(quiet(), depth=8) == pytest.approx(2.0 + 16 * 0.1)


def test_decibels_round_trip():
    assert loss_db(transmission(3.2)) == pytest.approx(3.2)
    with pytest.raises(ValueError, match="fraction"):
        loss_db(0.0)


def test_coherent_noise_is_the_sum_of_its_terms():
    target = quiet(
        noise=True,
        responsivity_a_per_w=0.9,
        dark_current_a=1e-8,
        thermal_noise_a_per_rthz=5e-12,
        rin_db_per_hz=-150,
        bandwidth_hz=5e9,
        local_oscillator_w=2e-3,
        launch_power_w=1e-3,
    )
    found = d.noise_coefficients(target, depth=8)
    power = 1e-3 * transmission(path_loss_db(target, 8))
    full = 2 * 0.9 * math.sqrt(2e-3 * power)
    assert found.full_scale_a == pytest.approx(full)
    y = 0.3
    shot = d.shot_noise_rms_a(0.9 * (2e-3 + power * y * y) + 2e-8, 5e9)
    thermal = d.thermal_noise_rms_a(5e-12, 5e9)
    rin = d.rin_rms_a(full * y, -150, 5e9)
    assert found.rms(y) == pytest.approx(d.total_noise_rms_a(shot, thermal, rin) / full)
    assert found.rms(-y) == found.rms(y)


def test_intensity_noise_is_the_sum_of_its_terms():
    target = quiet(
        kind="intensity", noise=True, dark_current_a=1e-8, thermal_noise_a_per_rthz=5e-12, rin_db_per_hz=-140
    )
    found = d.noise_coefficients(target, depth=8)
    full = 1e-3 * transmission(path_loss_db(target, 8))
    z = 0.6
    terms = (
        d.shot_noise_rms_a(full * z + 1e-8, 1e9),
        d.thermal_noise_rms_a(5e-12, 1e9),
        d.rin_rms_a(full * z, -140, 1e9),
    )
    assert found.rms(z) == pytest.approx(d.total_noise_rms_a(*terms) / full)


def test_more_loss_makes_more_noise():
    target = quiet(noise=True, thermal_noise_a_per_rthz=1e-11)
    assert d.noise_coefficients(target, 64).rms(0.5) > d.noise_coefficients(target, 8).rms(0.5)


@pytest.mark.parametrize("kind", ["coherent", "intensity"])
@pytest.mark.parametrize("changes", [{"launch_power_w": 1e-300}, {"responsivity_a_per_w": 1e-200}], ids=str)
def test_light_too_faint_for_numbers_is_refused(kind, changes):
    with pytest.raises(TargetError, match="no light that could be measured"):
        d.noise_coefficients(quiet(kind=kind, **changes), 8)
