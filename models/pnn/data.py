"""Data sets of the slicing paper, split 70 / 10 / 20: training, validation, test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ...runtime.errors import InputError, LightloomError, complaint
from ...runtime.installed import missing
from ...runtime.seeds import seed_of


@dataclass(frozen=True)
class Split:
    """Features float32 (count, features) and labels int64 (count,) of three parts."""

    train_x: Tensor
    train_y: Tensor
    validation_x: Tensor
    validation_y: Tensor
    test_x: Tensor
    test_y: Tensor

    @property
    def features(self) -> int:
        """Numbers a sample."""
        return self.train_x.shape[1]

    @property
    def classes(self) -> int:
        """Labels run from 0 to this, exclusive."""
        return 1 + int(max(part.max() for part in (self.train_y, self.validation_y, self.test_y)))


def load(name: str, seed: int = 0) -> Split:
    """A data set by name, features scaled to 0..1 by what the training part spans, shuffled and split.

    Iris and Digits come with scikit-learn; MNIST and Olivetti are fetched by it.

    Args:
        name: of ``DATASETS``.
        seed: which shuffle; every class keeps its share in each part.

    Raises:
        InputError: unknown name.
        LightloomError: scikit-learn is missing, or a download failed.
    """
    if name not in DATASETS:
        raise InputError(complaint("Unknown data set", where="load", got=repr(name), allowed=", ".join(DATASETS)))
    try:
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise missing("the data sets", "scikit-learn", "demo") from error
    # scikit-learn's own types say less than it returns
    halves: Any = train_test_split
    try:
        features, labels = DATASETS[name]()
    except OSError as error:
        raise LightloomError(complaint("The data set could not be fetched", where=name, got=error)) from error
    rest_x, test_x, rest_y, test_y = halves(
        features, labels, test_size=0.2, random_state=seed_of(seed, bits=32), stratify=labels
    )
    train_x, validation_x, train_y, validation_y = halves(
        rest_x, rest_y, test_size=0.125, random_state=seed_of(seed, bits=32), stratify=rest_y
    )
    low, high = train_x.min(axis=0), train_x.max(axis=0)
    if name != "iris":
        # pixels share one scale
        low, high = low.min(), high.max()
    numbers = [
        torch.tensor((part - low) / (high - low), dtype=torch.float32) for part in (train_x, validation_x, test_x)
    ]
    names = [torch.tensor(part, dtype=torch.int64) for part in (train_y, validation_y, test_y)]
    return Split(numbers[0], names[0], numbers[1], names[1], numbers[2], names[2])


def _shipped(loader: str) -> Callable[[], tuple[Any, Any]]:
    def fetch() -> tuple[Any, Any]:
        from sklearn import datasets

        return getattr(datasets, loader)(return_X_y=True)

    return fetch


def _mnist() -> tuple[Any, Any]:
    from sklearn.datasets import fetch_openml

    features, labels = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
    return features, labels.astype(int)


def _olivetti() -> tuple[Any, Any]:
    from sklearn.datasets import fetch_olivetti_faces

    faces: Any = fetch_olivetti_faces()
    # 32 x 32 of the 64 x 64 pixels, as the paper's 1024 ports take
    images = faces.images.reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4))
    return images.reshape(len(images), -1), faces.target


DATASETS: Mapping[str, Callable[[], tuple[Any, Any]]] = MappingProxyType(
    {"iris": _shipped("load_iris"), "digits": _shipped("load_digits"), "mnist": _mnist, "olivetti": _olivetti}
)
"""Every data set by name: () -> features (count, features), labels (count,)."""
