"""The rules of the device protocol, checked the same way by every device in this package."""

from __future__ import annotations

import numpy as np
import torch

from .device import ConfigureRequest, Header, StreamRequest
from .errors import DeviceError, complaint


class Session:
    """One device's side of the protocol: who reserved it, what each core holds, what was numbered how."""

    def __init__(self, cores: int, ports: int, buffers: int = 1) -> None:
        self.cores = cores
        self.ports = ports
        self.buffers = buffers
        self._reserved = 0
        self._sequence = -1
        self._held: dict[int, dict[int, Header]] = {}  # by core and buffer

    def reserve(self, cores: int) -> None:
        """Start a reservation. Raises DeviceError where one is open or the cores are not there."""
        if self._reserved:
            raise DeviceError(
                complaint("the device is reserved already", got=f"a request for {cores} cores",
                          next_step="release it first")
            )  # fmt: skip
        if not 1 <= cores <= self.cores:
            raise DeviceError(
                complaint("the device has no such number of cores", got=cores, allowed=f"1 to {self.cores}")
            )
        self._reserved = cores
        self._sequence = -1

    def release(self) -> None:
        """End the reservation and forget what the cores hold."""
        self._reserved = 0
        self._held.clear()

    def configure(self, request: ConfigureRequest, phases: int) -> None:
        """Check a configuration and note that the core holds it."""
        header = request.header
        self._admit(header)
        where = _where(header)
        for name, codes, length, bits in (
            ("left", request.left, phases, request.phase_bits),
            ("right", request.right, phases, request.phase_bits),
            ("attenuators", request.attenuators, self.ports, request.attenuator_bits),
        ):
            width = 32 if bits is None else bits
            if codes.dtype != np.uint32 or codes.shape != (length,):
                raise DeviceError(
                    complaint(f"wrong table of {name} codes", where=where, got=f"{codes.dtype} {codes.shape}",
                              allowed=f"uint32 ({length},)")
                )  # fmt: skip
            if codes.size and int(codes.max()) >= 2**width:
                raise DeviceError(
                    complaint(f"a {name} code beyond the driver", where=where, got=int(codes.max()),
                              allowed=f"0 to {2**width - 1}")
                )  # fmt: skip
        if request.adc_full_scale.shape != (self.ports,):
            raise DeviceError(
                complaint("wrong table of ADC full scales", where=where, got=request.adc_full_scale.shape,
                          allowed=f"({self.ports},)")
            )  # fmt: skip
        if not 0 <= request.buffer < self.buffers:
            raise DeviceError(
                complaint("no such buffer of a core", where=where, got=request.buffer,
                          allowed=f"0 to {self.buffers - 1}",
                          next_step="make the schedule for a target with this device's mesh.buffers")
            )  # fmt: skip
        self._held.setdefault(header.core, {})[request.buffer] = header

    def stream(self, request: StreamRequest, rails: int, low: float, high: float, integers: bool) -> None:
        """Check a window: the core holds the tile's configuration, and every code fits the DAC."""
        header, codes = request.header, request.codes
        self._admit(header)
        where = _where(header)
        held = self._held.get(header.core)
        if not held:
            raise DeviceError(
                complaint("a window before any configuration", where=where, next_step="configure the core first")
            )
        if all((own.tile, own.configuration) != (header.tile, header.configuration) for own in held.values()):
            raise DeviceError(
                complaint("the core holds another configuration", where=where,
                          got=f"configuration {header.configuration} of {header.tile.bank}[{header.tile.index}]",
                          allowed=" or ".join(
                              f"configuration {own.configuration} of {own.tile.bank}[{own.tile.index}]"
                              for own in held.values()
                          ),
                          next_step="configure the core again")
            )  # fmt: skip
        if codes.ndim != 3 or codes.shape[0] != rails or codes.shape[2] != self.ports:
            raise DeviceError(
                complaint("wrong shape of a window", where=where, got=tuple(codes.shape),
                          allowed=f"({rails}, vectors, {self.ports})")
            )  # fmt: skip
        if codes.numel() and not _in_range(codes, low, high, integers):
            kind = "whole DAC codes" if integers else "amplitudes"
            raise DeviceError(
                complaint("a window holds codes that the DACs cannot make", where=where,
                          got=f"{float(codes.min())} to {float(codes.max())}", allowed=f"{kind}, {low:g} to {high:g}")
            )  # fmt: skip

    def _admit(self, header: Header) -> None:
        where = _where(header)
        if not self._reserved:
            raise DeviceError(complaint("the device is not reserved", where=where, next_step="call reserve() first"))
        if not 0 <= header.core < self._reserved:
            raise DeviceError(
                complaint("no such core in this reservation", where=where, got=header.core,
                          allowed=f"0 to {self._reserved - 1}")
            )  # fmt: skip
        if header.sequence <= self._sequence:
            raise DeviceError(
                complaint("sequence numbers must grow", where=where, got=header.sequence,
                          allowed=f"more than {self._sequence}")
            )  # fmt: skip
        self._sequence = header.sequence


def _in_range(codes: torch.Tensor, low: float, high: float, integers: bool) -> bool:
    smallest, largest = torch.aminmax(codes)
    inside = bool(smallest >= low) and bool(largest <= high)  # NaN fails both
    return inside and (not integers or bool((codes == codes.round()).all()))


def _where(header: Header) -> str:
    return f"request {header.sequence}, core {header.core}, tile {header.tile.bank}[{header.tile.index}]"
