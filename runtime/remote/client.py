"""A served device as a :class:`~lightloom.runtime.device.PhotonicDevice`: programs run on it as on any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from ..device import (
    ConfigureRequest,
    ConfigureResponse,
    DetectorStatistics,
    Header,
    StreamRequest,
    StreamResponse,
    UpdateRequest,
)
from ..errors import DeviceError, LightloomError, complaint
from ..targets.schema import Target
from . import forms
from .link import Link
from .wire import Message


class RemoteDevice:
    """The device that a server at ``address`` serves; see :class:`.link.Link` for the arguments.

    Use it as a context manager, or :meth:`close` it: it releases what it holds. ``updates`` and ``incremental`` say
    whether the server takes changes of a configuration, and whether its driver writes nothing else then; they are known
    from :meth:`reserve` on.
    """

    def __init__(self, address: str, timeout_s: float = 10.0) -> None:
        self._link = Link(address, timeout_s)
        self.updates = self.incremental = self._compact = False

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes of requests sent and of answers received so far."""
        return self._link.sent, self._link.received

    def status(self) -> dict[str, Any]:
        """Target, cores, ports, lease, who holds the device, and its usage so far."""
        return dict(self._link.call("status").fields)

    def target(self) -> Target | None:
        """The chip, as the server describes it; None of a server that does not."""
        try:
            answer = self._link.call("target")
        except DeviceError as error:
            if "no such request" in str(error):
                return None
            raise
        with _understood("target"):
            return Target.model_validate(answer.fields["target"])

    def reserve(self, cores: int) -> None:
        """See :class:`.device.PhotonicDevice`. Signs of life keep the lease until :meth:`release`."""
        found = self._link.reserve(cores)
        self.updates, self.incremental, self._compact = (
            found.get(name) is True for name in ("updates", "incremental", "compact")
        )

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """See :class:`.device.PhotonicDevice`."""
        return _settled(self._link.call("configure", *forms.configure_fields(request, self._compact)))

    def update(self, request: UpdateRequest) -> ConfigureResponse:
        """See :class:`.device.UpdatingDevice`."""
        return _settled(self._link.call("update", *forms.update_fields(request)))

    def stream(self, request: StreamRequest) -> None:
        """See :class:`.device.PhotonicDevice`."""
        fields, arrays = forms.window_fields(request.codes, self._compact)
        self._link.call("stream", {"header": forms.header_fields(request.header), **fields}, arrays)

    def read_out(self, header: Header) -> StreamResponse:
        """See :class:`.device.PhotonicDevice`."""
        answer = self._link.call("read_out", {"header": forms.header_fields(header), "compact": self._compact})
        with _understood("read_out"):
            codes = forms.window(answer)
            rails, vectors, ports = answer.fields["shape"]
            statistics = DetectorStatistics(**answer.fields["statistics"])
            return StreamResponse(forms.header(answer.fields["header"]), (rails, vectors, ports), codes, statistics)

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


def _settled(answer: Message) -> ConfigureResponse:
    with _understood("configure"):
        return ConfigureResponse(forms.header(answer.fields["header"]), answer.arrays.get("offset"))


@contextmanager
def _understood(kind: str) -> Iterator[None]:
    """An answer that is not what was asked for becomes a DeviceError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, LightloomError) as error:
        raise DeviceError(
            complaint("the server's answer is not understood", where=kind, got=f"{type(error).__name__}: {error}")
        ) from error
