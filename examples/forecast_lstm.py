"""An LSTM that forecasts a series, trained here in a few seconds: what is left of it on a chip of few bits, with noise?

The input and hidden weights lie on tiles; the chip's errors enter the state at every time step and come round again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import lightloom as ll
from lightloom.runtime.report.tables import aligned, si
from lightloom.runtime.scheduling.schedule import EventKind
from lightloom.whatif import what_if

WINDOW, HORIZON = 32, 4


class Forecaster(nn.Module):
    """From the last values of a series to the next ones: (batch, WINDOW, 1) -> (batch, HORIZON)."""

    def __init__(self, hidden: int = 24) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, HORIZON)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def series(length: int, seed: int) -> Tensor:
    """A fast and a slow oscillation whose strength drifts, and a little noise."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(length) + 1000 * seed
    slow = torch.sin(2 * torch.pi * time / 61)
    fast = (0.6 + 0.4 * torch.sin(2 * torch.pi * time / 203)) * torch.sin(2 * torch.pi * time / 11)
    return slow + 0.7 * fast + 0.03 * torch.randn(length, generator=generator)


def windows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Every stretch of the series, cut into what is known and what is to be forecast."""
    cut = values.unfold(0, WINDOW + HORIZON, 1)
    return cut[:, :WINDOW, None].contiguous(), cut[:, WINDOW:].contiguous()


def train(model: Forecaster, x: Tensor, y: Tensor, epochs: int = 12) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, epochs * -(-len(x) // 64))
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()


def error(forecast: Tensor, y: Tensor) -> float:
    """Root mean square error."""
    return float((forecast - y).square().mean().sqrt())


def main() -> None:
    torch.manual_seed(0)
    model = Forecaster()
    train(model, *windows(series(1200, seed=1)))
    model.eval()
    x, y = windows(series(400, seed=2))
    chip = ll.targets.get("mzi16").with_({"mesh.cores": 12})
    eight = chip.with_({"encoding.dac_bits": 8, "detection.adc_bits": 8})
    with torch.no_grad():
        exact = model(x)
    program = ll.compile(model, x[:1], eight)
    quiet = what_if(program, {"detection.noise": False})
    coarse = what_if(quiet, {"encoding.dac_bits": 6, "detection.adc_bits": 6})
    dim = what_if(program, {"detection.noise": True, "detection.launch_power_w": 1e-6})
    results = [
        ("the last value again", x[:, -1].expand(-1, HORIZON)),
        ("PyTorch, float32", exact),
        ("ideal chip", program.run(x, ideal=True)),
        ("8 bits", quiet(x)),
        ("8 bits, noise", program(x)),
        ("8 bits, noise at 1 uW of light", dim(x)),
        ("6 bits", coarse(x)),
    ]
    rows = [(name, f"{error(got, y):.4f}", f"{error(got, exact):.1e}") for name, got in results]
    print(aligned(["forecast by", "error", "from float32"], rows))
    print(f"\n{program.explain().headline}")
    configures = int((program.schedule.kind == EventKind.CONFIGURE).sum())
    print(f"{configures} configurations of a tile for {WINDOW} time steps: the tiles stay")
    makespan, joules = program.schedule.makespan_s, program.energy.total_j
    print(f"one forecast takes {si(makespan, 's')} and {si(joules, 'J')}")


if __name__ == "__main__":
    main()
