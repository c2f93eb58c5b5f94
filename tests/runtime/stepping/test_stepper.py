"""The step executor equals the batched one code for code, whatever the encoding, geometry or schedule."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from lightloom.runtime.errors import DeviceError, TargetError, VerifyError
from lightloom.runtime.executor import Runner
from lightloom.runtime.nulldevice import NullDevice
from lightloom.runtime.pricing.counts import run_counts
from lightloom.runtime.program import MatrixStep, StepCost, TileBank
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.schedule import COLUMNS, EventKind, Schedule
from lightloom.runtime.simulator import SimulatorDevice

from ..bankloop.toy import make_target
from ..handmade import Layer, chain, conv, images, small

NOISE = {"noise": True, "launch_power_w": 1e-6, "thermal_noise_a_per_rthz": 1e-12}
SIGNS = ["differential", "differential_two_shot", "phase_sign", "offset"]


def tiny(target, **kwargs):
    """One grouped convolution with edge tiles on both sides, and a skipped tile."""
    layer = conv(5, 4, (3, 2), (2, 1), (1, 0, 2, 1), (1, 2), groups=2, skip=((0, 0, 1), (1, 1, 2)))
    return chain(target, ("s0", 4, 7, 5), [layer], **kwargs)


def both(body, x, seed=5, engine="auto", **kwargs):
    runner = Runner(body, engine)
    stepped = runner.run((x,), seed=seed, executor="step", **kwargs)
    counts = runner.counts
    batched = runner.run((x,), seed=seed, **kwargs)
    assert counts == runner.counts == run_counts(body, deal(body, len(x)))
    return stepped, batched


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("bits", [None, 6])
@pytest.mark.parametrize("scale", ["per_vector", "static"])
@pytest.mark.parametrize("sign", SIGNS)
def test_coherent_chips_agree(sign, scale, bits, noise):
    target = make_target(
        4,
        mesh_={"phase_bits": bits, "attenuator_bits": bits, "phase_error_rad": 0.02, "splitter_error_rad": 0.02},
        encoding={"sign": sign, "scale": scale, "dac_bits": bits},
        detection={"adc_bits": bits and bits + 2, **(NOISE if noise else {})},
    )
    body = tiny(target, static=scale == "static")
    stepped, batched = both(body, images(2), dtype=torch.float64)
    torch.testing.assert_close(stepped, batched, rtol=0, atol=1e-12)
    assert batched.abs().max() > 0.1


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("bits", [None, 8])
@pytest.mark.parametrize("sign", ["differential", "offset"])
def test_intensity_chips_agree(sign, bits, noise):
    target = make_target(
        4,
        mesh_={"phase_bits": bits},
        encoding={"sign": sign, "dac_bits": bits},
        detection={"kind": "intensity", "adc_bits": bits, **(NOISE if noise else {})},
    )
    body = chain(target, ("s0", 9), [Layer(6, 9, skip=((0, 0, 1),))], shift=True)
    x = torch.randn(3, 9, dtype=torch.float64)
    stepped, batched = both(body, x, dtype=torch.float64)
    # without converters nothing snaps to a code, and the order of sums shows
    torch.testing.assert_close(stepped, batched, rtol=0, atol=1e-12 if bits else 1e-9)


def test_a_whole_network_agrees_in_both_dtypes():
    target = make_target(8, mesh_={"phase_bits": 8}, encoding={"dac_bits": 8}, detection={"adc_bits": 8, **NOISE})
    body = small(target)
    stepped, batched = both(body, images(2), dtype=torch.float64)
    torch.testing.assert_close(stepped, batched, rtol=0, atol=1e-12)
    stepped, batched = both(body, images(2))
    torch.testing.assert_close(stepped, batched, rtol=1e-5, atol=1e-5)


def test_windows_may_be_cut_anywhere():
    body = tiny(make_target(4, encoding={"dac_bits": 6}, detection={"adc_bits": 8, **NOISE}))
    whole = Runner(body).run((images(3),), executor="step", dtype=torch.float64)
    cut = Runner(body, block_bytes=700).run((images(3),), executor="step", dtype=torch.float64)
    assert torch.equal(whole, cut)


@pytest.mark.parametrize("kind", ["coherent", "intensity"])
def test_ideal_runs_agree(kind):
    target = make_target(
        4,
        mesh_={"phase_bits": 4, "phase_error_rad": 0.1, "splitter_error_rad": 0.1},
        encoding={"dac_bits": 3, "scale": "static"},
        detection={"adc_bits": 3, "kind": kind, **NOISE},
    )
    runner = Runner(tiny(target, static=True))
    stepped = runner.run((images(2),), executor="step", ideal=True, dtype=torch.float64)
    if kind == "coherent":
        torch.testing.assert_close(stepped, runner.run((images(2),), ideal=True, dtype=torch.float64))
    assert torch.isfinite(stepped).all()


def test_an_empty_batch_has_results_and_no_events():
    body, device = small(), NullDevice()
    runner = Runner(body)
    out = runner.run((images(0),), executor="step", device=device)
    assert out.shape == (0, 10)
    assert (device.calls[0], device.calls[-1]) == ("reserve", "release")


def test_a_program_of_fixed_sizes_is_one_sample():
    body = chain(make_target(4, detection=NOISE), (3, 2, 9), [Layer(6, 9)])
    costs = {"v0": StepCost(3 * 2 * 54, 6, 36)}  # of the whole input, as the compiler counts fixed sizes
    body = replace(body, costs=costs, example_batch=1)
    runner, x = Runner(body), torch.randn(3, 2, 9)
    stepped = runner.run((x,), executor="step", dtype=torch.float64)
    torch.testing.assert_close(stepped, runner.run((x,), dtype=torch.float64), rtol=0, atol=1e-12)
    assert runner.counts == run_counts(body, deal(body, 1))


def test_layers_with_their_own_target_agree():
    target = make_target(4, encoding={"dac_bits": 8}, detection={"adc_bits": 8})
    body = chain(target, ("s0", 9), [Layer(6, 9), Layer(5, 6)])
    coarse = target.with_({"encoding.dac_bits": 2, "encoding.sign": "differential_two_shot"})
    changed = replace(body, layer_targets={"m1": coarse})
    x = torch.randn(3, 9)
    stepped, batched = both(changed, x, dtype=torch.float64)
    torch.testing.assert_close(stepped, batched, rtol=0, atol=1e-12)
    assert not torch.allclose(stepped, Runner(body).run((x,), dtype=torch.float64), atol=1e-3)


def shuffled(body, batch, seed, cuts=0):
    """A schedule of any order of tiles and blocks of vectors on any core: only dependencies are kept."""
    rng = np.random.default_rng(seed)
    rows = []
    for index, step in enumerate(body.steps):
        if not isinstance(step, MatrixStep):
            rows.append((EventKind.HOST, index, -1, -1, 0, 0))
            continue
        vectors = batch * body.costs[step.name].vectors
        edges = [0, *sorted(rng.choice(np.arange(1, vectors), min(cuts, vectors - 1), replace=False)), vectors]
        items = [(tile, *pair) for tile in range(body.banks[step.bank].spec.tiles) for pair in pairwise(edges)]
        for item in rng.permutation(len(items)):
            tile, low, high = items[item]
            core = rng.integers(body.target.mesh.cores)
            rows += [(EventKind.CONFIGURE, index, tile, core, 0, 0)]
            rows += [(EventKind.STREAM, index, tile, core, high - low, low)]
    kind, step, tile, core, vectors, first = np.array(rows).T
    time = np.arange(len(rows), dtype=float)
    names = tuple(step.name for step in body.steps)
    return Schedule(names, batch, kind, step, tile, core, time, time + 1, vectors, first, time[-1] + 1, 1.0)


@pytest.mark.parametrize("cuts", [0, 1, 5])
def test_any_order_of_tiles_and_blocks_gives_the_same_sums(cuts):
    target = make_target(8, mesh_={"splitter_error_rad": 0.02}, encoding={"dac_bits": 8},
                         detection={"adc_bits": 8, **NOISE})  # fmt: skip
    body, x = small(target), images(2)
    expected = Runner(body).run((x,), executor="step")
    for seed in range(2):
        runner = Runner(body, schedule=lambda batch, seed=seed: shuffled(body, batch, seed, cuts))
        assert torch.equal(runner.run((x,), executor="step"), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda schedule: deal(small(), 3), "for another batch"),
        (lambda schedule: replace(schedule, steps=("other",)), "of another program"),
        (lambda schedule: cut(schedule, len(schedule) - 1), "leaves a step undone"),
        (lambda schedule: cut(schedule, 0), "leaves a step undone"),
        (lambda schedule: cut(schedule, len(schedule), kind=np.full(len(schedule), 2)), "wrong kind of step"),
    ],
)
def test_schedules_that_do_not_fit_are_refused(change, message):
    body = small()
    runner = Runner(body, schedule=lambda batch: change(deal(body, batch)))
    with pytest.raises(VerifyError, match=message):
        runner.run((images(2),), executor="step")


def cut(schedule, count, **columns):
    kept = {name: columns.get(name, getattr(schedule, name))[:count] for name in COLUMNS}
    return replace(schedule, **kept)


def test_the_device_sees_the_protocol():
    target = make_target(4, mesh_={"phase_bits": 6}, encoding={"dac_bits": 5}, detection={"adc_bits": 8})
    body, device = tiny(target), NullDevice()
    out = Runner(body).run((images(2),), executor="step", device=device)
    torch.testing.assert_close(out, body.constants["b0"].view(1, -1, 1, 1).expand(out.shape))
    tiles = body.banks["m0"].spec.tiles
    assert (device.calls[0], device.calls[-1]) == ("reserve", "release")
    assert device.calls.count("configure") == device.calls.count("stream") == tiles
    numbers = [request.header.sequence for request in device.requests]
    assert numbers == sorted(set(numbers))
    configured = {}
    for request in device.requests:
        if hasattr(request, "left"):
            configured[request.header.core] = request.header
            assert request.left.max() < 2**6
            assert 1 <= request.lit_ports <= 4
        else:
            held = configured[request.header.core]
            assert (held.tile, held.configuration) == (request.header.tile, request.header.configuration)
            assert request.codes.shape[2] == 4
            assert 0 <= request.codes.min() <= request.codes.max() <= 31


class Broken(NullDevice):
    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def read_out(self, header):
        response = super().read_out(header)
        if self.fault == "echo":
            return replace(response, header=replace(header, configuration=99))
        return replace(response, codes=response.codes[:, :-1])


@pytest.mark.parametrize(("fault", "message"), [("echo", "answered another request"), ("shape", "wrong shape")])
def test_a_device_that_mixes_things_up_is_found_out_and_released(fault, message):
    device = Broken(fault)
    with pytest.raises(DeviceError, match=message):
        Runner(small()).run((images(2),), executor="step", device=device)
    assert device.calls[-1] == "release"


def test_a_bank_without_ranges_is_refused():
    body = tiny(make_target(4, detection={"adc_bits": 8}))
    bank = body.banks["m0"]
    bare = TileBank(bank.spec, {k: v for k, v in bank.columns.items() if k != "adc_full_scale"})
    with pytest.raises(TargetError, match="no adc_full_scale column"):
        Runner(replace(body, banks={"m0": bare})).run((images(2),), executor="step")


def test_the_simulator_is_the_default_device():
    body, x = tiny(make_target(4, detection={"adc_bits": 8, **NOISE})), images(2)
    device = SimulatorDevice(body.target, 5, dtype=torch.float32)
    runner = Runner(body)
    explicit = runner.run((x,), executor="step", device=device)
    assert torch.equal(explicit, runner.run((x,), executor="step", seed=5))
