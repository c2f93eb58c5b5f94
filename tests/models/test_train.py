"""Training on Digits: the data, the accuracy, the same seed twice, and clear errors."""

from __future__ import annotations

import sys

import pytest
import torch

from lightloom.models import MLP, DigitsCNN
from lightloom.models.train import Epoch, accuracy, load_digits_split, train
from lightloom.runtime.errors import InputError, LightloomError


def test_split_holds_every_image_once():
    split = load_digits_split(0)
    assert split.train_images.shape == (1347, 1, 8, 8)
    assert split.test_images.shape == (450, 1, 8, 8)
    assert split.train_images.min() == 0
    assert split.train_images.max() == 1
    labels = torch.cat([split.train_labels, split.test_labels])
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert split.test_labels.bincount().min() >= 43  # stratified


def test_another_seed_is_another_split():
    assert not torch.equal(load_digits_split(0).test_labels, load_digits_split(1).test_labels)


def test_digits_cnn_reaches_97_percent():
    model, history = train(DigitsCNN(), epochs=5)
    assert not model.training
    assert [epoch.number for epoch in history] == [1, 2, 3, 4, 5]
    assert history[-1].test_accuracy >= 0.97
    split = load_digits_split(0)
    with torch.no_grad():
        assert accuracy(model(split.test_images), split.test_labels) == history[-1].test_accuracy


def test_same_seed_same_network():
    seen: list[Epoch] = []
    one, history = train(MLP(), epochs=2, seed=4, progress=seen.append)
    other, _ = train(MLP(), epochs=2, seed=4)
    assert seen == history
    assert history[1].loss < history[0].loss
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_accuracy_counts_the_largest_logit():
    logits = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    assert accuracy(logits, torch.tensor([1, 0, 0, 1])) == 0.75


def test_no_epochs():
    with pytest.raises(InputError, match="1 or more"):
        train(MLP(), epochs=0)


def test_missing_scikit_learn_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(LightloomError, match=r"scikit-learn.*\[demo\]"):
        load_digits_split()
