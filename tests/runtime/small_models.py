"""Small compiled networks of every kind of step, and a chip that has everything a chip can have."""

from __future__ import annotations

import warnings
from typing import Any

import torch

import lightloom as ll
from lightloom.runtime import targets
from lightloom.runtime.program import ProgramBody
from lightloom.runtime.targets import Target

BATCH = 3


def chip(buffers: int = 1, **changes: Any) -> Target:
    """Eight ports, three cores; memories beside the cores, a link, lanes, incremental updates, noise."""
    return targets.get("mzi16").with_(
        {
            "mesh.ports": 8,
            "mesh.cores": 3,
            "mesh.buffers": buffers,
            "mesh.writes": "changed",
            "encoding.lanes": 4,
            "detection.noise": True,
            "timing.update_s": 2e-7,
            "memory.accumulator_bytes": 8 * 4 * 7,
            "memory.input_buffer_bytes": 8 * 5,
            "memory.sram_bytes": 4096,
            "memory.sram_bytes_per_s": 1e11,
            "memory.dram_bytes_per_s": 1e10,
            "link.latency_s": 1e-6,
            "link.bytes_per_s": 1e9,
            **changes,
        }
    )


class Attention(torch.nn.Module):
    """A transformer block whose products of computed values run on the chip."""

    def __init__(self) -> None:
        super().__init__()
        self.block = torch.nn.TransformerEncoderLayer(16, 2, 20, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x)


MODELS: dict[str, tuple[Any, tuple[int, ...], dict[str, Any]]] = {
    "conv": (
        lambda: torch.nn.Sequential(
            torch.nn.Conv2d(3, 10, 3, stride=2, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(10, 6, 3, groups=2),
            torch.nn.Flatten(),
            torch.nn.Linear(6 * 2 * 3, 9),
        ),
        (3, 7, 9),
        {},
    ),
    "transformer": (Attention, (5, 16), {}),
    "products": (Attention, (5, 16), {"dynamic_matmul": "photonic"}),
    "lstm": (lambda: torch.nn.LSTM(5, 11, proj_size=7, batch_first=True), (4, 5), {}),
}

bodies: dict[str, ProgramBody] = {}


def compiled(name: str) -> ProgramBody:
    if name not in bodies:
        torch.manual_seed(0)
        make, shape, options = MODELS[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ll.LightloomWarning)
            bodies[name] = ll.compile(make().eval(), torch.randn(2, *shape), target=chip(), **options).body
    return bodies[name]


def inputs(name: str, batch: int = BATCH) -> tuple[torch.Tensor]:
    return (torch.randn(batch, *MODELS[name][1], generator=torch.Generator().manual_seed(1)),)
