"""What a choice may see and what only the last runs may: data sets cut into parts, features encoded as amplitudes.

Nothing here is fitted to more than the training rows of the cut it makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightloom.models import pnn

ENCODINGS = ("range", "max", "power")
"""Amplitudes from features. "range": what the training rows span becomes 0..1; "max": their largest value becomes 1;
"power": the square root of "range", so that the light's power follows the feature."""


@dataclass(frozen=True)
class Fold:
    """Amplitudes float32 (count, features) and labels int64 (count,) to train and to validate on."""

    train_x: Tensor
    train_y: Tensor
    validation_x: Tensor
    validation_y: Tensor


@cache
def raw(data: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (count, features) as they come, and labels.

    Raises:
        OSError: a download failed.
    """
    features, labels = pnn.DATASETS[data]()
    return np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.int64)


def encode(rows: np.ndarray, training: np.ndarray, encoding: str, shared: bool) -> Tensor:
    """Rows as amplitudes, scaled by what the training rows span; ``shared``: one scale for all features (pixels)."""
    axis = None if shared else 0
    low, high = training.min(axis=axis), training.max(axis=axis)
    if encoding == "max":
        return torch.tensor(rows / high, dtype=torch.float32)
    scaled = (rows - low) / (high - low)
    if encoding == "power":
        # rows below all of the training part have no light
        scaled = np.sqrt(np.clip(scaled, 0, None))
    return torch.tensor(scaled, dtype=torch.float32)


def rows_of(data: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers of training (70 %), validation (10 %) and test (20 %), the same as ``pnn.load``'s."""
    labels = raw(data)[1]
    # scikit-learn's own types say less than it returns
    from sklearn.model_selection import train_test_split  # here, so that --help needs nothing

    halves: Any = train_test_split
    rest, test = halves(np.arange(len(labels)), test_size=0.2, random_state=seed, stratify=labels)
    train, validation = halves(rest, test_size=0.125, random_state=seed, stratify=labels[rest])
    return train, validation, test


def split(data: str, seed: int, encoding: str = "range") -> pnn.Split:
    """The three parts of a seed; with "range" what ``pnn.load`` gives."""
    features, labels = raw(data)
    train, validation, test = rows_of(data, seed)
    parts: list[Tensor] = []
    for rows in (train, validation, test):
        amplitudes = encode(features[rows], features[train], encoding, data != "iris")
        parts += [amplitudes, torch.from_numpy(labels[rows])]
    return pnn.Split(*parts)


def folds(data: str, seed: int, count: int, encoding: str = "range") -> list[Fold]:
    """What a seed's choice may see: everything but its test part.

    ``count`` = 1 is the seed's own training and validation part. More cut the two together into that many folds; of
    8, every fold again trains on 70 % of the data and validates on 10 %.
    """
    features, labels = raw(data)
    train, validation, _ = rows_of(data, seed)
    if count == 1:
        cuts = [(train, validation)]
    else:
        both = np.sort(np.concatenate([train, validation]))
        from sklearn.model_selection import StratifiedKFold

        cutter = StratifiedKFold(count, shuffle=True, random_state=seed)
        cuts = [(both[inside], both[outside]) for inside, outside in cutter.split(both, labels[both])]
    return [
        Fold(
            encode(features[inside], features[inside], encoding, data != "iris"),
            torch.from_numpy(labels[inside]),
            encode(features[outside], features[inside], encoding, data != "iris"),
            torch.from_numpy(labels[outside]),
        )
        for inside, outside in cuts
    ]
