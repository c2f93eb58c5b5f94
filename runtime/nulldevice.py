"""A device without optics, for tests of everything around it."""

from __future__ import annotations

import numpy as np

from .device import (
    ConfigureRequest,
    ConfigureResponse,
    Header,
    StreamRequest,
    StreamResponse,
    statistics,
)


class NullDevice:
    """Accepts every request, keeps it in ``requests``, and reads zeros of the right shape.

    ``calls`` lists the names of the calls in order.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.requests: list[ConfigureRequest | StreamRequest] = []
        self._windows: dict[int, StreamRequest] = {}

    def reserve(self, cores: int) -> None:
        """Always granted."""
        del cores
        self.calls.append("reserve")

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        """Settled at once; offsets are zero."""
        self.calls.append("configure")
        self.requests.append(request)
        offset = np.zeros(len(request.adc_full_scale)) if request.measure_offset else None
        return ConfigureResponse(request.header, offset)

    def stream(self, request: StreamRequest) -> None:
        """Kept, not sent."""
        self.calls.append("stream")
        self.requests.append(request)
        self._windows[request.header.sequence] = request

    def read_out(self, header: Header) -> StreamResponse:
        """Zeros."""
        self.calls.append("read_out")
        codes = self._windows.pop(header.sequence).codes
        rails, vectors, ports = codes.shape
        zeros = codes.new_zeros((rails, vectors, ports))
        return StreamResponse(header, (rails, vectors, ports), zeros, statistics(zeros, None, None))

    def release(self) -> None:
        """Always granted."""
        self.calls.append("release")
