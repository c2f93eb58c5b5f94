"""The text of a small network after every pass, as golden files."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from lightloom.compiler.ir import parse, show, verify
from lightloom.compiler.passes import NAMES
from lightloom.compiler.pipeline import compile_model
from lightloom.runtime import targets


class Small(nn.Module):
    """One of each: batch norm to fold, a constant to fold, dead code, a shared layer, a grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding="same", bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.depthwise = nn.Conv2d(4, 4, (3, 2), stride=2, padding=1, groups=4)
        self.drop = nn.Dropout()
        self.shared = nn.Linear(20, 20)
        self.offset = nn.Parameter(torch.ones(20))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.drop(self.depthwise(self.stem(image)))
        x = torch.flatten(x, 1)[:, :20]
        _ = x.exp() + 1
        x = self.shared(torch.relu(self.shared(x)))
        return x * (self.offset * 2 + 1)


@pytest.mark.parametrize("name", NAMES)
def test_text_after_pass(name: str, golden: Callable[[str], None]) -> None:
    graph = compile_model(Small().eval(), torch.zeros(2, 2, 5, 5), targets.get("mzi16"), stop_after=name).graph
    verify(graph)
    text = show(graph)
    assert parse(text) == graph
    golden(text)
