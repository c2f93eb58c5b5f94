"""A reservation of a device over many runs: configured once, then only what changes.

A :class:`Session` stands between the step executor and a device. It keeps the reservation open, numbers requests
without gaps from run to run, and sends a configuration only where no core holds exactly that already, and then only
those of its settings that change, where the device takes that.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ..device import (
    ConfigureRequest,
    ConfigureResponse,
    Header,
    PhotonicDevice,
    StreamRequest,
    StreamResponse,
    UpdateRequest,
)
from ..errors import DeviceError, InputError, complaint
from ..remote.lease import Lease
from .slots import Held, Slot, Slots, in_place
from .updates import Change
from .usage import SessionUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..targets.schema import Target

__all__ = ["Session", "SessionUsage"]


class Session:
    """Exclusive use of a device; a context manager that gives it back, also after an error.

    It is a :class:`..device.PhotonicDevice` itself, for one run after another: ``program.run(x, executor="step",
    device=session)``, or :meth:`run`. Made by :meth:`lightloom.devices.Device.reserve`.
    """

    def __init__(
        self,
        device: PhotonicDevice,
        cores: int,
        lease: Lease | None = None,
        name: str = "session",
        *,
        target: Target | None = None,
        threshold_rad: float = 0.0,
    ) -> None:
        if not 0 <= threshold_rad <= math.pi:  # NaN too
            raise InputError(
                complaint("a threshold that no phase can meet", where="threshold_rad", got=threshold_rad,
                          allowed="0 to pi")
            )  # fmt: skip
        self.cores = cores
        self.threshold_rad = threshold_rad
        self._usage = SessionUsage(_target=target)
        self._device = device
        self._lease = lease
        self._token = lease.acquire(name) if lease is not None else ""
        self._open = True
        self._running = False
        self._began = time.monotonic()
        self._sequence = 0
        self._slots = Slots(cores, 1 if target is None else target.mesh.buffers)
        # core and configuration, as the run counts them: the run's buffer, and the one that serves it
        self._placed: dict[tuple[int, int], tuple[Slot, Slot]] = {}
        self._windows: dict[int, Header] = {}
        self._ran: WeakSet[Any] = WeakSet()  # programs
        self._traffic = _traffic(device)
        try:
            device.reserve(cores)
        except BaseException:
            self._open = False
            if lease is not None:
                lease.release(self._token)
            raise

    @property
    def usage(self) -> SessionUsage:
        """What the session did so far."""
        if self._open:
            self._usage.seconds = time.monotonic() - self._began
            self._count_traffic()
        return self._usage

    def run(self, program: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
        """Run a :class:`lightloom.Program` on the device, step by step.

        Args:
            program: The program. inputs: of the model. options: as for ``Program.run``, but executor and device. From
                its second run on a program has the schedule of a run that finds its tiles on the chip, unless
                ``warm=False``.

        Raises:
            DeviceError: the session is over, or the device refuses.
        """
        options = {"warm": program in self._ran, **options, "executor": "step", "device": self}
        result = program.run(*inputs, **options)  # type: ignore[attr-defined]
        self._usage.runs += 1
        self._ran.add(program)
        return result

    def reserve(self, cores: int) -> None:
        """A run begins; the device stays reserved from the session's start to its end."""
        with self._using():
            if cores > self.cores:
                raise DeviceError(
                    complaint("the session has fewer cores", got=f"a run on {cores}", allowed=f"up to {self.cores}")
                )
            if self._running:
                raise DeviceError(complaint("a run is under way in this session", next_step="run one after another"))
            self._running = True

    def release(self) -> None:
        """A run ends."""
        self._running = False
        self._windows.clear()
        self._placed.clear()
        self._slots.end_run()

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """Bring a tile onto the chip, unless a core holds exactly it: in full, or as what changes."""
        with self._using():
            wanted = (request.header.core, request.buffer)
            self._placed = {run: place for run, place in self._placed.items() if place[0] != wanted}
            slot, change = self._slots.find(wanted, request, self.threshold_rad)
            held = self._slots[slot]
            if held is not None and change is not None and in_place(held, change):
                self._usage.kept += 1
                self._usage.asked(0, len(change.left_rad), change.left_rad)
                response = held.response
            else:
                response = self._send(slot, request, held, change)
            self._placed[request.header.core, request.header.configuration] = wanted, slot
            return replace(response, header=request.header)

    def _send(
        self, slot: Slot, request: ConfigureRequest, held: Held | None, change: Change | None
    ) -> ConfigureResponse:
        """Configure a buffer, by a change of what it holds where there is one and the device takes it."""
        header = replace(self._numbered(request.header, self._sequence + 1), core=slot[0])
        realised = request if change is None else change.realised
        realised = replace(realised, header=header, buffer=slot[1])
        total = len(realised.left) + len(realised.right) + len(realised.attenuators)
        written = total
        self._slots.forget(slot)  # whatever happens to this request
        if held is not None and change is not None and _takes(self._device, "updates"):
            same_gain = held.request.adc_full_scale.tobytes() == request.adc_full_scale.tobytes()
            update = UpdateRequest(
                header,
                held.request.header.configuration,
                change.at,
                change.codes,
                None if same_gain else request.adc_full_scale,
                request.lit_ports,
                request.measure_offset,
                slot[1],
            )
            response = self._device.update(update)  # type: ignore[attr-defined]
            self._usage.updates += 1
            if _takes(self._device, "incremental"):
                written = len(change.at)
        else:
            response = self._device.configure(realised)
        _check(response.header, header)
        self._slots.hold(slot, realised, response)
        self._usage.asked(written, total, None if change is None else change.left_rad)
        self._usage.sent(written, first=held is None)
        return response

    def stream(self, request: StreamRequest) -> None:
        """Pass a window on."""
        with self._using():
            place = self._placed.get((request.header.core, request.header.configuration))
            held = None if place is None else self._slots[place[1]]
            if held is None:
                raise DeviceError(
                    complaint("a window before any configuration", where=f"core {request.header.core}",
                              next_step="configure the core first")
                )  # fmt: skip
            there = held.request.header
            header = replace(self._numbered(request.header, there.configuration), core=there.core)
            self._device.stream(replace(request, header=header))
            self._windows[request.header.sequence] = header
            self._usage.windows += 1
            self._usage.vectors += request.codes.shape[1]

    def read_out(self, header: Header) -> StreamResponse:
        """Wait for a window of this run."""
        with self._using():
            inner = self._windows.pop(header.sequence, None)
            if inner is None:
                raise DeviceError(complaint("no such window to read out", got=f"sequence {header.sequence}"))
            response = self._device.read_out(inner)
            _check(response.header, inner)
            return replace(response, header=header)

    def close(self) -> None:
        """Give the device back; allowed twice."""
        if not self._open:
            return
        self._open = False
        self._usage.seconds = time.monotonic() - self._began
        try:
            if self._lease is not None:
                self._lease.release(self._token)  # releases the device
            else:
                self._device.release()
        finally:
            self._count_traffic()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        with suppress(DeviceError):  # what went wrong first is told
            self.close()

    @contextmanager
    def _using(self) -> Iterator[None]:
        """The session has the device, and cannot lose it before this is over."""
        if not self._open:
            raise DeviceError(complaint("the session is over", next_step="reserve the device again"))
        if self._lease is None:
            yield
            return
        with self._lease.busy(self._token):
            yield

    def _count_traffic(self) -> None:
        now = _traffic(self._device)
        self._usage.bytes_sent, self._usage.bytes_received = now[0] - self._traffic[0], now[1] - self._traffic[1]

    def _numbered(self, header: Header, configuration: int) -> Header:
        self._sequence += 1
        return replace(header, sequence=self._sequence, configuration=configuration)


def _check(got: Header, wanted: Header) -> None:
    if got != wanted:
        raise DeviceError(
            complaint("the device answered another request", got=got.sequence, allowed=f"sequence {wanted.sequence}")
        )


def _takes(device: PhotonicDevice, name: str) -> bool:
    """Whether a device takes ``updates``, or writes nothing else when it does (``incremental``).

    A driver says so by having ``update``; one that stands for another device says it for that one.
    """
    return callable(getattr(device, "update", None)) and bool(getattr(device, name, True))


def _traffic(device: PhotonicDevice) -> tuple[int, int]:
    """Bytes sent to a served device and received from it so far; none where there is no link."""
    sent, received = getattr(device, "traffic", (0, 0))
    return int(sent), int(received)
