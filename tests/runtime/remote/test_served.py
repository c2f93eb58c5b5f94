"""Served devices: programs run on them as on the simulator, one client at a time, whatever clients and servers do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import lightloom as ll
from lightloom.models import MLP
from lightloom.runtime.errors import DeviceError
from lightloom.runtime.simulator import SimulatorDevice

pytest.importorskip("zmq", reason="pyzmq is in the serve extra")

from lightloom.runtime.remote.client import RemoteDevice
from lightloom.runtime.remote.lease import Lease
from lightloom.runtime.remote.link import Link
from lightloom.runtime.remote.server import DeviceServer
from lightloom.runtime.remote.wire import Message, pack, unpack

from .echo import Echo

CONTENDER = Path(__file__).with_name("contender.py")


@pytest.fixture(scope="module")
def program() -> ll.Program:
    torch.manual_seed(0)
    return ll.compile(MLP().eval(), torch.zeros(2, 1, 8, 8), target="mzi16")


def test_a_served_simulator_computes_what_the_simulator_computes(
    program: ll.Program, serve: Callable[..., DeviceServer]
) -> None:
    server = serve(SimulatorDevice(program.target, 5, dtype=torch.float64), program.target)
    x = torch.randn(3, 1, 8, 8)
    device = ll.devices.connect(server.address)
    with device.reserve() as session:
        y = session.run(program, x, dtype=torch.float64)
    expected = program.run(x, seed=5, executor="step", dtype=torch.float64)
    assert torch.equal(y, expected)
    status = device.driver.status()
    assert status["holder"] == ""
    assert status["usage"]["reservations"] == 1
    assert status["usage"]["windows"] == session.usage.windows > 0
    device.close()


def test_a_session_configures_once_and_then_keeps(program: ll.Program) -> None:
    cores = sum(bank.spec.tiles for bank in program.body.banks.values())
    target = program.target.with_({"mesh.cores": cores})
    model = ll.compile(MLP().eval(), torch.zeros(2, 1, 8, 8), target=target)
    device = ll.devices.simulator(target)
    x = torch.randn(4, 1, 8, 8)
    with device.reserve() as session:
        first = session.run(model, x)
        assert session.usage.configures == cores
        assert session.usage.kept == 0
        again = session.run(model, x)
        assert session.usage.configures == cores
        assert session.usage.kept == cores
        assert session.usage.runs == 2
    assert torch.equal(first, again)
    assert torch.equal(first, model.run(x, executor="step", device=SimulatorDevice(target)))


def test_a_second_client_is_refused_and_errors_release(program: ll.Program) -> None:
    device = ll.devices.simulator(program.target)
    with device.reserve("first") as session:
        with pytest.raises(DeviceError, match="reserved by another client; got first"):
            device.reserve("second")
        with pytest.raises(ll.InputError):
            session.run(program, torch.zeros(1, 3))
    with pytest.raises(ValueError, match="mine"), device.reserve():
        raise ValueError("mine")
    with device.reserve() as after:
        assert after.run(program, torch.zeros(1, 1, 8, 8)).shape[0] == 1
    with pytest.raises(DeviceError, match="the session is over"):
        after.run(program, torch.zeros(1, 1, 8, 8))


def test_silence_ends_a_lease() -> None:
    now, ended = [0.0], [0]
    lease = Lease(2.0, lambda: ended.__setitem__(0, ended[0] + 1), clock=lambda: now[0])
    first = lease.acquire("a")
    now[0] = 1.9
    lease.renew(first)
    now[0] = 3.8
    with pytest.raises(DeviceError, match="reserved by another client; got a"):
        lease.acquire("b")
    now[0] = 3.9
    second = lease.acquire("b")
    assert ended[0] == 1
    with pytest.raises(DeviceError, match="nothing was heard"):
        lease.renew(first)
    lease.release(first)  # not its own any more: without effect
    assert lease.holder == "b"
    lease.release(second)
    assert (lease.holder, ended[0], lease.usage.expired, lease.usage.refusals) == ("", 2, 1, 1)


def test_a_request_that_is_sent_twice_is_done_once(serve: Callable[..., DeviceServer]) -> None:
    server = serve(Echo(), ll.targets.get("mzi16"))
    link = Link(server.address)
    link.reserve(1)
    number = link._id
    for _ in range(2):
        link._id = number  # the same id again, as after a lost answer
        link.call("status")
    assert server.lease.usage.reservations == 1
    for _ in range(2):
        link._id = number + 1
        link.call("release")
    assert server.lease.holder == ""
    link.close()


def test_a_killed_client_loses_the_device_within_its_lease(serve: Callable[..., DeviceServer]) -> None:
    server = serve(Echo(), ll.targets.get("mzi16"), lease_s=1.0)
    killed = subprocess.run([sys.executable, CONTENDER, server.address, "5", "1", "1", "die"], check=False)
    assert killed.returncode == -9
    link = Link(server.address)
    start = time.monotonic()
    while True:
        try:
            link.reserve(1)
            break
        except DeviceError:
            assert time.monotonic() - start < 20
            time.sleep(0.02)
    assert server.lease.usage.expired == 1
    link.close()


def test_a_killed_server_leaves_a_clear_error(program: ll.Program) -> None:
    command = [sys.executable, "-P", "-m", "lightloom.cli", "serve", "-t", "mzi16", "--address", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("serving mzi16")
        device = ll.devices.connect(line.split()[-1], timeout_s=5.0)
        with device.reserve() as session:
            assert session.run(program, torch.zeros(1, 1, 8, 8)).shape[0] == 1
        driver = device.driver
        assert isinstance(driver, RemoteDevice)
        driver._link.timeout_s = 0.5
        server.kill()
        server.wait()
        with pytest.raises(DeviceError, match=r"does not answer.*tcp://127.*lightloom serve"):
            device.reserve()
        device.close()


def test_nothing_at_the_address_is_said() -> None:
    with pytest.raises(DeviceError, match="does not answer"):
        ll.devices.connect("tcp://127.0.0.1:9", timeout_s=0.2)
    with pytest.raises(DeviceError, match="not an address"):
        ll.devices.connect("somewhere")


def contend(serve: Callable[..., DeviceServer], processes: int, threads: int, seconds: float, killed: int) -> None:
    echo = Echo()
    server = serve(echo, ll.targets.get("mzi16"), lease_s=1.0)
    command = [sys.executable, str(CONTENDER), server.address, str(seconds)]
    clients = [
        subprocess.Popen([*command, str(place + 1), str(threads)], stdout=subprocess.PIPE, text=True)
        for place in range(processes)
    ]
    doomed = [subprocess.Popen([*command, str(place + 500), "1", "die"]) for place in range(killed)]
    results = [result for client in clients for result in json.loads(client.communicate(timeout=seconds + 120)[0])]
    for process in doomed:
        process.wait(timeout=seconds + 120)
    assert len(results) == processes * threads
    assert [fault for result in results for fault in result["faults"]] == []
    spans = sorted(tuple(span) for result in results for span in result["held"])
    assert len(spans) > 10
    assert all(first[1] <= second[0] for first, second in pairwise(spans))  # one holder at a time
    assert echo.overlaps == 0
    usage = server.lease.usage
    assert usage.windows == sum(result["windows"] for result in results)
    assert usage.reservations == len(spans) + usage.expired
    assert usage.expired == sum(process.returncode == -9 for process in doomed) <= killed
    assert usage.refusals >= sum(result["refused"] for result in results)


def test_many_clients_fight_for_one_device(serve: Callable[..., DeviceServer]) -> None:
    contend(serve, processes=3, threads=4, seconds=4, killed=1)


@pytest.mark.slow
def test_a_hundred_clients_fight_for_one_device(serve: Callable[..., DeviceServer]) -> None:
    contend(serve, processes=20, threads=5, seconds=60, killed=5)


def test_messages_survive_the_wire_and_nonsense_does_not() -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.empty((0, 4), np.uint32)}
    message = unpack(pack(Message("stream", 3, "s", {"x": [1, None]}, arrays)))
    assert (message.kind, message.id, message.session, message.fields) == ("stream", 3, "s", {"x": [1, None]})
    for name, array in arrays.items():
        np.testing.assert_array_equal(message.arrays[name], array)
    frames = pack(Message("stream", 3, "s", {}, arrays))
    rng = np.random.default_rng(0)
    for _ in range(300):
        part = bytearray(frames[0])
        part[rng.integers(len(part))] ^= 1 << rng.integers(8)
        with suppress(DeviceError):  # anything else would stop the server
            unpack([bytes(part), *frames[1:]])
    for bad in ([], [b""], [b"{}"], frames[:1], [*frames, b"x"], [b"[" * 100_000], [b"\xff"]):
        with pytest.raises(DeviceError):
            unpack(bad)
    with pytest.raises(DeviceError, match="no such array"):
        pack(Message("x", 1, arrays={"a": np.array(["text"])}))


def test_a_server_survives_nonsense(serve: Callable[..., DeviceServer]) -> None:
    server = serve(Echo(), ll.targets.get("mzi16"))
    link = Link(server.address)
    link._socket.send_multipart([b"nonsense"])
    for kind, fields in (("fly", {}), ("reserve", {}), ("configure", {"header": 3}), ("read_out", {})):
        with pytest.raises(DeviceError):
            link.call(kind, fields)
    assert link.call("status").fields["holder"] == ""
    link.close()
