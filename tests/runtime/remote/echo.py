"""A device for tests of the link: no light, what is sent comes back."""

from __future__ import annotations

from lightloom.runtime.device import (
    ConfigureRequest,
    ConfigureResponse,
    Header,
    StreamRequest,
    StreamResponse,
    statistics,
)


class Echo:
    """A device that reads back the codes it was sent, and notices when two reservations overlap."""

    def __init__(self) -> None:
        self.reserved = 0
        self.overlaps = 0
        self.windows: dict[int, StreamRequest] = {}

    def reserve(self, cores: int) -> None:
        self.overlaps += self.reserved > 0
        self.reserved += 1

    def release(self) -> None:
        self.reserved = 0
        self.windows.clear()

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        return ConfigureResponse(request.header)

    def stream(self, request: StreamRequest) -> None:
        self.windows[request.header.sequence] = request

    def read_out(self, header: Header) -> StreamResponse:
        codes = self.windows.pop(header.sequence).codes
        shape = (codes.shape[0], codes.shape[1], codes.shape[2])
        return StreamResponse(header, shape, codes, statistics(codes, None, None))
