"""What a choice sees: folds of everything but the test part. Networks trained together learn as they would alone."""

import accuracy
import numpy as np
import parts
import pytest
import together
import torch
from together import Setting

from lightloom.models import pnn


@pytest.mark.parametrize(("data", "seed"), [("iris", 0), ("iris", 3), ("digits", 1)])
def test_the_split_is_the_product_s(data, seed):
    ours, theirs = parts.split(data, seed), pnn.load(data, seed)
    for name in ("train_x", "train_y", "validation_x", "validation_y", "test_x", "test_y"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


def test_eight_folds_of_iris_are_seventy_and_ten_percent_without_the_test_part(monkeypatch):
    _, labels = parts.raw("iris")
    # every feature is the row's number, so that an amplitude says which row it was
    numbered = np.repeat(np.arange(len(labels), dtype=float)[:, None], 4, axis=1)
    monkeypatch.setattr(parts, "raw", lambda data: (numbered, labels))
    for seed in (0, 2):
        train, validation, test = parts.rows_of("iris", seed)
        seen = []
        for fold in parts.folds("iris", seed, 8, "max"):
            assert [len(fold.train_x), len(fold.validation_x)] == [105, 15]
            # "max" divides by the largest row number of the training part
            rest = sorted({*train, *validation})
            inside = [rows for rows in rest if _number(fold, rows)]
            assert len(inside) == 15
            seen += inside
        assert sorted(seen) == sorted({*train, *validation})
        assert not {*seen} & {*test}


def _number(fold, row):
    """Whether a row is in the validation part of a fold of numbered rows."""
    rest = torch.cat([fold.train_x[:, 0], fold.validation_x[:, 0]])
    # rows are whole numbers, the scale is the one that makes them so
    scale = next(high for high in range(149, 100, -1) if _whole(rest * high))
    return bool(((fold.validation_x[:, 0] * scale).round() == row).any())


def _whole(values):
    return bool(((values - values.round()).abs() < 1e-3).all())


@pytest.mark.parametrize("data", ["iris", "digits"])
def test_candidates_never_see_the_test_part(monkeypatch, data):
    pairs = [(3, setting) for setting in accuracy.CANDIDATES[data][:2]]
    expected = accuracy.try_out(data, "clements", pairs, 1)
    features, labels = parts.raw(data)
    _, validation, test = parts.rows_of(data, 3)

    def spoiled(rows, value):
        other = features.copy()
        other[rows] = value
        return other, labels

    def numbers(records):
        return [[record[key] for key in ("loss", "validation", "validation_loss")] for record in records]

    monkeypatch.setattr(parts, "raw", lambda data: spoiled(test, np.nan))
    assert numbers(accuracy.try_out(data, "clements", pairs, 1)) == numbers(expected)
    # the same spoiling of rows that are seen shows
    monkeypatch.setattr(parts, "raw", lambda data: spoiled(validation[:1], 0.0))
    assert numbers(accuracy.try_out(data, "clements", pairs, 1)) != numbers(expected)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("range", [[-0.5, 0.5], [0.5, 1.0]]),
        ("max", [[0.25, 0.75], [0.75, 1.0]]),
        ("power", [[0.0, 0.5**0.5], [0.5**0.5, 1.0]]),
    ],
)
def test_encodings_are_scaled_by_the_training_rows(encoding, expected):
    training = np.array([[2.0, 4.0], [4.0, 8.0]])
    rows = np.array([[1.0, 6.0], [3.0, 8.0]])
    assert parts.encode(rows, training, encoding, shared=False).numpy() == pytest.approx(np.array(expected))


def test_pixels_share_one_scale():
    training = np.array([[0.0, 4.0], [2.0, 16.0]])
    assert parts.encode(training, training, "range", shared=True).tolist() == [[0.0, 0.25], [0.125, 1.0]]


def test_networks_trained_together_learn_as_alone():
    settings = [Setting(0.03, 16, 2.0, "range"), Setting(0.1, 16, 1.0, "power")]
    runs = [
        together.Run(accuracy.network("iris", "fldzhyan_bell", setting, 10 * seed), fold, setting, seed)
        for seed, setting in enumerate(settings)
        for fold in parts.folds("iris", seed, 1, setting.encoding)
    ]
    outcomes = together.train(runs, 3)
    for run, outcome in zip(runs, outcomes, strict=True):
        options = pnn.Training(
            3, run.setting.batch, run.setting.learning_rate, final_rate=together.FINAL_RATE, seed=run.seed
        )
        history = pnn.train(run.model, parts.split("iris", run.seed, run.setting.encoding), options)
        assert outcome.loss == pytest.approx(history.loss[-1], rel=2e-3)
        assert outcome.validation_loss == pytest.approx(history.validation_loss[-1], rel=2e-3)
        assert outcome.validation_accuracy == pytest.approx(history.validation_accuracy[-1])
