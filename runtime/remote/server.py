"""Serves a device to clients in other processes, one at a time.

One thread does everything in turn, so that no two requests ever meet on the device. A client that stays silent for
longer than the lease loses the device. Answers carry the id of their request; a request that is sent twice is
answered twice and done once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np

from ..device import ConfigureRequest, PhotonicDevice, StreamRequest
from ..errors import DeviceError, LightloomError, complaint
from ..targets.schema import Target
from . import forms
from .lease import Lease
from .link import zmq_module
from .wire import ERROR, Message, pack, unpack


class DeviceServer:
    """A device behind a ZeroMQ address.

    Args:
        device: What is served: the simulator, or a driver of your own.
        target: The chip it is.
        address: ``tcp://host:port``; port 0 takes a free one. Keep to 127.0.0.1 unless the network is yours: there is
            no encryption and no password.
        lease_s: Silence after which a client loses the device.
    """

    def __init__(
        self, device: PhotonicDevice, target: Target, address: str = "tcp://127.0.0.1:0", lease_s: float = 5.0
    ) -> None:
        zmq = zmq_module()
        self.device = device
        self.target = target
        self.lease = Lease(lease_s, device.release)
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 200)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._socket.close()
            raise DeviceError(complaint("the address cannot be served", where=address, got=str(error))) from error
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._last: tuple[str, int, list[bytes]] | None = None
        self._stopped = False
        self._does: dict[str, Callable[[Message], Message]] = {
            "status": self._status,
            "reserve": self._reserve,
            "renew": self._renew,
            "release": self._release,
            "configure": self._configure,
            "stream": self._stream,
            "read_out": self._read_out,
        }

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Serve until :meth:`stop` or ``until`` says so; the device is released at the end."""
        try:
            while not self._stopped and not (until is not None and until()):
                if self._socket.poll(min(200.0, self.lease.seconds * 250)):
                    client, *frames = self._socket.recv_multipart()
                    self._socket.send_multipart([client, *self._answer(frames)])
                self.lease.expire()
        finally:
            self.device.release()
            self._socket.close()

    def stop(self) -> None:
        """End :meth:`run` soon; may be called from another thread."""
        self._stopped = True

    def _answer(self, frames: list[bytes]) -> list[bytes]:
        number, session = -1, ""
        try:
            request = unpack(frames)
            number, session = request.id, request.session
            if session and number > 0 and self._last is not None and self._last[:2] == (session, number):
                return self._last[2]
            does = self._does.get(request.kind)
            if does is None:
                raise DeviceError(complaint("no such request", got=request.kind, allowed=", ".join(self._does)))
            answer = pack(does(request))
        except (LightloomError, KeyError, TypeError, ValueError, AttributeError) as error:
            message = str(error) if isinstance(error, LightloomError) else f"not a request of this kind: {error!r}"
            answer = pack(Message(ERROR, number, session, {"message": message}))
        if session and number > 0:
            self._last = (session, number, answer)
        return answer

    def _status(self, request: Message) -> Message:
        return Message(
            "status",
            request.id,
            fields={
                "target": self.target.name,
                "cores": self.target.mesh.cores,
                "ports": self.target.mesh.ports,
                "lease_s": self.lease.seconds,
                "holder": self.lease.holder,
                "usage": asdict(self.lease.usage),
            },
        )

    def _reserve(self, request: Message) -> Message:
        token = self.lease.acquire(str(request.fields["name"])[:200])
        try:
            self.device.reserve(int(request.fields["cores"]))
        except BaseException:
            self.lease.release(token)
            raise
        return Message("reserve", request.id, fields={"session": token, "lease_s": self.lease.seconds})

    def _renew(self, request: Message) -> Message:
        self.lease.renew(request.session)
        return Message("renew", request.id, request.session)

    def _release(self, request: Message) -> Message:
        self.lease.release(request.session)
        return Message("release", request.id, request.session)

    def _configure(self, request: Message) -> Message:
        self.lease.renew(request.session)
        wanted: ConfigureRequest = forms.configure_request(request)
        response = self.device.configure(wanted)
        self.lease.usage.configures += 1
        self.lease.renew(request.session)
        arrays = {} if response.offset is None else {"offset": np.asarray(response.offset, np.float64)}
        return Message(
            "configure", request.id, request.session, {"header": forms.header_fields(response.header)}, arrays
        )

    def _stream(self, request: Message) -> Message:
        self.lease.renew(request.session)
        wanted: StreamRequest = forms.stream_request(request)
        self.device.stream(wanted)
        self.lease.usage.windows += 1
        self.lease.usage.vectors += wanted.codes.shape[1]
        self.lease.renew(request.session)
        return Message("stream", request.id, request.session)

    def _read_out(self, request: Message) -> Message:
        self.lease.renew(request.session)
        response = self.device.read_out(forms.header(request.fields["header"]))
        self.lease.renew(request.session)
        return Message(
            "read_out",
            request.id,
            request.session,
            {
                "header": forms.header_fields(response.header),
                "shape": list(response.shape),
                "statistics": asdict(response.statistics),
            },
            {"codes": response.codes.contiguous().numpy()},
        )


def serve_simulator(target: Target, address: str, lease_s: float, told: Callable[[str], Any]) -> None:
    """Serve the simulator of a chip until interrupted; ``told`` gets the address once it is open."""
    from ..simulator import SimulatorDevice

    server = DeviceServer(SimulatorDevice(target), target, address, lease_s)
    told(server.address)
    with suppress(KeyboardInterrupt):
        server.run()
