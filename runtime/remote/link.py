"""The client's end of the link: requests with answers, in order, each answered once. Needs no torch."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DeviceError, complaint
from ..installed import missing
from .wire import ERROR, MAX_BYTES, Message, pack, size, unpack

if TYPE_CHECKING:
    import zmq

RELEASE_S = 2.0
"""Longest wait for the answer to a release: a server that does not hear it ends the lease by itself."""


def zmq_module() -> Any:
    """ZeroMQ, or a complaint that says how to get it."""
    try:
        import zmq
    except ImportError as error:
        raise missing("a served device", "pyzmq", "serve") from error
    return zmq


class Link:
    """A connection to a device server.

    Args:
        address: as ``lightloom serve`` prints it, for example ``tcp://127.0.0.1:5555``.
        timeout_s: how long to wait for an answer. A connection that breaks is noticed at once.

    Requests of several threads are sent one after the other; signs of life go by a socket and thread of their own.
    ``sent`` and ``received`` count the bytes of messages. A link belongs to the process that made it.
    """

    def __init__(self, address: str, timeout_s: float = 10.0) -> None:
        if not 0 < timeout_s < 1e6:  # NaN too
            raise DeviceError(complaint("an impossible time-out", got=timeout_s, allowed="more than 0 s, below 1e6 s"))
        self.zmq = zmq_module()
        self.address = address
        self.timeout_s = timeout_s
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.session = ""
        self.sent = self.received = 0
        self._id = 0
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._closed = False
        self._beat: _Beat | None = None
        self._connect()

    def call(
        self,
        kind: str,
        fields: Mapping[str, Any] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
        timeout_s: float | None = None,
    ) -> Message:
        """Send a request and wait for its answer.

        Raises:
            DeviceError: the server refuses, does not answer in time, or is gone; in the last two cases the reservation
                is lost.
        """
        with self._lock:
            if self._closed or os.getpid() != self._process:
                raise DeviceError(
                    complaint("the link is closed, or another process's", where=self.address, next_step="connect again")
                )
            if self._broken() and self.session:
                raise self._gone(f"the connection was closed before {kind!r}")
            self._id += 1
            frames = pack(Message(kind, self._id, self.session, fields or {}, arrays or {}))
            deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
            try:
                self._socket.send_multipart(frames)
            except self.zmq.Again:
                raise self._gone(f"{kind!r} could not be sent") from None
            self.sent += size(frames)
            answer = self._answer(kind, deadline)
        if answer.kind == ERROR:
            raise DeviceError(str(answer.fields.get("message", "refused without a reason")))
        return answer

    def _answer(self, kind: str, deadline: float) -> Message:
        """The answer to the request that was sent last; older ones belong to requests that were given up."""
        while True:
            wait = deadline - time.monotonic()
            ready = dict(self._poller.poll(max(0.0, wait * 1e3))) if wait > 0 else {}
            if self._socket in ready:
                frames = self._socket.recv_multipart()
                self.received += size(frames)
                answer = unpack(frames)
                if answer.id == self._id:
                    return answer
            elif ready and self._broken():
                raise self._gone(f"the connection was closed after {kind!r}")
            elif not ready:
                waited = self.timeout_s if wait > 0 else self.timeout_s - wait
                raise self._gone(f"nothing for {waited:.3g} s after {kind!r}")

    def reserve(self, cores: int) -> dict[str, Any]:
        """Take the device; signs of life are sent until :meth:`release`. Returns what the server says of it."""
        answer = self.call("reserve", {"cores": cores, "name": self.name})
        session, lease_s = answer.fields.get("session"), answer.fields.get("lease_s")
        if not isinstance(session, str) or not isinstance(lease_s, int | float) or not lease_s > 0:
            raise DeviceError(complaint("the server's answer is not understood", where="reserve", got=answer.fields))
        self._stop_beat()
        self.session = session
        self._beat = _Beat(self._made(), session, max(0.01, min(float(lease_s) / 3, 1e5)))
        return dict(answer.fields)

    def release(self) -> None:
        """Give the device back; without effect where it is not held.

        Raises:
            DeviceError: the server does not answer; it ends the reservation by itself after its lease.
        """
        self._stop_beat()
        if self.session and os.getpid() == self._process:
            try:
                self.call("release", timeout_s=min(self.timeout_s, RELEASE_S))
            finally:
                self.session = ""

    def close(self) -> None:
        """Release and disconnect; allowed twice."""
        if self._closed:
            return
        try:
            self.release()
        except DeviceError:
            pass  # a server that is gone holds nothing for us
        finally:
            with self._lock:
                self._closed = True
                if os.getpid() == self._process:
                    self._disconnect()

    def _stop_beat(self) -> None:
        if self._beat is not None:
            self._beat.stop()
            self._beat = None

    def _broken(self) -> bool:
        """Whether the connection has been lost since it was last asked."""
        lost = False
        while self._monitor.poll(0):
            self._monitor.recv_multipart()  # only disconnections are reported
            lost = True
        return lost

    def _gone(self, what: str) -> DeviceError:
        """Forget what is on its way: an answer that comes later belongs to nobody."""
        self._disconnect()
        self._connect()
        return DeviceError(
            complaint(
                "the device server does not answer",
                where=self.address,
                got=what,
                next_step="check that `lightloom serve` runs and the address is right",
            )
        )

    def _connect(self) -> None:
        self._socket = self._made()
        self._monitor = self._socket.get_monitor_socket(self.zmq.EVENT_DISCONNECTED)
        self._poller = self.zmq.Poller()
        self._poller.register(self._socket, self.zmq.POLLIN)
        self._poller.register(self._monitor, self.zmq.POLLIN)

    def _disconnect(self) -> None:
        self._socket.disable_monitor()  # closes the monitor too
        self._socket.close(linger=0)

    def _made(self) -> zmq.Socket[bytes]:
        made = self.zmq.Context.instance().socket(self.zmq.DEALER)
        made.setsockopt(self.zmq.LINGER, 0)
        made.setsockopt(self.zmq.SNDHWM, 16)
        made.setsockopt(self.zmq.RCVHWM, 16)
        made.setsockopt(self.zmq.MAXMSGSIZE, MAX_BYTES)
        made.setsockopt(self.zmq.SNDTIMEO, round(self.timeout_s * 1e3))
        try:
            made.connect(self.address)
        except (self.zmq.ZMQError, TypeError) as error:
            made.close()
            raise DeviceError(complaint("not an address", got=repr(self.address), allowed="tcp://host:port")) from error
        return made


class _Beat:
    """Signs of life of one reservation: a long request must not hold them up."""

    def __init__(self, beat: zmq.Socket[bytes], session: str, period_s: float) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(beat, session, period_s), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=1.0)

    def _run(self, beat: zmq.Socket[bytes], session: str, period_s: float) -> None:
        import zmq

        frames = pack(Message("renew", 0, session))
        try:
            while not self._stop.wait(period_s):
                try:
                    beat.send_multipart(frames, zmq.NOBLOCK)
                except zmq.Again:
                    continue  # the server is gone, or behind: requests will tell
                while beat.poll(0):
                    beat.recv_multipart()
        finally:
            beat.close(linger=0)
