"""Many small networks of one shape trained at once: each is a tile of the engine's batch of meshes.

A step of a 4-port mesh is nearly all overhead, so a hundred of them cost little more than one. Every network starts,
shuffles and learns as ``pnn.train`` would have it do alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from parts import Fold
from torch import Tensor
from torch.nn import functional as F

from lightloom.models import pnn
from lightloom.runtime.slicing import propagate

DECAY, EPSILON = 0.99, 1e-8
"""RMSProp as in torch."""


@dataclass(frozen=True)
class Setting:
    """Hyper-parameters that validation chooses between."""

    learning_rate: float
    batch: int
    input_gain: float
    encoding: str = "range"

    def __str__(self) -> str:
        return f"encoding={self.encoding}/rate={self.learning_rate:g}/batch={self.batch}/gain={self.input_gain:g}"


FINAL_RATE = 0.02
"""Of the learning rate, at the end of half a cosine."""


@dataclass
class Run:
    """A network that is to be trained on a fold; ``seed`` orders its samples."""

    model: pnn.MeshNetwork
    fold: Fold
    setting: Setting
    seed: int


@dataclass(frozen=True)
class Outcome:
    """Of the last epoch: mean training loss, mean validation loss, fraction of the validation part that is right."""

    loss: float
    validation_loss: float
    validation_accuracy: float


class Together:
    """Networks side by side. (tiles, batch, features) -> scores (tiles, batch, classes)."""

    def __init__(self, models: Sequence[pnn.MeshNetwork], gains: Tensor) -> None:
        self.ports, self.classes = models[0].ports, models[0].classes
        self.layout = models[0].first.layout
        self.gains = gains
        stacks = zip(*(model.parameters() for model in models), strict=True)
        self.names = [name for name, _ in models[0].named_parameters()]
        self.values = [torch.stack(stack).detach()[:, None].requires_grad_() for stack in stacks]
        self.squares = [torch.zeros_like(value) for value in self.values]

    def __call__(self, x: Tensor) -> Tensor:
        """Class scores."""
        part = dict(zip(self.names, self.values, strict=True))
        fields = F.pad(x * self.gains, (0, self.ports - x.shape[-1])).to(torch.complex64)
        fields = propagate(fields, part["first.phases"], self.layout)
        if "diagonal.gain" in part:
            fields = fields * part["diagonal.gain"]
        fields = propagate(fields, part["second.phases"], self.layout)[..., : self.classes]
        power = fields.real.square() + fields.imag.square()
        return power + part["bias.offset"] if "bias.offset" in part else power

    def step(self, loss: Tensor, rates: Tensor) -> None:
        """RMSProp, every network with its own learning rate."""
        gradients = torch.autograd.grad(loss, self.values)
        with torch.no_grad():
            for value, square, gradient in zip(self.values, self.squares, gradients, strict=True):
                square.mul_(DECAY).addcmul_(gradient, gradient, value=1 - DECAY)
                value.sub_(rates * gradient / square.sqrt().add_(EPSILON))


def train(runs: Sequence[Run], epochs: int) -> list[Outcome]:
    """Train networks of one shape, on folds of one size, with one batch size.

    The models given keep their first phases; what is learned serves for the outcome only.
    """
    (batch,) = {run.setting.batch for run in runs}
    tiles = Together([run.model for run in runs], _column([run.setting.input_gain for run in runs]))
    rates = _column([run.setting.learning_rate for run in runs])
    orders = [torch.Generator().manual_seed(run.seed) for run in runs]
    x = torch.stack([run.fold.train_x for run in runs])
    y = torch.stack([run.fold.train_y for run in runs])
    rows = torch.arange(len(runs))[:, None]
    total = torch.zeros(len(runs))
    for epoch in range(epochs):
        share = FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * epoch / max(1, epochs - 1)))
        total = torch.zeros(len(runs))
        shuffled = torch.stack([torch.randperm(x.shape[1], generator=order) for order in orders])
        for chosen in shuffled.split(batch, dim=1):
            losses = _losses(tiles(x[rows, chosen]), y[rows, chosen])
            tiles.step(losses.mean(1).sum(), rates * share)
            total += losses.detach().sum(1)
    with torch.no_grad():
        labels = torch.stack([run.fold.validation_y for run in runs])
        scores = tiles(torch.stack([run.fold.validation_x for run in runs]))
        right = (scores.argmax(-1) == labels).double().mean(1)
        validation = _losses(scores, labels).mean(1)
    columns = (total / x.shape[1]).tolist(), validation.tolist(), right.tolist()
    return [Outcome(*one) for one in zip(*columns, strict=True)]


def _column(numbers: Sequence[float]) -> Tensor:
    return torch.tensor(numbers)[:, None, None]


def _losses(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy (tiles, batch)."""
    return F.cross_entropy(scores.transpose(1, 2), labels, reduction="none")
