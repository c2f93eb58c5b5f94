"""Ranges from data: what was seen times the margin, per tile column and port, and clear refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import lightloom as ll
from lightloom.runtime.banks import effective_matrices
from lightloom.runtime.calibrate import MARGIN, calibrate
from lightloom.runtime.errors import InputError, LightloomWarning
from lightloom.runtime.executor import run
from lightloom.runtime.program import TileBank

from .bankloop.toy import make_target
from .handmade import Layer, chain, images, small

BOTH = {
    "encoding": {"scale": "static", "dac_bits": 10},
    "detection": {"adc_range": "calibrated", "adc_bits": 10},
}


def linear(target, **kwargs):
    return chain(target, ("s0", 9), [Layer(6, 9, skip=((0, 0, 1),))], **kwargs)


def data(seed=0, count=64):
    return torch.randn(count, 9, generator=torch.Generator().manual_seed(seed))


def rails(x, sign, scale):
    if sign == "phase_sign":
        return [x / scale]
    if sign == "offset":
        return [(x + scale) / (2 * scale)]
    return [x.clamp_min(0) / scale, (-x).clamp_min(0) / scale]


@pytest.mark.parametrize("sign", ["differential", "phase_sign", "offset"])
@pytest.mark.parametrize("scale", ["static", "per_vector"])
def test_ranges_are_the_largest_values_seen(scale, sign):
    target = make_target(4, encoding={"scale": scale, "sign": sign}, detection={"adc_range": "calibrated"})
    body, x = linear(target), data()
    done = calibrate(body, x.split(20)).banks["m0"].columns
    tiles = effective_matrices(body.banks["m0"], target, ideal=True)
    blocks = torch.nn.functional.pad(x, (0, 3)).double().unflatten(1, (3, 4))
    lit = torch.tensor([1.0] * 9 + [0.0] * 3).unflatten(0, (3, 4))
    for tile, column in enumerate(body.banks["m0"].columns["col"]):
        block = blocks[:, column]
        largest = block.abs().amax(-1, keepdim=True)
        if scale == "static":
            largest = float(largest.max()) * MARGIN
            assert done["input_full_scale"][tile] == pytest.approx(largest, rel=1e-6)
        signals = [(rail * lit[column]) @ tiles[tile].T for rail in rails(block, sign, largest)]
        peaks = torch.stack(signals).abs().amax((0, 1))
        np.testing.assert_allclose(done["adc_full_scale"][tile], MARGIN * peaks, rtol=1e-5)


def test_calibrated_chips_are_close_to_ideal_on_the_same_data():
    body = small(make_target(8, **BOTH), full_scale=8.0, static=True)
    x = images(16)
    body = replace(body, banks={name: _without_inputs(bank) for name, bank in body.banks.items()})
    done = calibrate(body, [x])
    ideal = run(done, (x,), ideal=True)
    error = (run(done, (x,)) - ideal).abs().max() / ideal.abs().max()
    assert error < 0.03
    assert "input_full_scale" not in body.banks["m0"].columns  # the program given stays as it was


def _without_inputs(bank):
    return TileBank(bank.spec, {k: v for k, v in bank.columns.items() if k != "input_full_scale"})


def test_intensity_ranges_hold_the_square_root_of_the_signal():
    target = make_target(4, detection={"kind": "intensity", "adc_range": "calibrated", "adc_bits": 8})
    body, x = linear(target, shift=True), data()
    done = calibrate(body, [x], margin=1.0)
    tiles = effective_matrices(body.banks["m0"], target.with_({"detection.kind": "coherent"}), ideal=True)
    block = x[:, :4].double()
    largest = block.abs().amax(-1, keepdim=True)
    peaks = torch.stack([rail @ tiles[0].T for rail in rails(block, "differential", largest)]).abs().amax((0, 1))
    np.testing.assert_allclose(done.banks["m0"].columns["adc_full_scale"][0], peaks, rtol=1e-5)


def test_columns_and_ports_that_saw_nothing_stay_usable():
    target = make_target(4, **BOTH)
    body, x = linear(target, static=True), data()
    x[:, 4:8] = 0
    done = calibrate(body, [x]).banks["m0"].columns
    before = body.banks["m0"].columns
    dark = before["col"] == 1
    assert (done["input_full_scale"][dark] == done["input_full_scale"].max()).all()
    np.testing.assert_array_equal(done["adc_full_scale"][dark], before["adc_full_scale"][dark])


def test_only_what_the_target_calls_static_is_changed():
    body = linear(make_target(4, encoding={"scale": "static"}))
    done = calibrate(body, [data()])
    assert "input_full_scale" in done.banks["m0"].columns
    assert done.banks["m0"].columns["adc_full_scale"] is body.banks["m0"].columns["adc_full_scale"]
    adaptive = linear(make_target(4))
    assert calibrate(adaptive, [data()]) is adaptive


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "calibration data is empty; got 0 batches"),
        (iter(()), "calibration data is empty"),
        ([torch.empty(0, 9)], "calibration data is empty; got 1 batches without a sample"),
        ([3.0], "input is not a tensor.*got float"),
        ([(torch.zeros(1, 9), torch.zeros(1))], "wrong number of inputs; got \\(T, T\\)"),
        ([torch.zeros(1, 8)], "wrong shape"),
        ([torch.full((1, 9), float("nan"))], "NaN"),
    ],
)
def test_data_that_does_not_fit_is_refused(items, message):
    with pytest.raises(InputError, match=message):
        calibrate(linear(make_target(4, **BOTH)), items)


@pytest.mark.parametrize("margin", [0.5, float("nan")])
def test_margins_below_one_are_refused(margin):
    with pytest.raises(InputError, match="margin below 1"):
        calibrate(linear(make_target(4, **BOTH)), [data()], margin=margin)


def test_zeros_tell_no_range():
    body = small(make_target(8, **BOTH))
    with pytest.raises(InputError, match="nothing but zeros"):
        calibrate(body, [torch.zeros_like(images(2)), torch.zeros_like(images(3))])


def test_tiny_data_is_told():
    body = small(make_target(8, **BOTH))
    with pytest.warns(LightloomWarning, match=r"largest value .* is 1e-06"):
        calibrate(body, [torch.full_like(images(2), 1e-6)])


def test_a_layer_that_sees_no_light_is_told():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 4))
    with torch.no_grad():
        model[0].bias.fill_(-100)
    chip = ll.targets.get("mzi16").with_({"encoding.scale": "static"})
    with pytest.warns(LightloomWarning, match="zero at every input of 2:"):
        ll.compile(model.eval(), torch.zeros(1, 4), target=chip, calibration=torch.rand(3, 4))
