"""A served device as a :class:`~lightloom.runtime.device.PhotonicDevice`: programs run on it as on any other."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch

from ..device import (
    ConfigureRequest,
    ConfigureResponse,
    DetectorStatistics,
    Header,
    StreamRequest,
    StreamResponse,
)
from ..errors import DeviceError, complaint
from . import forms
from .link import Link


class RemoteDevice:
    """The device that a server at ``address`` serves; see :class:`.link.Link` for the arguments.

    Use it as a context manager, or :meth:`close` it: it releases what it holds.
    """

    def __init__(self, address: str, timeout_s: float = 10.0) -> None:
        self._link = Link(address, timeout_s)

    def status(self) -> dict[str, Any]:
        """Target, cores, ports, lease, who holds the device, and its usage so far."""
        return dict(self._link.call("status").fields)

    def reserve(self, cores: int) -> None:
        """See :class:`.device.PhotonicDevice`. Signs of life keep the lease until :meth:`release`."""
        self._link.reserve(cores)

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """See :class:`.device.PhotonicDevice`."""
        answer = self._link.call("configure", *forms.configure_fields(request))
        offset = answer.arrays.get("offset")
        return ConfigureResponse(forms.header(answer.fields["header"]), offset)

    def stream(self, request: StreamRequest) -> None:
        """See :class:`.device.PhotonicDevice`."""
        fields = {"header": forms.header_fields(request.header)}
        self._link.call("stream", fields, {"codes": request.codes.contiguous().numpy()})

    def read_out(self, header: Header) -> StreamResponse:
        """See :class:`.device.PhotonicDevice`."""
        answer = self._link.call("read_out", {"header": forms.header_fields(header)})
        codes = torch.from_numpy(answer.arrays["codes"].copy())
        shape = tuple(answer.fields["shape"])
        if len(shape) != 3:
            raise DeviceError(complaint("readings of the wrong shape", got=shape, allowed="(rails, vectors, ports)"))
        statistics = DetectorStatistics(**answer.fields["statistics"])
        return StreamResponse(forms.header(answer.fields["header"]), shape, codes, statistics)

    def release(self) -> None:
        """See :class:`.device.PhotonicDevice`."""
        self._link.release()

    def close(self) -> None:
        """Release and disconnect."""
        self._link.close()

    def __enter__(self) -> RemoteDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
