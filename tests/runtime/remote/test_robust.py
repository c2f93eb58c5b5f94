"""Hostile and broken clients, drivers and servers: nothing hangs, nothing leaks, everything is told."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import lightloom as ll
from lightloom.runtime.device import ConfigureRequest, ConfigureResponse, Header, StreamRequest, TileId, UpdateRequest
from lightloom.runtime.errors import DeviceError
from lightloom.runtime.simulator import SimulatorDevice

pytest.importorskip("zmq", reason="pyzmq is in the serve extra")

from lightloom.runtime.remote import forms
from lightloom.runtime.remote.lease import Lease
from lightloom.runtime.remote.link import Link
from lightloom.runtime.remote.server import MAX_UNREAD
from lightloom.runtime.remote.wire import MAX_HEAD, Message, pack, unpack

from .echo import Echo

Serve = Callable[..., Any]
TILE = TileId("bank", 0, 0, (0, 0, 0), (1, 1, 1))
SERVE = [sys.executable, "-P", "-m", "lightloom.cli", "serve", "-t", "mzi16", "--address", "tcp://127.0.0.1:0"]


def header(sequence: int = 1, configuration: int = 1) -> Header:
    return Header(TILE, 0, 0, 0, configuration, 0, sequence)


def window(sequence: int = 1) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return {"header": forms.header_fields(header(sequence))}, {"codes": np.zeros((2, 1, 16), np.float32)}


class Whole(SimulatorDevice):
    """A driver of before: it knows full configurations only."""

    update = None  # type: ignore[assignment]


def trained(target: ll.Target) -> list[ll.Program]:
    torch.manual_seed(0)
    model = nn.Linear(16, 16).eval()
    programs = []
    for _ in range(3):
        programs.append(ll.compile(model, torch.zeros(2, 16), target=target))
        with torch.no_grad():
            model.weight.add_(3e-4 * torch.randn(16, 16))
    return programs


@pytest.mark.parametrize("driver", [SimulatorDevice, Whole])
def test_a_served_session_sends_changes_only(driver: type[SimulatorDevice], serve: Serve) -> None:
    target = ll.targets.get("mzi16")
    device = ll.devices.connect(serve(driver(target), target).address)
    assert device.target == target
    x = torch.randn(3, 16)
    sent, written = [], []
    with device.reserve() as session:
        for program in trained(target):
            before = session.usage
            sent.append(-before.bytes_sent)
            written.append(-before.phases_written)
            assert torch.equal(session.run(program, x), program.run(x, executor="step"))
            sent[-1] += session.usage.bytes_sent
            written[-1] += session.usage.phases_written
    usage = session.usage
    assert (usage.configures, usage.updates) == (3, 2)
    assert max(sent[1:]) < sent[0]
    assert usage.bytes_received > 0
    assert written[0] == 528
    assert (written[1] == 528) == (driver is Whole)
    assert usage.control_j == pytest.approx(sum(written) * target.energy.reconfigure_j_per_phase, rel=1e-12)
    device.close()


def test_a_server_of_before_gets_whole_configurations(serve: Serve) -> None:
    target = ll.targets.get("mzi16")
    server = serve(SimulatorDevice(target), target)
    for kind in ("update", "target"):
        del server._does[kind]
    reserve = server._does["reserve"]

    def plain(request: Message) -> Message:
        fields = reserve(request).fields
        return Message("reserve", request.id, fields={name: fields[name] for name in ("session", "lease_s")})

    server._does["reserve"] = plain
    device = ll.devices.connect(server.address)
    assert (device.target, device.cores) == (None, target.mesh.cores)
    x = torch.randn(3, 16)
    with device.reserve(threshold_rad=1e-3) as session:
        for program in trained(target)[:2]:
            session.run(program, x)
    assert (session.usage.configures, session.usage.updates) == (2, 0)
    device.close()


@pytest.mark.parametrize(
    ("kind", "fields", "arrays"),
    [
        ("reserve", {"name": "x", "cores": float("inf")}, {}),
        ("reserve", {"name": "x", "cores": float("nan")}, {}),
        ("reserve", {"name": "x", "cores": True}, {}),
        ("stream", window()[0], {"codes": np.zeros((2, 1, 16), np.uint32)}),
        ("stream", window()[0], {"codes": np.zeros(3, np.float32)}),
        ("stream", window()[0], {"codes": np.full((2, 1, 16), np.nan, np.float32)}),
        ("stream", {**window()[0], "dtype": "object"}, {"codes": np.zeros((2, 1, 16), np.uint8)}),
        ("stream", {"header": {"tile": 3, "numbers": [10**400] * 6}}, window()[1]),
        ("configure", {"header": forms.header_fields(header())}, {"left": np.zeros(3, np.float32)}),
        ("update", {"header": forms.header_fields(header()), "base": -1}, {"mask": np.full(9, 255, np.uint8)}),
        ("read_out", {"header": []}, {}),
    ],
)
def test_nonsense_is_refused_and_the_server_goes_on(
    kind: str, fields: dict[str, Any], arrays: dict[str, np.ndarray], serve: Serve
) -> None:
    target = ll.targets.get("mzi16")
    link = Link(serve(SimulatorDevice(target), target).address)
    if kind != "reserve":
        link.reserve(1)
    with pytest.raises(DeviceError, match=r"not a|number of cores|holds nothing|before any") as refused:
        link.call(kind, fields, arrays)
    assert "does not answer" not in str(refused.value)
    assert link.call("status").fields["cores"] == target.mesh.cores
    link.close()


def test_fields_of_any_size_are_not_parsed() -> None:
    frames = pack(Message("status", 1, "", {"x": "y" * MAX_HEAD}))
    with pytest.raises(DeviceError, match="bytes of fields"):
        unpack([bytes(frame) for frame in frames])


class Faulty(Echo):
    """A driver with errors of its own."""

    def stream(self, request: StreamRequest) -> None:
        raise RuntimeError("a loose fibre")

    def release(self) -> None:
        super().release()
        raise OSError("still no light")


def test_errors_of_a_driver_are_told_and_the_server_goes_on(serve: Serve) -> None:
    server = serve(Faulty(), ll.targets.get("mzi16"))
    for _ in range(2):
        link = Link(server.address)
        link.reserve(1)
        with pytest.raises(DeviceError, match=r"driver failed; got RuntimeError\('a loose fibre'\)"):
            link.call("stream", *window())
        link.close()
    assert server.lease.usage.reservations == 2


def test_windows_that_nobody_reads_are_bounded(serve: Serve) -> None:
    echo = Echo()
    link = Link(serve(echo, ll.targets.get("mzi16")).address)
    link.reserve(1)
    for sequence in range(1, MAX_UNREAD + 1):
        link.call("stream", *window(sequence))
    with pytest.raises(DeviceError, match="nobody has read"):
        link.call("stream", *window(MAX_UNREAD + 1))
    assert len(echo.windows) == MAX_UNREAD
    link.call("read_out", {"header": forms.header_fields(header(1))})
    link.call("stream", *window(MAX_UNREAD + 1))
    link.close()


def test_others_cannot_make_a_request_be_done_twice(serve: Serve) -> None:
    echo = Echo()
    link = Link(serve(echo, ll.targets.get("mzi16")).address)
    link.reserve(1)
    link.call("stream", *window(5))
    link.call("read_out", {"header": forms.header_fields(header(5))})
    other = Link(link.address)
    other.session = "somebody"
    with pytest.raises(DeviceError, match="not reserved by this client"):
        other.call("stream", *window(6))
    link._id -= 1
    link.call("read_out", {"header": forms.header_fields(header(5))})  # answered again, though it was read
    other.session = ""
    other.close()
    link.close()


class Slow(Echo):
    """A device that takes its time to settle."""

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        time.sleep(0.6)
        return super().configure(request)


def test_a_slow_device_is_no_silence_of_its_client(serve: Serve) -> None:
    server = serve(Slow(), ll.targets.get("mzi16"), lease_s=0.2)
    link = Link(server.address)
    link.reserve(1)
    request = ConfigureRequest(
        header(), *(np.zeros(n, np.uint32) for n in (256, 256, 16)), 8, 8, np.ones(16, np.float32), 16
    )
    link.call("configure", *forms.configure_fields(request, compact=True))
    assert server.lease.usage.expired == 0
    link.close()


def test_requests_under_way_stop_the_clock_of_a_lease() -> None:
    now = [0.0]
    lease = Lease(1.0, lambda: None, clock=lambda: now[0])
    token = lease.acquire("a")
    with lease.busy(token):
        now[0] = 5.0
        assert not lease.expire()
    now[0] = 5.9
    lease.renew(token)
    now[0] = 7.0
    assert lease.expire()
    with pytest.raises(DeviceError, match="nothing was heard"), lease.busy(token):
        pass


def test_a_server_that_dies_during_a_run_is_noticed_at_once() -> None:
    program = ll.compile(nn.Linear(64, 64).eval(), torch.zeros(1, 64), target="mzi16")
    with subprocess.Popen(SERVE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        device = ll.devices.connect(server.stdout.readline().split()[-1], timeout_s=600)  # not by time-out
        errors: list[Exception] = []

        def work() -> None:
            try:
                with device.reserve() as session:
                    while True:
                        session.run(program, torch.zeros(4, 64))
            except DeviceError as error:
                errors.append(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        while device.driver.traffic[0] < 100_000:  # type: ignore[attr-defined]
            time.sleep(0.01)
        server.kill()
        worker.join(timeout=60)
        assert not worker.is_alive()
        assert len(errors) == 1
        text = str(errors[0])
        assert "does not answer" in text
        assert "the connection was closed" in text
        assert "lightloom serve" in text
        device.close()


def test_a_terminated_server_gives_the_device_back() -> None:
    with subprocess.Popen(SERVE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        server.stdout.readline()
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0


def test_reservations_leave_no_threads_behind(serve: Serve) -> None:
    link = Link(serve(Echo(), ll.targets.get("mzi16")).address)
    before = threading.active_count()
    for _ in range(20):
        link.reserve(1)
        link.release()
    assert threading.active_count() == before
    link.close()
    with pytest.raises(DeviceError, match="the link is closed"):
        link.call("status")


def test_answers_that_are_none_are_told(serve: Serve) -> None:
    server = serve(Echo(), ll.targets.get("mzi16"))
    for fields in ({}, {"session": "x", "lease_s": 0}, {"session": 3, "lease_s": 1.0}):
        server._does["reserve"] = lambda request, fields=fields: Message("reserve", request.id, fields=fields)
        with pytest.raises(DeviceError, match="not understood"):
            ll.devices.connect(server.address).reserve()
    server._does["read_out"] = lambda request: Message("read_out", request.id, fields={"header": {}})
    with pytest.raises(DeviceError, match="not understood"):
        ll.devices.connect(server.address).driver.read_out(header())


@given(
    st.sets(st.integers(0, 5000), max_size=300),
    st.integers(1, 32),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_updates_survive_the_wire(at: set[int], bits: int, gains: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**bits, len(at)).astype(np.uint32)
    adc = rng.random(16).astype(np.float32) if gains else None
    update = UpdateRequest(header(), 3, np.array(sorted(at), np.uint32), codes, adc, 16, True, 1)
    frames = pack(Message("update", 1, "s", *forms.update_fields(update)))
    found = forms.update_request(unpack([bytes(frame) for frame in frames]))
    for name in ("header", "base", "lit_ports", "measure_offset", "buffer"):
        assert getattr(found, name) == getattr(update, name)
    for name in ("at", "codes"):
        assert getattr(found, name).dtype == np.uint32
        np.testing.assert_array_equal(getattr(found, name), getattr(update, name))
    assert (found.adc_full_scale is None) == (adc is None)
    if adc is not None:
        np.testing.assert_array_equal(found.adc_full_scale, adc)
    whole = 4 * (max(at, default=0) + 1)
    assert sum(map(len, frames[1:])) <= 4 * len(at) + whole / 32 + 64 + 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("low", "high", "itemsize"), [(0, 255, 1), (-127, 127, 1), (0, 4000, 2), (-2000, 2000, 2), (0, 1 << 24, None)]
)
def test_windows_take_as_few_bytes_as_their_codes(
    dtype: torch.dtype, low: int, high: int, itemsize: int | None
) -> None:
    codes = torch.randint(low, high + 1, (2, 7, 16)).to(dtype)
    codes[0, 0, :2] = torch.tensor([low, high])
    for compact in (True, False):
        fields, arrays = forms.window_fields(codes, compact)
        assert arrays["codes"].itemsize == (itemsize if compact and itemsize else codes.element_size())
        found = forms.window(unpack([bytes(f) for f in pack(Message("stream", 1, "", fields, arrays))]))
        assert found.dtype == dtype
        assert torch.equal(found, codes)
    for value in (0.5, float("nan"), float("inf")):
        codes[1, 2, 3] = value
        assert forms.window_fields(codes, compact=True)[1]["codes"].dtype == codes.numpy().dtype
