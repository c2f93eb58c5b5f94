"""Recurrent layers on an ideal chip compute what eager PyTorch computes, to 1e-5 of the largest output."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import lightloom as ll
from lightloom.runtime.program import RecurrentStep

FEATURES, HIDDEN, KEPT = 3, 5, 4
KINDS: dict[str, dict[str, Any]] = {
    "lstm": {},
    "lstm, projected": {"proj_size": KEPT},
    "gru": {},
    "rnn tanh": {"nonlinearity": "tanh"},
    "rnn relu": {"nonlinearity": "relu"},
}
SIZES = ((0, 2), (1, 1), (3, 7), (2, 4))
"""Samples and time steps that one program runs with."""


def network(kind: str, **options: Any) -> nn.RNNBase:
    torch.manual_seed(0)
    return getattr(nn, kind.split()[0].rstrip(",").upper())(FEATURES, HIDDEN, **KINDS[kind], **options).eval()


def inputs(model: nn.RNNBase, samples: int, times: int, states: bool) -> tuple[Any, ...]:
    """A sequence and, if asked for, initial states, as the model takes them."""
    torch.manual_seed(samples * 10 + times)
    x = torch.randn((samples, times, FEATURES) if model.batch_first else (times, samples, FEATURES))
    if not states:
        return (x,)
    lead = (model.num_layers * (1 + model.bidirectional), samples)
    h = torch.randn(*lead, model.proj_size or HIDDEN)
    return (x, (h, torch.randn(*lead, HIDDEN)) if model.mode == "LSTM" else h)


def compiled(model: nn.RNNBase, states: bool) -> ll.Program:
    """The model with any number of samples and time steps."""
    sequence = {0: "N", 1: "T"} if model.batch_first else {0: "T", 1: "N"}
    shapes: dict[str, Any] = {"input": sequence}
    if states:
        shapes["hx"] = ({1: "N"}, {1: "N"}) if model.mode == "LSTM" else {1: "N"}
    return ll.compile(model, inputs(model, 3, 4, states), target="mzi16", dynamic_shapes=shapes)


def close(got: Any, wanted: Any) -> None:
    for mine, theirs in zip(tree_leaves(got), tree_leaves(wanted), strict=True):
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        assert not theirs.numel() or (mine - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("states", [False, True], ids=["from zero", "given states"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("batch_first", [True, False], ids=["batch first", "time first"])
@pytest.mark.parametrize(("layers", "both_ways"), list(product((1, 2), (False, True))))
@pytest.mark.parametrize("kind", KINDS)
def test_ideal_equals_eager(
    kind: str, layers: int, both_ways: bool, batch_first: bool, bias: bool, states: bool
) -> None:
    options = {"num_layers": layers, "bidirectional": both_ways, "batch_first": batch_first, "bias": bias}
    model = network(kind, **options)
    program = compiled(model, states)
    assert sum(isinstance(step, RecurrentStep) for step in program.body.steps) == layers * (1 + both_ways)
    for samples, times in SIZES:
        given = inputs(model, samples, times, states)
        with torch.no_grad():
            close(program.run(*given, ideal=True), model(*given))
