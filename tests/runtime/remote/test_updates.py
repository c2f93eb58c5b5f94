"""Sessions that send only what changes: which settings, where to, what the device realises, what is counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import lightloom as ll
from lightloom.runtime.device import (
    ConfigureRequest,
    ConfigureResponse,
    Header,
    StreamRequest,
    StreamResponse,
    TileId,
    UpdateRequest,
    UpdatingDevice,
)
from lightloom.runtime.errors import DeviceError, InputError
from lightloom.runtime.scheduling.schedule import EventKind
from lightloom.runtime.sessions.session import Session
from lightloom.runtime.sessions.updates import change, settings, updated
from lightloom.runtime.simulator import SimulatorDevice

from .echo import Echo

STEP = 2 * math.pi / 256


class Written:
    """A device without light that keeps the codes of each buffer as a driver would: by writing what it is sent."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], tuple[int, np.ndarray]] = {}
        self.sent: list[ConfigureRequest | UpdateRequest] = []

    def reserve(self, cores: int) -> None:
        self.held.clear()

    def release(self) -> None:
        self.held.clear()

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        self.sent.append(request)
        self.held[request.header.core, request.buffer] = (request.header.configuration, settings(request))
        return ConfigureResponse(request.header)

    def update(self, request: UpdateRequest) -> ConfigureResponse:
        self.sent.append(request)
        number, codes = self.held[request.header.core, request.buffer]
        assert number == request.base
        codes = codes.copy()
        codes[request.at] = request.codes
        self.held[request.header.core, request.buffer] = (request.header.configuration, codes)
        return ConfigureResponse(request.header)

    def stream(self, request: StreamRequest) -> None:
        raise AssertionError("no light goes through this device")

    def read_out(self, header: Header) -> StreamResponse:
        raise AssertionError("no light goes through this device")


class Whole(SimulatorDevice):
    """A driver of before: it knows full configurations only."""

    update = None  # type: ignore[assignment]


def configuration(
    left: np.ndarray, number: int = 1, *, tile: int = 0, core: int = 0, attenuators: np.ndarray | None = None
) -> ConfigureRequest:
    """A configuration of a 16-port tile in 8-bit codes."""
    identity = TileId("bank", 0, tile, (0, 0, 0), (1, 1, 1))
    header = Header(identity, core, 0, 0, number, 0, number)
    right = np.zeros(256, np.uint32)
    attenuators = np.full(16, 255, np.uint32) if attenuators is None else attenuators
    return ConfigureRequest(header, left, right, attenuators, 8, 8, np.ones(16, np.float32), 16)


def test_thirty_percent_of_256_shifters_are_77_writes() -> None:
    rng = np.random.default_rng(0)
    old = rng.integers(0, 256, 256).astype(np.uint32)
    moved = rng.permutation(256)[: round(0.3 * 256)]
    new = (old + rng.integers(-2, 3, 256)).astype(np.uint32) % 256  # at most two codes: within the threshold
    new[moved] = (old[moved] + rng.integers(3, 254, 77)) % 256
    device = Written()
    target = ll.targets.get("mzi16").with_(
        timing={"reconfigure_s": 1.0, "update_s": 0.02}, energy={"reconfigure_j_per_phase": 1e-9}
    )
    session = Session(device, 1, target=target, threshold_rad=2 * STEP)
    session.configure(configuration(old))
    session.configure(configuration(new, 2))
    usage = session.usage
    assert (usage.configures, usage.updates) == (2, 1)
    assert usage.phases_written == 528 + 77
    assert usage.phases_kept == 528 - 77
    assert usage.configure_s == pytest.approx(1.02, rel=1e-12)
    assert usage.control_j == pytest.approx(605e-9, rel=1e-12)
    expected = np.where(np.isin(np.arange(256), moved), new, old)
    np.testing.assert_array_equal(device.held[0, 0][1][:256], expected)
    apart = np.abs(new.astype(int) - expected)
    apart = np.minimum(apart, 256 - apart) * STEP
    assert usage.largest_deviation_rad == pytest.approx(apart.max(), rel=1e-12)
    assert usage.rms_deviation_rad == pytest.approx(math.sqrt((apart**2).sum() / (2 * 528)), rel=1e-12)


def test_small_steps_add_up_until_they_are_written() -> None:
    device = Written()
    session = Session(device, 1, threshold_rad=3 * STEP)
    written = []
    for turn in range(9):
        session.configure(configuration(np.full(256, (250 + turn) % 256, np.uint32), turn + 1))
        written.append(int(device.held[0, 0][1][0]))
    assert written == [250, 250, 250, 250, 254, 254, 254, 254, 2]  # never more than three codes behind, past zero too
    assert session.usage.kept == 6
    assert session.usage.configure_s is None  # no target, no times
    assert session.usage.control_j is None


def test_attenuators_follow_the_same_share_of_their_range() -> None:
    old = np.full(16, 100, np.uint32)
    new = old.copy()
    new[:4] = 101, 102, 103, 99
    session = Session(Written(), 1, threshold_rad=2.5 * STEP)  # 1 / 102.4 of a turn: 2.49 codes of 255
    session.configure(configuration(np.zeros(256, np.uint32), attenuators=old))
    session.configure(configuration(np.zeros(256, np.uint32), 2, attenuators=new))
    update = session._device.sent[-1]  # type: ignore[attr-defined]
    assert (update.at.tolist(), update.codes.tolist()) == ([512 + 2], [103])


@given(st.integers(1, 32), st.integers(0, 2**32 - 1), st.floats(0, math.pi))
def test_no_setting_stays_further_off_than_the_threshold(bits: int, seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    old, new = (
        replace(
            configuration(rng.integers(0, 2**bits, 256).astype(np.uint32)),
            right=rng.integers(0, 2**bits, 256).astype(np.uint32),
            attenuators=rng.integers(0, 2**bits, 16).astype(np.uint32),
            phase_bits=bits,
            attenuator_bits=bits,
        )
        for _ in range(2)
    )
    found = change(old, new, threshold)
    asked, realised = settings(new), settings(found.realised)
    angle = 2 * math.pi * ((asked[:512].astype(float) - realised[:512]) / 2**bits)
    apart = np.abs(np.angle(np.exp(1j * angle)))
    share = np.abs(asked[512:].astype(float) - realised[512:]) / (2**bits - 1)
    np.testing.assert_allclose(found.left_rad, np.concatenate([apart, 2 * math.pi * share]), atol=1e-9)
    assert found.left_rad.max() <= threshold
    update = UpdateRequest(new.header, old.header.configuration, found.at, found.codes, None, 16)
    np.testing.assert_array_equal(settings(updated(old, update)), realised)
    exact = change(old, new)
    np.testing.assert_array_equal(settings(exact.realised), asked)
    np.testing.assert_array_equal(exact.at, np.flatnonzero(settings(old) != asked))


def test_updates_of_something_else_are_refused() -> None:
    held = configuration(np.zeros(256, np.uint32))
    good = UpdateRequest(held.header, 1, np.array([3], np.uint32), np.array([7], np.uint32), None, 16)
    assert settings(updated(held, good))[3] == 7
    for bad, why in (
        (replace(good, base=2), "another configuration"),
        (replace(good, at=np.array([528], np.uint32)), "not there; got setting 528"),
        (replace(good, at=np.array([4, 4], np.uint32), codes=np.zeros(2, np.uint32)), "not there"),
        (replace(good, at=np.array([-1]), codes=np.array([1])), "a code for each setting"),
        (replace(good, codes=np.zeros(2, np.uint32)), "a code for each setting"),
    ):
        with pytest.raises(DeviceError, match=why):
            updated(held, bad)
    device = SimulatorDevice(ll.targets.get("mzi16"))
    device.reserve(1)
    with pytest.raises(DeviceError, match="holds nothing"):
        device.update(good)


@pytest.mark.parametrize("threshold", [-0.1, 4.0, math.nan, math.inf])
def test_impossible_thresholds_are_refused(threshold: float) -> None:
    with pytest.raises(InputError, match=r"threshold.*allowed: 0 to pi"):
        ll.devices.simulator("mzi16").reserve(threshold_rad=threshold)
    ll.devices.simulator("mzi16").reserve().close()


def test_a_failed_update_is_followed_by_a_full_configuration() -> None:
    device = Written()
    session = Session(device, 1)
    first, second = (configuration(np.full(256, code, np.uint32), code + 1) for code in (0, 1))
    session.configure(first)

    def fail(request: UpdateRequest) -> ConfigureResponse:
        raise DeviceError("no light")

    device.update = fail  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="no light"):
        session.configure(second)
    session.configure(second)
    assert isinstance(device.sent[-1], ConfigureRequest)


def test_tiles_go_where_an_older_version_or_nothing_is() -> None:
    rng = np.random.default_rng(1)
    device = Written()
    session = Session(device, 4)
    words = {name: rng.integers(0, 256, 256).astype(np.uint32) for name in "abc"}

    def run(*names: str) -> list[tuple[int, int]]:
        """The cores that a run's tiles end up on, asked for on core 0, 1, ..., and the requests it took."""
        session.reserve(len(names))
        before = len(device.sent)
        for core, name in enumerate(names):
            session.configure(replace(configuration(words[name], 10 + core, core=core), right=words[name]))
        places = [session._placed[core, 10 + core][1][0] for core in range(len(names))]
        session.release()
        return [*((core, len(device.sent) - before) for core in places)]

    assert run("a") == [(0, 1)]
    assert run("b") == [(1, 1)]  # beside it, though the schedule said core 0
    assert run("a") == [(0, 0)]
    assert run("b") == [(1, 0)]
    assert run("b", "a") == [(1, 0), (0, 0)]
    words["a"] = words["a"].copy()
    words["a"][:40] += 1
    assert run("a") == [(0, 1)]  # in place of the old one
    assert isinstance(device.sent[-1], UpdateRequest)
    assert run("a", "a") == [(0, 0), (0, 0)]  # once serves both
    assert run("a", "c", "b", "a") == [(0, 1), (2, 1), (1, 1), (0, 1)]
    assert run("b", "c", "a", "a") == [(1, 0), (2, 0), (0, 0), (0, 0)]
    with pytest.raises(DeviceError, match="fewer cores"):
        run("a", "a", "a", "a", "a")


def test_a_core_that_serves_two_goes_on_when_one_moves_on() -> None:
    session = Session(Echo(), 3)
    session.reserve(3)
    one, two = np.zeros(256, np.uint32), np.full(256, 77, np.uint32)
    session.configure(configuration(one, 1, core=0))
    session.configure(configuration(one, 2, core=1))
    session.configure(replace(configuration(two, 3, core=1, tile=1), right=two))
    assert session.usage.configures == 2
    codes = torch.zeros(2, 1, 16)
    for number, core, tile in ((1, 0, 0), (3, 1, 1)):
        header = replace(configuration(one, number, core=core, tile=tile).header, sequence=10 + number)
        session.stream(StreamRequest(header, codes + core))
        assert torch.equal(session.read_out(header).codes, codes + core)
    gone = replace(configuration(one, 2, core=1).header, sequence=20)
    with pytest.raises(DeviceError, match="before any configuration"):
        session.stream(StreamRequest(gone, codes))


def trained(scale: float, target: ll.Target) -> tuple[ll.Program, ll.Program]:
    """A layer before and after a small step of its weights."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 24), nn.Tanh(), nn.Linear(24, 12)).eval()
    before = ll.compile(model, torch.zeros(2, 20), target=target)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return before, ll.compile(model, torch.zeros(2, 20), target=target)


@pytest.mark.parametrize("cores", [8, 3])
@pytest.mark.parametrize("driver", [SimulatorDevice, Whole])
def test_without_a_threshold_results_are_those_of_full_configurations(
    driver: Callable[[ll.Target], SimulatorDevice], cores: int
) -> None:
    target = ll.targets.get("mzi16").with_({"mesh.cores": cores, "mesh.phase_error_rad": 0.01})
    programs = trained(1e-3, target)
    x = torch.randn(5, 20)
    device = ll.devices.Device(driver(target), cores, target=target)
    with device.reserve() as session:
        for program in (*programs, *programs):
            expected = program.run(x, executor="step", device=SimulatorDevice(target))
            assert torch.equal(session.run(program, x), expected)
    usage = session.usage
    assert usage.largest_deviation_rad == usage.rms_deviation_rad == 0.0
    assert (usage.updates > 0) == isinstance(device.driver, UpdatingDevice) == (driver is SimulatorDevice)
    assert (usage.phases_written == usage.configures * 528) == (driver is Whole)
    assert usage.phases_written + usage.phases_kept == (usage.configures + usage.kept) * 528
    tiles = sum(bank.spec.tiles for bank in programs[0].body.banks.values())
    assert tiles * 2 <= usage.configures <= tiles * 4 + 2 * cores


def test_a_threshold_saves_writes_and_says_what_it_leaves() -> None:
    target = ll.targets.get("mzi16")
    programs = trained(2e-3, target.with_({"mesh.cores": 6}))
    x = torch.randn(64, 20)
    written, errors = [], []
    exact = programs[1].run(x, executor="step", device=SimulatorDevice(programs[0].target))
    for threshold in (0.0, STEP / 16, STEP / 2, math.pi):
        with ll.devices.simulator(programs[0].target).reserve(threshold_rad=threshold) as session:
            session.run(programs[0], x)
            result = session.run(programs[1], x)
        written.append(session.usage.phases_written)
        errors.append(float((result - exact).square().mean()))
        assert session.usage.largest_deviation_rad <= threshold * (1 + 1e-12)
        assert session.usage.rms_deviation_rad <= session.usage.largest_deviation_rad
    assert written == sorted(written, reverse=True)
    assert written[0] > written[1] > written[2] > written[3]
    assert errors[0] == 0.0 < errors[1] < errors[2]


def layers(sizes: tuple[int, ...], target: ll.Target, seed: int) -> ll.Program:
    torch.manual_seed(seed)
    parts = [part for n, m in pairwise(sizes) for part in (nn.Linear(n, m), nn.Tanh())]
    return ll.compile(nn.Sequential(*parts).eval(), torch.zeros(2, sizes[0]), target=target)


@pytest.mark.parametrize("buffers", [1, 2])
@pytest.mark.parametrize("served", [False, True], ids=["in process", "served"])
def test_programs_that_fit_send_nothing_from_the_second_run_on(
    buffers: int, served: bool, serve: Callable[..., object]
) -> None:
    target = ll.targets.get("mzi16").with_({"mesh.cores": 12 // buffers, "mesh.buffers": buffers})
    programs = [layers((30, 20, 30), target, 0), layers((16, 16), target, 1), layers((9, 12, 16), target, 2)]
    tiles = [sum(bank.spec.tiles for bank in program.body.banks.values()) for program in programs]
    assert sum(tiles) <= 12
    inputs = [torch.randn(3, size) for size in (30, 16, 9)]
    if served:
        pytest.importorskip("zmq", reason="pyzmq is in the serve extra")
        address = serve(SimulatorDevice(target), target).address  # type: ignore[attr-defined]
        device = ll.devices.connect(address)
    else:
        device = ll.devices.simulator(target)
    order = [0, 0, 1, 0, 2, 1, 0, 2, 2]
    sent = []
    with device.reserve() as session:
        for which in order:
            before = session.usage.configures
            x = torch.randn(7, *inputs[which].shape[1:]) if sent else inputs[which]  # another batch too
            y = session.run(programs[which], x)
            sent.append(session.usage.configures - before)
            assert torch.equal(y, programs[which].run(x, executor="step", device=SimulatorDevice(target)))
    assert sent == [tiles[0], 0, tiles[1], 0, tiles[2], 0, 0, 0, 0]
    device.close()


def test_a_program_that_does_not_fit_keeps_what_it_can() -> None:
    target = ll.targets.get("mzi16").with_({"mesh.cores": 3})
    program = layers((30, 20, 30), target, 0)  # eight tiles
    x = torch.randn(2, 30)
    sent = []
    with ll.devices.simulator(target).reserve() as session:
        for _ in range(4):
            before = session.usage.configures
            assert torch.equal(session.run(program, x), program.run(x, executor="step", device=SimulatorDevice(target)))
            sent.append(session.usage.configures - before)
    again = program.schedule_for(2, warm=True)
    assert sent[0] == 8
    assert sent[2:] == [int((again.kind == EventKind.CONFIGURE).sum())] * 2
