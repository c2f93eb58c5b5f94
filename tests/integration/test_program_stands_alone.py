"""A program is what was compiled, whatever becomes of the model, of an exported program, or of what a run returned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import lightloom as ll


class Network(nn.Module):
    """Weights on the chip, and every kind of constant on the host: bias, norm, embedding, buffer, scale."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(5, 8)
        self.first, self.norm, self.last = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4)
        self.register_buffer("shift", torch.randn(8))

    def forward(self, x: torch.Tensor, token: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.last(self.norm(self.first(x) + self.embed(token)) + self.shift), self.shift


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 8, generator=generator), torch.tensor([0, 4, 2])


@torch.no_grad()
def _change(model: nn.Module) -> None:
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.mul_(-1.5).add_(0.3)


@pytest.mark.parametrize("exported", [False, True], ids=["module", "exported program"])
def test_a_program_does_not_follow_its_model(exported: bool, tmp_path: Path) -> None:
    model = Network().eval()
    with torch.no_grad():
        wanted = model(*batch())[0].clone()
    source = torch.export.export(model, batch()) if exported else model
    program = ll.compile(source, None if exported else batch(), target="mzi16")
    _change(model)
    with torch.no_grad():
        assert (model(*batch())[0] - wanted).abs().max() > 1
    program.save(tmp_path / "after.loom")
    for held in (program, ll.load(tmp_path / "after.loom")):
        got = held.run(*batch(), ideal=True)[0]
        assert (got - wanted).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("executor", ["batched", "step"])
def test_what_a_run_returns_belongs_to_its_caller(executor: str) -> None:
    program = ll.compile(Network().eval(), batch(), target="mzi16")
    first, shift = program.run(*batch(), executor=executor)
    kept = shift.clone()
    shift.zero_()
    again, shift_again = program.run(*batch(), executor=executor)
    assert torch.equal(again, first)
    assert torch.equal(shift_again, kept)


def test_a_view_of_a_constant_is_copied_too() -> None:
    class Part(Network):
        def forward(self, x: torch.Tensor, token: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return self.first(x) + self.shift, self.shift[2:4], self.embed.weight.T

    program = ll.compile(Part().eval(), batch(), target="mzi16")
    first, *shown = program.run(*batch(), ideal=True)
    kept = [value.clone() for value in shown]
    for value in shown:
        value.fill_(9)
    again, *shown = program.run(*batch(), ideal=True)
    assert torch.equal(again, first)
    assert all(torch.equal(value, old) for value, old in zip(shown, kept, strict=True))


def test_programs_of_one_model_stay_apart() -> None:
    model = Network().eval()
    old = ll.compile(model, batch(), target="mzi16")
    before = old.run(*batch(), ideal=True)[0]
    _change(model)
    new = ll.compile(model, batch(), target="mzi16")
    with torch.no_grad():
        wanted = model(*batch())[0]
    assert torch.equal(old.run(*batch(), ideal=True)[0], before)
    assert (new.run(*batch(), ideal=True)[0] - wanted).abs().max() < 1e-5 * wanted.abs().max()
