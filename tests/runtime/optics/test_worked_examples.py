"""Known numbers of photonic computing, recomputed through the public functions."""

import math

import numpy as np
import pytest
import torch

from lightloom.runtime.meshes import mesh
from lightloom.runtime.optics.detection import balanced_value, shot_noise_rms_a
from lightloom.runtime.optics.loss import stack_loss_db, transmission
from lightloom.runtime.optics.quantizers import dequantize_uniform, quantize_uniform
from lightloom.runtime.slicing.reference import propagate


def test_fixed_point_formats():
    assert quantize_uniform(0.73, 127) == 93
    assert dequantize_uniform(93, 127) == pytest.approx(0.7323, abs=5e-5)
    assert quantize_uniform(-0.21, 254) == -53
    assert dequantize_uniform(-53, 254) == pytest.approx(-0.2087, abs=5e-5)


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


def test_loss_stack():
    total = stack_loss_db([(6, 1.5), (5, 0.3)])
    assert total == pytest.approx(10.5)
    assert transmission(total) == pytest.approx(0.0891, abs=5e-5)


def test_shot_noise():
    assert shot_noise_rms_a(10e-6, 10e3) == pytest.approx(0.179e-9, abs=5e-13)
    assert shot_noise_rms_a((20 + 1) * 1e-6, 5e3) == pytest.approx(0.183e-9, abs=5e-13)


def test_half_a_step_of_a_five_bit_shifter_leaves_light_in_a_dark_port():
    """sin^2(error / 2) of the light, not error^2: 0.00241 for half of 2 pi / 32."""
    error = 2 * math.pi / 2**5 / 2
    phases = torch.tensor([math.pi + error, 0.0, 0.0, 0.0], dtype=torch.float64)
    power = propagate(mesh("clements", 2), phases, torch.tensor([[1, 0]], dtype=torch.complex128)).abs() ** 2
    assert float(power.sum()) == pytest.approx(1)
    assert float(power.min()) == pytest.approx(0.00241, abs=5e-6)
