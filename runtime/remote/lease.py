"""Who holds a device: one client at a time, for as long as it gives signs of life."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock

from ..errors import DeviceError, complaint


@dataclass
class Usage:
    """What a device has done for its clients so far."""

    reservations: int = 0
    refusals: int = 0
    expired: int = 0
    configures: int = 0
    windows: int = 0
    vectors: int = 0
    reserved_s: float = 0.0


class Lease:
    """Exclusive use of a device by tokens. Thread safe.

    Args:
        seconds: without a sign of life for so long, a holder loses the device.
        on_end: called when a reservation ends, by release or by expiry.
        clock: seconds, growing.
    """

    def __init__(self, seconds: float, on_end: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        if not seconds > 0:
            raise DeviceError(complaint("a lease needs a time", got=seconds, allowed="more than 0 s"))
        self.seconds = seconds
        self.usage = Usage()
        self._on_end = on_end
        self._clock = clock
        self._holder = ""
        self._name = ""
        self._since = self._until = 0.0
        self._lost: deque[str] = deque(maxlen=1000)  # of clients that may still ask
        self._busy: dict[str, int] = {}  # requests under way, by token
        self._lock = RLock()

    @property
    def holder(self) -> str:
        """Name of the client that holds the device; empty where none does."""
        with self._lock:
            self.expire()
            return self._name if self._holder else ""

    def acquire(self, name: str) -> str:
        """A token for the device. Raises DeviceError while another client holds it."""
        with self._lock:
            self.expire()
            if self._holder:
                self.usage.refusals += 1
                raise DeviceError(
                    complaint(
                        "the device is reserved by another client",
                        got=f"{self._name}, for {self._clock() - self._since:.1f} s so far",
                        next_step=f"try again: a client that is gone loses it after {self.seconds:g} s",
                    )
                )
            self._holder, self._name = secrets.token_hex(8), name
            self._since = self._clock()
            self._until = self._since + self.seconds
            self.usage.reservations += 1
            return self._holder

    def holds(self, token: str) -> bool:
        """Whether a token is that of the reservation."""
        with self._lock:
            return bool(token) and token == self._holder

    def renew(self, token: str) -> None:
        """A sign of life of the holder. Raises DeviceError for a token that does not hold the device (any more)."""
        with self._lock:
            self.expire()
            if token and token == self._holder:
                self._until = self._clock() + self.seconds
                return
            if token in self._lost:
                raise DeviceError(
                    complaint(
                        "the reservation has ended: nothing was heard of this client",
                        got=f"more than {self.seconds:g} s of silence",
                        next_step="reserve the device again",
                    )
                )
            raise DeviceError(complaint("the device is not reserved by this client", next_step="call reserve() first"))

    @contextmanager
    def busy(self, token: str) -> Iterator[None]:
        """A request of the holder is under way: a device that is slow to answer is no silence of the client.

        Raises DeviceError for a token that does not hold the device (any more).
        """
        with self._lock:
            self.renew(token)
            self._busy[token] = self._busy.get(token, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._busy[token] -= 1
                if not self._busy[token]:
                    del self._busy[token]
                if token == self._holder:
                    self._until = self._clock() + self.seconds

    def release(self, token: str) -> None:
        """End the reservation; without effect for a token that holds nothing."""
        with self._lock:
            if token and token == self._holder:
                self._end()

    def expire(self) -> bool:
        """End a reservation whose holder has been silent for too long; whether there was one."""
        with self._lock:
            if not self._holder or self._holder in self._busy or self._clock() < self._until:
                return False
            self.usage.expired += 1
            self._lost.append(self._holder)
            self._end()
            return True

    def _end(self) -> None:
        self.usage.reserved_s += self._clock() - self._since
        self._holder = self._name = ""
        self._on_end()
