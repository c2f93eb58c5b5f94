"""A residual network of three blocks, one of them with a strided shortcut."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..runtime.seeds import seed_of


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm around a shortcut (He et al., arXiv:1512.03385, figure 2).

    Where the shape changes the shortcut is a 1x1 convolution with the same stride.

    Shape:
        (batch, channels_in, h, w) -> (batch, channels_out, ceil(h / stride), ceil(w / stride)).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class ResidualCNN(nn.Module):
    """A stem, three residual blocks (the second halves the image), global pooling, a classifier.

    Args:
        channels: channels of the stem; they double where the image halves.
        classes: outputs.
        inputs: channels of the image.
        seed: seeds the initial weights; the global random state is left alone.

    Shape:
        (batch, inputs, h, w) with h, w >= 2 -> (batch, classes) logits, float32.
    """

    def __init__(self, channels: int = 16, classes: int = 10, inputs: int = 1, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed))
            self.stem = nn.Sequential(
                nn.Conv2d(inputs, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
            )
            self.blocks = nn.Sequential(
                ResidualBlock(channels, channels),
                ResidualBlock(channels, 2 * channels, stride=2),
                ResidualBlock(2 * channels, 2 * channels),
            )
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * channels, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Class logits of a batch of images."""
        return self.head(self.blocks(self.stem(x)))
