"""Drive a chip of your own: a device that counts what it is asked to do, with the simulator as its optics.

Replace the simulator by calls of your driver and the same program runs on hardware.
"""

from __future__ import annotations

import torch

import lightloom as ll
from lightloom.models import MLP
from lightloom.runtime.device import ConfigureRequest, ConfigureResponse, Header, StreamRequest, StreamResponse
from lightloom.runtime.simulator import SimulatorDevice


class CountingDevice:
    """A PhotonicDevice: every request passes through here on its way to the chip."""

    def __init__(self, chip: SimulatorDevice) -> None:
        self.chip = chip
        self.phase_codes = 0
        self.vectors = 0
        self.saturated = 0

    def reserve(self, cores: int) -> None:
        self.chip.reserve(cores)

    def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        self.phase_codes += len(request.left) + len(request.right)
        return self.chip.configure(request)

    def stream(self, request: StreamRequest) -> None:
        self.vectors += request.codes.shape[1]
        self.chip.stream(request)

    def read_out(self, header: Header) -> StreamResponse:
        response = self.chip.read_out(header)
        self.saturated += response.statistics.saturated
        return response

    def release(self) -> None:
        self.chip.release()


def main() -> None:
    program = ll.compile(MLP().eval(), torch.zeros(1, 1, 8, 8), target="mzi16")
    x = torch.rand(4, 1, 8, 8)
    device = CountingDevice(SimulatorDevice(program.target))
    y = program.run(x, executor="step", device=device)
    same = torch.allclose(y, program.run(x), atol=1e-5)
    print(f"{device.phase_codes} phase codes written, {device.vectors} vectors streamed, {device.saturated} saturated")
    print(f"equal to the batched simulator: {same}")


if __name__ == "__main__":
    main()
