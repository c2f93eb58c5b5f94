"""Serves a device to clients in other processes, one at a time.

One thread does everything in turn, so that no two requests ever meet on the device. A client that stays silent for
longer than the lease loses the device; a device that is slow does not count as silence. Answers carry the id of their
request; a request that is sent twice is answered twice and done once.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np

from ..device import ConfigureRequest, ConfigureResponse, Header, PhotonicDevice, UpdatingDevice
from ..errors import DeviceError, LightloomError, complaint
from ..sessions.updates import updated
from ..targets.schema import Target
from . import forms
from .lease import Lease
from .link import zmq_module
from .wire import ERROR, MAX_BYTES, Frame, Message, pack, unpack

MAX_UNREAD = 256
"""Windows that a client may have streamed and not read yet."""

_log = logging.getLogger(__name__)


class DeviceServer:
    """A device behind a ZeroMQ address.

    Args:
        device: What is served: the simulator, or a driver of your own. Changes of a configuration are passed on to one
            that takes them (:class:`.device.UpdatingDevice`); others get whole configurations.
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
        self.lease = Lease(lease_s, self._ended)
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        for option, value in (
            (zmq.LINGER, 200),
            (zmq.RCVHWM, 16),  # messages that wait for their turn, of each client
            (zmq.SNDHWM, 64),  # answers that a client has not taken; more are dropped
            (zmq.MAXMSGSIZE, MAX_BYTES),
        ):
            self._socket.setsockopt(option, value)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._socket.close()
            raise DeviceError(complaint("the address cannot be served", where=address, got=str(error))) from error
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._last: tuple[str, int, list[Frame]] | None = None
        self._stopped = False
        self._whole: dict[tuple[int, int], ConfigureRequest] = {}  # by core and buffer, for drivers without updates
        self._unread: set[int] = set()
        self._does: dict[str, Callable[[Message], Message]] = {
            "status": self._status,
            "target": self._target,
            "reserve": self._reserve,
            "renew": self._renew,
            "release": self._release,
            "configure": self._configure,
            "update": self._update,
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
            try:
                self._ended()
            finally:
                self._socket.close()

    def stop(self) -> None:
        """End :meth:`run` soon; may be called from another thread."""
        self._stopped = True

    def _answer(self, frames: list[bytes]) -> list[Frame]:
        number, session, holder = -1, "", False
        try:
            request = unpack(frames)
            number, session = request.id, request.session
            if number > 0 and self._last is not None and self._last[:2] == (session, number):
                return self._last[2]
            holder = self.lease.holds(session)  # others have no say in what is answered again
            does = self._does.get(request.kind)
            if does is None:
                raise DeviceError(complaint("no such request", got=request.kind, allowed=", ".join(self._does)))
            answer = pack(does(request))
        except LightloomError as error:
            answer = _refusal(number, session, str(error))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError) as error:
            answer = _refusal(number, session, complaint("not a request of this kind", got=repr(error)))
        except Exception as error:
            _log.exception("a request failed")
            answer = _refusal(number, session, complaint("the request failed on the server", got=repr(error)))
        if holder and number > 0:
            self._last = (session, number, answer)
        return answer

    def _ended(self) -> None:
        """A reservation is over."""
        self._whole.clear()
        self._unread.clear()
        self._last = None
        try:
            self.device.release()
        except Exception:  # of a driver: the next reservation shows what state it is in
            _log.exception("the device could not be released")

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

    def _target(self, request: Message) -> Message:
        return Message("target", request.id, fields={"target": self.target.model_dump(mode="json")})

    def _reserve(self, request: Message) -> Message:
        name, cores = str(request.fields["name"])[:200], forms.whole(request.fields["cores"])
        token = self.lease.acquire(name)
        try:
            with self.lease.busy(token):
                self._drive(self.device.reserve, cores)
        except BaseException:
            self.lease.release(token)
            raise
        updates = isinstance(self.device, UpdatingDevice)
        fields = {
            "session": token,
            "lease_s": self.lease.seconds,
            "updates": True,
            "incremental": updates and bool(getattr(self.device, "incremental", True)),
            "compact": True,
        }
        return Message("reserve", request.id, fields=fields)

    def _renew(self, request: Message) -> Message:
        self.lease.renew(request.session)
        return Message("renew", request.id, request.session)

    def _release(self, request: Message) -> Message:
        self.lease.release(request.session)
        return Message("release", request.id, request.session)

    def _configure(self, request: Message) -> Message:
        with self.lease.busy(request.session):
            wanted = forms.configure_request(request)
            return self._settled(request, self._whole_configuration(wanted))

    def _update(self, request: Message) -> Message:
        with self.lease.busy(request.session):
            wanted = forms.update_request(request)
            if isinstance(self.device, UpdatingDevice):
                return self._settled(request, self._drive(self.device.update, wanted))
            held = self._whole.get((wanted.header.core, wanted.buffer))
            if held is None:
                raise DeviceError(complaint("an update of a buffer that holds nothing", next_step="configure it first"))
            return self._settled(request, self._whole_configuration(updated(held, wanted)))

    def _whole_configuration(self, wanted: ConfigureRequest) -> ConfigureResponse:
        place = (wanted.header.core, wanted.buffer)
        self._whole.pop(place, None)
        response = self._drive(self.device.configure, wanted)
        if not isinstance(self.device, UpdatingDevice):
            self._whole[place] = wanted
        return response

    def _settled(self, request: Message, response: ConfigureResponse) -> Message:
        self.lease.usage.configures += 1
        arrays = {} if response.offset is None else {"offset": np.asarray(response.offset, np.float64)}
        fields = {"header": forms.header_fields(response.header)}
        return Message(request.kind, request.id, request.session, fields, arrays)

    def _stream(self, request: Message) -> Message:
        with self.lease.busy(request.session):
            wanted = forms.stream_request(request)
            if len(self._unread) >= MAX_UNREAD:
                raise DeviceError(
                    complaint("too many windows that nobody has read", allowed=f"up to {MAX_UNREAD}",
                              next_step="read out windows before streaming more")
                )  # fmt: skip
            self._drive(self.device.stream, wanted)
            self._unread.add(wanted.header.sequence)
            self.lease.usage.windows += 1
            self.lease.usage.vectors += wanted.codes.shape[1]
            return Message("stream", request.id, request.session)

    def _read_out(self, request: Message) -> Message:
        with self.lease.busy(request.session):
            header: Header = forms.header(request.fields["header"])
            response = self._drive(self.device.read_out, header)
            self._unread.discard(header.sequence)
            fields, arrays = forms.window_fields(response.codes, request.fields.get("compact") is True)
            fields |= {
                "header": forms.header_fields(response.header),
                "shape": list(response.shape),
                "statistics": asdict(response.statistics),
            }
            return Message("read_out", request.id, request.session, fields, arrays)

    @staticmethod
    def _drive(does: Callable[..., Any], *args: Any) -> Any:
        """Let the driver do something; what it did not mean to raise is told as its failure."""
        try:
            return does(*args)
        except LightloomError:
            raise
        except Exception as error:
            _log.exception("the driver failed")
            raise DeviceError(complaint("the device's driver failed", got=repr(error))) from error


def _refusal(number: int, session: str, message: str) -> list[Frame]:
    return pack(Message(ERROR, number, session, {"message": message[:10_000]}))


def serve_simulator(target: Target, address: str, lease_s: float, told: Callable[[str], Any]) -> None:
    """Serve the simulator of a chip until interrupted or terminated; ``told`` gets the address once it is open."""
    from ..simulator import SimulatorDevice

    server = DeviceServer(SimulatorDevice(target), target, address, lease_s)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
    told(server.address)
    with suppress(KeyboardInterrupt):
        server.run()
