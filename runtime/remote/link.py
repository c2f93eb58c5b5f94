"""The client's end of the link: requests with answers, in order, each answered once. Needs no torch."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DeviceError, LightloomError, complaint
from .wire import ERROR, Message, pack, unpack

if TYPE_CHECKING:
    import zmq


def zmq_module() -> Any:
    """ZeroMQ, or a complaint that says how to get it."""
    try:
        import zmq
    except ImportError as error:
        raise LightloomError(
            complaint("a served device needs pyzmq, which is not installed", next_step="pip install 'lightloom[serve]'")
        ) from error
    return zmq


class Link:
    """A connection to a device server.

    Args:
        address: as ``lightloom serve`` prints it, for example ``tcp://127.0.0.1:5555``.
        timeout_s: how long to wait for an answer.

    Use a link from one thread; :meth:`keep_alive` runs its own.
    """

    def __init__(self, address: str, timeout_s: float = 10.0) -> None:
        self.zmq = zmq_module()
        self.address = address
        self.timeout_s = timeout_s
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.session = ""
        self._id = 0
        self._socket = self._connected()
        self._beat: threading.Thread | None = None
        self._stop = threading.Event()

    def call(
        self, kind: str, fields: Mapping[str, Any] | None = None, arrays: Mapping[str, np.ndarray] | None = None
    ) -> Message:
        """Send a request and wait for its answer.

        Raises:
            DeviceError: the server refuses, or does not answer in time; the reservation is then lost.
        """
        self._id += 1
        request = Message(kind, self._id, self.session, fields or {}, arrays or {})
        self._socket.send_multipart(pack(request))
        while True:
            if not self._socket.poll(round(self.timeout_s * 1e3)):
                self._reconnect()
                raise DeviceError(
                    complaint(
                        "the device server does not answer",
                        where=self.address,
                        got=f"nothing for {self.timeout_s:g} s after {kind!r}",
                        next_step="check that `lightloom serve` runs and the address is right",
                    )
                )
            answer = unpack(self._socket.recv_multipart())
            if answer.id == self._id:
                break  # an older id answers a request that was given up
        if answer.kind == ERROR:
            raise DeviceError(str(answer.fields.get("message", "refused without a reason")))
        return answer

    def reserve(self, cores: int) -> dict[str, Any]:
        """Take the device; signs of life are sent until :meth:`release`. Returns what the server says of it."""
        answer = self.call("reserve", {"cores": cores, "name": self.name})
        self.session = str(answer.fields["session"])
        self._stop.clear()
        self._beat = threading.Thread(
            target=self._keep_alive, args=(self.session, float(answer.fields["lease_s"]) / 3), daemon=True
        )
        self._beat.start()
        return dict(answer.fields)

    def release(self) -> None:
        """Give the device back; without effect where it is not held."""
        self._stop.set()
        if self.session:
            try:
                self.call("release")
            finally:
                self.session = ""

    def close(self) -> None:
        """Release and disconnect."""
        try:
            self.release()
        except DeviceError:
            pass  # a server that is gone holds nothing for us
        finally:
            self._socket.close(linger=0)

    def _keep_alive(self, session: str, period_s: float) -> None:
        """Signs of life on a socket of their own: a long request must not hold them up."""
        beat = self._connected()
        try:
            while not self._stop.wait(period_s):
                beat.send_multipart(pack(Message("renew", 0, session)))
                while beat.poll(0):
                    beat.recv_multipart()
        finally:
            beat.close(linger=0)

    def _connected(self) -> zmq.Socket[bytes]:
        made = self.zmq.Context.instance().socket(self.zmq.DEALER)
        made.setsockopt(self.zmq.LINGER, 0)
        try:
            made.connect(self.address)
        except self.zmq.ZMQError as error:
            made.close()
            raise DeviceError(complaint("not an address", got=repr(self.address), allowed="tcp://host:port")) from error
        return made

    def _reconnect(self) -> None:
        """Forget what is on its way: an answer that comes later belongs to nobody."""
        self._socket.close(linger=0)
        self._socket = self._connected()
