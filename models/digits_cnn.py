"""A small convolutional network for 8x8 digits: the network of the demo."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..runtime.seeds import seed_of


class DigitsCNN(nn.Module):
    """Two convolutions with batch norm, one pooling, two linear layers.

    Args:
        channels: channels of the first convolution; the second has twice as many.
        seed: seeds the initial weights; the global random state is left alone.

    Shape:
        (batch, 1, 8, 8) -> (batch, 10) logits, float32.
    """

    def __init__(self, channels: int = 16, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed))
            self.features = nn.Sequential(
                nn.Conv2d(1, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(2 * channels),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            self.classifier = nn.Sequential(
                nn.Flatten(), nn.Linear(2 * channels * 16, 64), nn.ReLU(), nn.Linear(64, 10)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Class logits of a batch of images."""
        return self.classifier(self.features(x))
