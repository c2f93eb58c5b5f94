"""A compiled attention layer: it computes sequence-first inside, and still keeps each sample's noise."""

import pytest
import torch
from torch import nn

from lightloom.compiler.pipeline import compile_model
from lightloom.runtime import targets
from lightloom.runtime.executor import Runner
from lightloom.runtime.layout import leading_positions


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()


@pytest.fixture(scope="module")
def runner(model):
    target = targets.get("mzi16").with_({"detection.noise": True})
    return Runner(compile_model(model, torch.randn(4, 6, 16), target).body)


def test_projections_are_found_to_be_sequence_first(runner):
    assert sorted(leading_positions(runner.body).values()) == [1, 1, 6, 6]


def test_ideal_equals_eager(model, runner):
    x = torch.randn(3, 6, 16)
    with torch.no_grad():
        torch.testing.assert_close(runner.run((x,), ideal=True), model(x), rtol=1e-5, atol=1e-5)


def test_noise_belongs_to_the_sample(runner):
    x = torch.randn(4, 6, 16)
    whole = runner.run((x,), seed=1)
    assert torch.equal(runner.run((x[:3],), seed=1), whole[:3])
    assert not torch.equal(runner.run((x,), seed=2), whole)


def test_the_step_executor_agrees(runner):
    x = torch.randn(2, 6, 16)
    stepped = runner.run((x,), seed=1, executor="step")
    torch.testing.assert_close(stepped, runner.run((x,), seed=1), rtol=1e-5, atol=1e-5)
