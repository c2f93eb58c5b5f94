"""The link budget: the longest path, what a detector gets, and the light that an asked ratio needs."""

from __future__ import annotations

import math

import pytest

from lightloom.runtime import targets
from lightloom.runtime.errors import InputError
from lightloom.runtime.meshes import mesh
from lightloom.runtime.optics import budget
from lightloom.runtime.optics.detection import noise_coefficients
from lightloom.runtime.optics.loss import loss_db


@pytest.mark.parametrize(
    ("topology", "ports", "cells"),
    # a triangle's longest path zigzags through every window; a butterfly's meets one cell a bit
    [("clements", 8, 8), ("clements", 7, 7), ("reck", 8, 13), ("butterfly", 8, 3), ("clements", 1, 0)],
)
def test_longest_path(topology: str, ports: int, cells: int) -> None:
    assert budget.longest_path(mesh(topology, ports)) == cells


def test_longest_path_is_no_longer_than_any_walk() -> None:
    """Against every walk of light through a small mesh, followed cell by cell."""
    small = mesh("reck", 5)

    def walk(port: int, cell: int) -> int:
        for index in range(cell, small.cells):
            pair = (int(small.cell_ports[index]), int(small.cell_lower[index]))
            if port in pair:
                return 1 + max(walk(out, index + 1) for out in pair)
        return 0

    assert budget.longest_path(small) == max(walk(port, 0) for port in range(5))


@pytest.mark.parametrize("detection", ["coherent", "intensity"])
@pytest.mark.parametrize("bits", [3, 6])
def test_the_needed_light_gives_the_asked_noise(detection: str, bits: int) -> None:
    chip = targets.get("mzi16").with_({"detection.kind": detection})
    needed = budget.required_launch_w(chip, bits=bits)
    found = chip.with_({"detection.launch_power_w": needed})
    assert budget.snr_bits(budget.snr_db(found)) == pytest.approx(bits)
    assert noise_coefficients(found, 16).rms(1.0) == pytest.approx(2**-bits / math.sqrt(12))
    ratio = budget.bits_snr_db(bits)
    assert budget.required_launch_w(chip, snr_db=ratio) == pytest.approx(needed)


def test_intensity_noise_sets_a_floor() -> None:
    noisy = targets.get("mzi16").with_({"detection.rin_db_per_hz": -120.0})
    assert budget.required_launch_w(noisy, snr_db=60.0) == math.inf


def test_loss_asks_for_more_light() -> None:
    chip = targets.get("mzi16").with_({"detection.kind": "coherent", "mesh.coupling_loss_db": 0.0})
    lossy = chip.with_({"mesh.coupling_loss_db": loss_db(0.25)})
    ratio = budget.required_launch_w(lossy, bits=6) / budget.required_launch_w(chip, bits=6)
    assert ratio == pytest.approx(4)


def test_one_question_at_a_time() -> None:
    with pytest.raises(InputError, match="what is asked of the light"):
        budget.required_launch_w(targets.get("mzi16"), bits=6, snr_db=40.0)
    with pytest.raises(InputError, match="what is asked of the light"):
        budget.required_launch_w(targets.get("mzi16"))


@pytest.mark.parametrize("kind", ["coherent", "intensity"])
@pytest.mark.parametrize("watts", [1e-9, 3.7e-4, 2.0])
def test_what_is_launched_now_does_not_matter(kind: str, watts: float) -> None:
    """To the last bit: a sized laser that is sized again stays as it is."""
    chip = targets.get("mzi16").with_({"detection.kind": kind})
    needed = budget.required_launch_w(chip, snr_db=47.0)
    assert budget.required_launch_w(chip.with_({"detection.launch_power_w": watts}), snr_db=47.0) == needed


@pytest.mark.parametrize("kind", ["coherent", "intensity"])
@pytest.mark.parametrize("local_oscillator_w", [1e-7, 1e-3])
def test_the_floor_is_what_a_blinding_laser_leaves(kind: str, local_oscillator_w: float) -> None:
    detection = {"kind": kind, "local_oscillator_w": local_oscillator_w}
    chip = targets.get("mzi16").with_(detection=detection)
    floor = budget.noise_floor(chip)
    assert budget.snr_db(chip.with_({"detection.launch_power_w": 1e12})) == pytest.approx(floor.snr_db, abs=1e-3)
    assert budget.required_launch_w(chip, snr_db=floor.snr_db - 0.01) < math.inf
    assert budget.required_launch_w(chip, snr_db=floor.snr_db + 0.01) == math.inf
    assert (floor.shot == 0) == (kind == "intensity")


def test_without_such_noise_there_is_no_floor() -> None:
    assert budget.NoiseFloor(0.0, 0.0).snr_db == math.inf


@pytest.mark.parametrize(("kind", "bits"), [("coherent", 7), ("intensity", 8)])
def test_what_an_adc_resolves(kind: str, bits: int) -> None:
    """A coherent ADC of 8 bits tells 127 steps to each side of zero, an intensity ADC 255."""
    chip = targets.get("mzi16").with_(detection={"kind": kind, "adc_bits": 8})
    assert budget.adc_snr_db(chip) == budget.bits_snr_db(bits)
    assert budget.asked_snr_db(chip) == budget.adc_snr_db(chip)
    assert budget.asked_snr_db(chip.with_({"detection.required_snr_db": 30.0})) == 30.0
    assert budget.asked_snr_db(chip.with_({"detection.adc_bits": None})) is None


def test_the_loss_of_the_longest_path() -> None:
    chip = targets.get("mzi16")
    wanted = chip.mesh.coupling_loss_db + 2 * 16 * chip.mesh.cell_loss_db
    assert budget.longest_path_loss_db(chip) == pytest.approx(wanted)
    assert budget.link_budget(chip).path_loss_db == budget.longest_path_loss_db(chip)
