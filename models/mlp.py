"""A multilayer perceptron: 64 inputs, 10 classes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ..runtime.seeds import seed_of


class MLP(nn.Module):
    """Linear layers with ReLU between them.

    Args:
        widths: features of every layer, from the input (first) to the classes (last).
        seed: seeds the initial weights; the global random state is left alone.

    Shape:
        (batch, ...) with ``widths[0]`` values a sample -> (batch, widths[-1]) logits, float32.
    """

    def __init__(self, widths: tuple[int, ...] = (64, 96, 48, 10), seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed))
            layers: list[nn.Module] = [nn.Flatten()]
            for before, after in pairwise(widths):
                layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Class logits of a batch."""
        return self.layers(x)
