"""Training on scikit-learn's Digits: 1797 real 8x8 images of handwritten digits, in seconds on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..runtime.errors import InputError, complaint
from ..runtime.installed import missing
from ..runtime.seeds import seed_of

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Split:
    """Images float32 (count, 1, 8, 8) in 0..1 and labels int64 (count,), for training and for testing."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images came to. ``test_accuracy`` is a fraction."""

    number: int
    loss: float
    test_accuracy: float


def load_digits_split(seed: int = 0, test_share: float = 0.25) -> Split:
    """The Digits images (UCI ML hand-written digits, as shipped with scikit-learn), shuffled and split.

    Args:
        seed: which shuffle.
        test_share: fraction of the images kept for testing, the classes in equal shares.

    Raises:
        LightloomError: if scikit-learn is not installed; the message names the extra that brings it.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise missing("the Digits data", "scikit-learn", "demo") from error
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        images / 16.0, labels, test_size=test_share, random_state=seed_of(seed, bits=32), stratify=labels
    )
    train_x, test_x = (torch.tensor(part, dtype=torch.float32).reshape(-1, 1, 8, 8) for part in parts[:2])
    train_y, test_y = (torch.tensor(part, dtype=torch.int64) for part in parts[2:])
    return Split(train_x, train_y, test_x, test_y)


def train(
    model: Model,
    epochs: int = 10,
    seed: int = 0,
    progress: Callable[[Epoch], None] | None = None,
    split: Split | None = None,
) -> tuple[Model, list[Epoch]]:
    """Train a classifier on Digits with Adam and a one-cycle learning rate.

    Args:
        model: takes (batch, 1, 8, 8), gives (batch, 10) logits; trained in place.
        epochs: passes over the training images, at least 1.
        seed: of the batches' order (and of the split, if none is given).
        progress: called with every finished epoch.
        split: the data; :func:`load_digits_split` of ``seed`` by default.

    Returns:
        The model in evaluation mode, and the history.

    Raises:
        InputError: for fewer than one epoch.
    """
    if epochs < 1:
        raise InputError(complaint("Training needs epochs", got=epochs, allowed="1 or more"))
    split = split or load_digits_split(seed)
    generator = torch.Generator().manual_seed(seed_of(seed))
    optimizer = torch.optim.Adam(model.parameters())
    count, batch = len(split.train_images), 64
    steps = epochs * -(-count // batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    history: list[Epoch] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed))
        for number in range(1, epochs + 1):
            model.train()
            total = 0.0
            for chosen in torch.randperm(count, generator=generator).split(batch):
                loss = F.cross_entropy(model(split.train_images[chosen]), split.train_labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                rate.step()
                total += loss.item() * len(chosen)
            history.append(Epoch(number, total / count, _test_accuracy(model, split)))
            if progress:
                progress(history[-1])
    return model.eval(), history


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Fraction of samples whose largest logit is their label. (count, classes), (count,) -> 0..1."""
    return (logits.argmax(dim=1) == labels).double().mean().item()


def _test_accuracy(model: nn.Module, split: Split) -> float:
    model.eval()
    with torch.no_grad():
        return accuracy(model(split.test_images), split.test_labels)
