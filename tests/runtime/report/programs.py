"""Programs whose pages and figures the tests look at, each made once."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache

import torch

import lightloom as ll
from lightloom.models import ResidualCNN
from lightloom.runtime.values import Ref

HOSTILE = "</script><b id='x'>\"&'<!-- λ \u202e\x07"
"""A name that a page must not trust."""

EVERYTHING = {
    "mesh.cores": 3,
    "mesh.buffers": 2,
    "encoding.lanes": 2,
    "memory.sram_bytes": 2_000_000,
    "memory.sram_bytes_per_s": 1e12,
    "memory.dram_bytes_per_s": 1e11,
    "memory.dram_j_per_byte": 2e-11,
    "memory.input_buffer_bytes": 65536,
    "memory.accumulator_bytes": 65536,
    "memory.local_j_per_byte": 1e-12,
    "link.latency_s": 1e-7,
    "link.bytes_per_s": 1e10,
    "link.j_per_byte": 1e-11,
    "area.cell_m2": 2e-9,
    "area.modulator_m2": 5e-9,
    "area.adc_m2": 2e-8,
    **{f"area.{name}_m2": None for name in ("attenuator", "detector", "laser", "dac", "driver")},
    "area.memory_m2_per_byte": None,
    "energy.control_w": 0.1,
}
"""Fields of a chip of three double-buffered cores with memories, a link and most footprints."""


class Attention(torch.nn.Module):
    """Two computed matrices multiplied: tiles that are programmed while the program runs."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = torch.nn.Linear(24, 24), torch.nn.Linear(24, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.query(x) @ self.key(x).transpose(1, 2)


class Loop(torch.nn.Module):
    """A recurrent layer and a linear one."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = torch.nn.LSTM(8, 12, batch_first=True), torch.nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.cell(x)[0])


@cache
def residual() -> ll.Program:
    """A small convolutional network on the plain preset."""
    torch.manual_seed(0)
    return ll.compile(ResidualCNN().eval(), torch.zeros(2, 1, 16, 16), target="mzi16")


@cache
def equipped() -> ll.Program:
    """The same on the chip that has everything."""
    torch.manual_seed(0)
    target = ll.targets.get("mzi16").with_(EVERYTHING)
    return ll.compile(ResidualCNN().eval(), torch.zeros(2, 1, 16, 16), target=target)


@cache
def tiny() -> ll.Program:
    """One tile."""
    return ll.compile(torch.nn.Linear(3, 2).eval(), torch.zeros(1, 3), target="mzi16")


@cache
def empty() -> ll.Program:
    """No step at all: it hands its input back."""
    body = tiny().body
    return ll.Program(replace(body, steps=(), banks={}, costs={}, outputs=(Ref(body.inputs[0].name),)))


@cache
def attention() -> ll.Program:
    """A product of computed values, over a link."""
    torch.manual_seed(0)
    target = ll.targets.get("mzi16").with_(EVERYTHING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ll.LightloomWarning)  # that it pays off is not the point
        return ll.compile(Attention().eval(), torch.zeros(2, 10, 24), target=target, dynamic_matmul="photonic")


@cache
def recurrent() -> ll.Program:
    """A loop over time, over a link."""
    torch.manual_seed(0)
    return ll.compile(Loop().eval(), torch.zeros(2, 5, 8), target=ll.targets.get("mzi16").with_(EVERYTHING))


@cache
def hostile() -> ll.Program:
    """Names of program, layers, target and notes that want out of their place."""
    body = tiny().body
    steps = tuple(replace(step, path=HOSTILE, reason=HOSTILE) for step in body.steps)
    target = body.target.model_copy(update={"name": HOSTILE, "description": HOSTILE})
    notes = {**body.provenance, "notes": [HOSTILE]}
    return ll.Program(replace(body, name=HOSTILE, steps=steps, target=target, provenance=notes))
