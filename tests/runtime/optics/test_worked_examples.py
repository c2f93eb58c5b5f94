"""Known numbers of photonic computing, recomputed through the public functions."""

import math

import numpy as np
import pytest
import torch

from lightloom.runtime.meshes import mesh
from lightloom.runtime.optics.detection import balanced_value, shot_noise_rms_a
from lightloom.runtime.optics.interference import (
    destructive_residual,
    interference_intensity,
    phase_step_rad,
    worst_phase_error_rad,
)
from lightloom.runtime.optics.loss import stack_loss_db, transmission
from lightloom.runtime.optics.quantizers import dequantize_uniform, quantize_uniform
from lightloom.runtime.slicing.reference import propagate


def test_fixed_point_formats():
    assert quantize_uniform(0.73, 127) == 93
    assert dequantize_uniform(93, 127) == pytest.approx(0.7323, abs=5e-5)
    assert quantize_uniform(-0.21, 254) == -53
    assert dequantize_uniform(-53, 254) == pytest.approx(-0.2087, abs=5e-5)


def test_interference_residual():
    assert interference_intensity(1, 0.8, math.pi) == pytest.approx(0.0400, abs=5e-5)
    assert interference_intensity(1, 0.8, math.pi + 0.1) == pytest.approx(0.0480, abs=5e-5)


def test_hadamard_transform_of_two_ports():
    # a cell at theta = pi/2 is j e^{j pi/4} H diag(e^{j phi}, 1); the screen takes the common phase off
    phases = torch.tensor([math.pi / 2, 0.0, -3 * math.pi / 4, -3 * math.pi / 4], dtype=torch.float64)
    fields = torch.tensor([[1, 1], [1, -1]], dtype=torch.complex128)
    out = propagate(mesh("clements", 2), phases, fields)
    root = math.sqrt(2)
    np.testing.assert_allclose(out.numpy(), [[root, 0], [0, root]], atol=1e-12)


def test_detector_units_to_value():
    value = balanced_value(105, 70, offset_plus=2, offset_minus=1, gain=0.5)
    assert value == pytest.approx(68)
    assert (value - 60) / 10 * 1.2 - 0.3 == pytest.approx(0.66)


def test_five_bit_phase_shifter():
    assert phase_step_rad(5) == pytest.approx(math.pi / 16)
    assert worst_phase_error_rad(5) == pytest.approx(0.0982, abs=5e-5)
    # sin^2(eps / 2), not eps^2
    assert destructive_residual(worst_phase_error_rad(5)) == pytest.approx(0.00241, abs=5e-6)


def test_destructive_residual_is_that_of_two_equal_fields():
    error = worst_phase_error_rad(5)
    dark = interference_intensity(1, 1, math.pi + error) / interference_intensity(1, 1, 0)
    assert destructive_residual(error) == pytest.approx(dark)


def test_loss_stack():
    total = stack_loss_db([(6, 1.5), (5, 0.3)])
    assert total == pytest.approx(10.5)
    assert transmission(total) == pytest.approx(0.0891, abs=5e-5)


def test_shot_noise():
    assert shot_noise_rms_a(10e-6, 10e3) == pytest.approx(0.179e-9, abs=5e-13)
    assert shot_noise_rms_a((20 + 1) * 1e-6, 5e3) == pytest.approx(0.183e-9, abs=5e-13)
