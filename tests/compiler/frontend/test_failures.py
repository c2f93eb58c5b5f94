"""A model that cannot be captured: one cause, its place, nothing printed, the rest on request."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

import lightloom as ll


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        y = self.layer(x)
        if y.sum() > 0:
            return y
        return -y


class Loops(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        while x.norm() > 1:
            x = self.layer(x) * 0.1
        return x


class Misspelled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 6))

    def forward(self, x):
        return self.inner.first(x)


WIDE = nn.Sequential(nn.Linear(6, 5), nn.Sequential(nn.ReLU(), nn.Linear(4, 3)))
CASES = [
    (
        nn.Linear(6, 5),
        torch.zeros(2, 7),
        r"on its example inputs, input 'input' float32\[2, 7\] \(at Linear\); .*2x7 and 6x5",
    ),
    (WIDE, torch.zeros(2, 6), r"example inputs, .* \(at Sequential, layer 1.1\); .*2x5 and 4x3"),
    (torch.jit.script(nn.Linear(6, 5)), torch.zeros(2, 7), r"got RuntimeError: .*2x7 and 6x5"),
    (nn.Embedding(4, 2), torch.zeros(2, 3), r"does not run .*float32\[2, 3\]"),
    (
        Misspelled(),
        torch.zeros(2, 6),
        r"does not run .*test_failures.py line \d+: return self.inner.first.*no attribute",
    ),
    (Branches(), torch.ones(2, 6), r"control flow .*\(at Branches, test_failures.py line \d+: if y.sum\(\) > 0:\)"),
    (
        Loops(),
        torch.full((2, 6), 9.0),
        r"control flow .*\(at Loops, test_failures.py line \d+: while x.norm\(\) > 1:\)",
    ),
]


@pytest.mark.parametrize(("model", "x", "message"), CASES)
def test_one_cause_and_nothing_else_is_printed(model, x, message, capfd):
    with pytest.raises(ll.CaptureError, match=message) as found:
        ll.compile(model.eval(), x, "mzi16")
    assert len(str(found.value).splitlines()) == 1
    assert found.value.__cause__ is None
    assert len(found.value.attempts) == 6
    assert all(attempt.startswith(("torch.export", "torch.fx")) for attempt in found.value.attempts)
    assert capfd.readouterr() == ("", "")


def test_the_model_and_the_loggers_stay_as_they_are():
    model, names = Branches().eval(), ("torch._dynamo", "torch.export", "torch.fx.experimental.symbolic_shapes")
    levels = [logging.getLogger(name).level for name in names]
    with pytest.raises(ll.CaptureError):
        ll.compile(model, torch.ones(2, 6), "mzi16")
    assert model.seen == 0
    assert [logging.getLogger(name).level for name in names] == levels
    assert not any(
        hooks for hooks in (model._forward_hooks, model.layer._forward_hooks, model.layer._forward_pre_hooks)
    )


def test_who_asks_torch_to_log_hears_it(monkeypatch, capfd):
    monkeypatch.setenv("TORCH_LOGS", "export")
    with pytest.raises(ll.CaptureError):
        ll.compile(Branches().eval(), torch.ones(2, 6), "mzi16")
    assert "y.sum()" in capfd.readouterr().err
