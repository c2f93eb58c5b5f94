"""Costs at the sizes of a run: the step executor and the counts follow sequences of any length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import lightloom as ll
from lightloom.runtime.executor import Runner
from lightloom.runtime.pricing.costs_at import costs_at
from lightloom.runtime.pricing.counts import run_counts
from lightloom.runtime.program import ProgramBody
from lightloom.runtime.scheduling.dealing import deal


class Mixer(nn.Module):
    """A linear layer of every position, a convolution along them, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.each = nn.Linear(3, 5)
        self.along = nn.Conv1d(5, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.along(torch.relu(self.each(x)).transpose(1, 2)).mean(2)


@pytest.fixture(scope="module")
def body() -> ProgramBody:
    example = torch.zeros(2, 6, 3)
    return ll.compile(Mixer().eval(), example, target="mzi16", dynamic_shapes={"x": {1: "length"}}).body


@pytest.mark.parametrize("length", [4, 6, 11])
def test_counts_are_those_of_a_schedule_for_the_length(body: ProgramBody, length: int) -> None:
    x = torch.randn(3, length, 3)
    sized = costs_at(body, {body.inputs[0].name: x}, 3)
    counts = run_counts(sized, deal(sized, 3))
    runner = Runner(body)
    stepped = runner.run((x,), dtype=torch.float64, executor="step")
    assert runner.counts == counts
    torch.testing.assert_close(runner.run((x,), dtype=torch.float64), stepped, rtol=0, atol=1e-12)
    assert runner.counts == counts


def test_costs_grow_with_the_length_and_are_the_examples_at_its_own(body: ProgramBody) -> None:
    name = body.inputs[0].name
    assert costs_at(body, {name: torch.zeros(5, 6, 3)}, 5).costs == body.costs
    longer = costs_at(body, {name: torch.zeros(5, 12, 3)}, 5).costs
    for step in body.matrix_steps:
        assert longer[step.name].vectors == 2 * body.costs[step.name].vectors > 0
        assert longer[step.name].macs == 2 * body.costs[step.name].macs > 0


def test_where_only_the_batch_varies_nothing_is_made_anew() -> None:
    fixed = ll.compile(Mixer().eval(), torch.zeros(2, 6, 3), target="mzi16").body
    assert costs_at(fixed, {fixed.inputs[0].name: torch.zeros(9, 6, 3)}, 9) is fixed
