"""NaN and infinity are refused where they would become light, and nowhere else."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lightloom as ll


class Masked(nn.Module):
    """An additive mask of -inf, and NaN that the host takes away, beside a layer on the chip."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, gaps: torch.Tensor) -> torch.Tensor:
        return F.softmax(self.layer(x) + mask, -1) + self.layer(torch.nan_to_num(gaps))


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, gaps = torch.randn(3, 8, generator=generator), torch.randn(3, 8, generator=generator)
    mask = torch.zeros(3, 8)
    mask[:, 5:] = -math.inf
    gaps[1, 2] = math.nan
    return x, mask, gaps


@pytest.mark.parametrize("executor", ["batched", "step"])
def test_what_never_enters_the_chip_may_be_infinite(executor: str) -> None:
    model = Masked().eval()
    program = ll.compile(model, inputs(), target="mzi16")
    with torch.no_grad():
        wanted = model(*inputs())
    got = program.run(*inputs(), ideal=True, executor=executor)
    assert (got - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("executor", ["batched", "step"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_enters_is_refused_with_its_place(executor: str, value: float) -> None:
    program = ll.compile(Masked().eval(), inputs(), target="mzi16")
    x, mask, gaps = inputs()
    x[2, 3] = value
    with pytest.raises(ll.InputError, match=r"NaN or infinity.*input 'x', position 0.*layer.*index \(2, 3\)"):
        program.run(x, mask, gaps, executor=executor)


@pytest.mark.parametrize("executor", ["batched", "step"])
def test_what_becomes_infinite_on_the_way_is_refused(executor: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).eval()
    with torch.no_grad():
        model[0].weight.fill_(1e38)
        model[0].bias.fill_(3e38)
    program = ll.compile(model, torch.zeros(1, 4), target="mzi16")
    with pytest.raises(ll.InputError, match="on the way into the chip became NaN or infinite"):
        program.run(torch.ones(1, 4), ideal=True, executor=executor)


@pytest.mark.parametrize("executor", ["batched", "step"])
def test_both_factors_of_a_product_on_the_chip_are_checked(executor: str) -> None:
    class Product(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a @ b

    a, b = torch.randn(2, 3, 4), torch.randn(2, 4, 5)
    with pytest.warns(ll.LightloomWarning):
        program = ll.compile(Product(), (a, b), target="mzi16", dynamic_matmul="photonic")
    bad = b.clone()
    bad[1, 2, 3] = math.nan
    with pytest.raises(ll.InputError, match="input 'b', position 1"):
        program.run(a, bad, executor=executor)
    bad = a.clone()
    bad[1, 2, 3] = math.inf
    with pytest.raises(ll.InputError, match="input 'a', position 0"):
        program.run(bad, b, executor=executor)
