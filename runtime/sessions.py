"""A reservation of a device over many runs: configured once, then only what changes.

A :class:`Session` stands between the step executor and a device. It keeps the reservation open, numbers requests
without gaps from run to run, and passes a configuration on only where the core's buffer does not hold exactly that
already.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from .device import (
    ConfigureRequest,
    ConfigureResponse,
    Header,
    PhotonicDevice,
    StreamRequest,
    StreamResponse,
)
from .errors import DeviceError, complaint
from .remote.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class SessionUsage:
    """What a session did: runs; configurations sent, and found in place; windows and vectors; seconds so far."""

    runs: int = 0
    configures: int = 0
    kept: int = 0
    windows: int = 0
    vectors: int = 0
    seconds: float = 0.0


class Session:
    """Exclusive use of a device; a context manager that gives it back, also after an error.

    It is a :class:`.device.PhotonicDevice` itself, for one run after another: ``program.run(x, executor="step",
    device=session)``, or :meth:`run`. Made by :meth:`lightloom.devices.Device.reserve`.
    """

    def __init__(self, device: PhotonicDevice, cores: int, lease: Lease | None = None, name: str = "session") -> None:
        self.usage = SessionUsage()
        self.cores = cores
        self._device = device
        self._lease = lease
        self._token = lease.acquire(name) if lease is not None else ""
        self._open = True
        self._running = False
        self._began = time.monotonic()
        self._sequence = 0
        self._held: dict[tuple[int, int], tuple[ConfigureRequest, ConfigureResponse, int]] = {}  # by core and buffer
        self._wanted: dict[tuple[int, int], tuple[int, int]] = {}  # core and the run's configuration: the same key
        self._windows: dict[int, Header] = {}
        try:
            device.reserve(cores)
        except BaseException:
            self._open = False
            if lease is not None:
                lease.release(self._token)
            raise

    def run(self, program: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
        """Run a :class:`lightloom.Program` on the device, step by step.

        Args:
            program: The program. inputs: of the model. options: as for ``Program.run``, but executor and device.

        Raises:
            DeviceError: the session is over, or the device refuses.
        """
        result = program.run(*inputs, executor="step", device=self, **options)  # type: ignore[attr-defined]
        self.usage.runs += 1
        return result

    def reserve(self, cores: int) -> None:
        """A run begins; the device stays reserved from the session's start to its end."""
        self._alive()
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
        self._wanted.clear()

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """Pass a configuration on, unless the core's buffer holds exactly it."""
        self._alive()
        core = (request.header.core, request.buffer)
        self._wanted = {run: place for run, place in self._wanted.items() if place != core}
        self._wanted[request.header.core, request.header.configuration] = core
        held = self._held.get(core)
        if held is not None and _same(held[0], request):
            self.usage.kept += 1
            return replace(held[1], header=request.header)
        self._held.pop(core, None)
        header = self._numbered(request.header, self._sequence + 1)
        response = self._device.configure(replace(request, header=header))
        _check(response.header, header)
        self._held[core] = (request, response, header.configuration)
        self.usage.configures += 1
        return replace(response, header=request.header)

    def stream(self, request: StreamRequest) -> None:
        """Pass a window on."""
        self._alive()
        place = self._wanted.get((request.header.core, request.header.configuration))
        held = None if place is None else self._held.get(place)
        if held is None:
            raise DeviceError(
                complaint("a window before any configuration", where=f"core {request.header.core}",
                          next_step="configure the core first")
            )  # fmt: skip
        header = self._numbered(request.header, held[2])
        self._device.stream(replace(request, header=header))
        self._windows[request.header.sequence] = header
        self.usage.windows += 1
        self.usage.vectors += request.codes.shape[1]

    def read_out(self, header: Header) -> StreamResponse:
        """Wait for a window of this run."""
        self._alive()
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
        self.usage.seconds = time.monotonic() - self._began
        self._held.clear()
        if self._lease is not None:
            self._lease.release(self._token)  # releases the device
        else:
            self._device.release()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _alive(self) -> None:
        if not self._open:
            raise DeviceError(complaint("the session is over", next_step="reserve the device again"))
        if self._lease is not None:
            self._lease.renew(self._token)

    def _numbered(self, header: Header, configuration: int) -> Header:
        self._sequence += 1
        return replace(header, sequence=self._sequence, configuration=configuration)


def _check(got: Header, wanted: Header) -> None:
    if got != wanted:
        raise DeviceError(
            complaint("the device answered another request", got=got.sequence, allowed=f"sequence {wanted.sequence}")
        )


def _same(held: ConfigureRequest, wanted: ConfigureRequest) -> bool:
    """Whether a core that holds the one holds the other: the same settings for the same tile."""
    return (
        held.header.tile == wanted.header.tile
        and (held.phase_bits, held.attenuator_bits, held.lit_ports, held.measure_offset)
        == (wanted.phase_bits, wanted.attenuator_bits, wanted.lit_ports, wanted.measure_offset)
        and all(
            np.array_equal(getattr(held, name), getattr(wanted, name))
            for name in ("left", "right", "attenuators", "adc_full_scale")
        )
    )
