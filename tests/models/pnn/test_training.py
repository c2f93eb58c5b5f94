"""Training: it learns, it repeats, it resumes, and damaged checkpoints are refused."""

import json

import pytest
import torch

from lightloom.models import pnn
from lightloom.models.pnn.training import progress_bar
from lightloom.runtime.errors import ArtefactError, InputError


@pytest.fixture(scope="module")
def iris():
    return pnn.load("iris")


def network(**options):
    return pnn.MeshNetwork(4, 3, bias=True, diagonal=True, haar=True, seed=0, input_gain=2.0, **options)


def test_split_is_70_10_20(iris):
    assert [len(iris.train_x), len(iris.validation_x), len(iris.test_x)] == [105, 15, 30]
    assert (iris.features, iris.classes) == (4, 3)
    assert iris.train_x.min() == 0
    assert iris.train_x.max() == 1
    assert iris.test_y.bincount().tolist() == [10, 10, 10]


def test_parts_do_not_overlap():
    digits = pnn.load("digits", seed=3)
    assert [len(digits.train_x), len(digits.validation_x), len(digits.test_x)] == [1257, 180, 360]
    rows = torch.cat([digits.train_x, digits.validation_x, digits.test_x])
    assert len(rows.unique(dim=0)) == len(rows)


def test_unknown_data():
    with pytest.raises(InputError, match="iris, digits, mnist, olivetti"):
        pnn.load("cifar")


def test_it_learns(iris):
    model = network()
    history = pnn.train(model, iris, pnn.Training(epochs=60, batch=32, learning_rate=0.03, final_rate=0.1))
    assert history.loss[-1] < 0.4 * history.loss[0]
    assert history.validation_accuracy[-1] > 0.85
    assert pnn.evaluate(model, iris.test_x, iris.test_y)[1] > 0.85


def test_same_seed_same_numbers(iris):
    runs = [pnn.train(network(), iris, pnn.Training(epochs=3, seed=5)) for _ in range(2)]
    assert runs[0].loss == runs[1].loss
    assert pnn.train(network(), iris, pnn.Training(epochs=3, batch=32, seed=6)).loss != runs[0].loss


@pytest.mark.parametrize("in_situ", [None, pnn.InSitu(0.01)])
@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
def test_resumed_is_uninterrupted(iris, tmp_path, optimizer, in_situ):
    options = pnn.Training(epochs=6, batch=32, optimizer=optimizer, final_rate=0.5)
    whole = network(in_situ=in_situ)
    expected = pnn.train(whole, iris, options)

    class Interrupted(Exception):
        pass

    def stop(epoch, history):
        if epoch == 5:
            raise Interrupted

    path = tmp_path / "run.safetensors"
    with pytest.raises(Interrupted):
        pnn.train(network(in_situ=in_situ), iris, options, progress=stop, checkpoint=path, every=2)
    resumed = network(in_situ=in_situ)
    history = pnn.train(resumed, iris, options, checkpoint=path)
    assert history.loss == expected.loss
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), whole.parameters(), strict=True))
    # a finished run is not run again
    assert pnn.train(network(), iris, options, checkpoint=path).loss == expected.loss if in_situ is None else True


def test_checkpoints_of_other_training_are_refused(iris, tmp_path):
    path = tmp_path / "run.safetensors"
    pnn.train(network(), iris, pnn.Training(epochs=1), checkpoint=path)
    with pytest.raises(ArtefactError, match=r"learning_rate=0\.01"):
        pnn.train(network(), iris, pnn.Training(epochs=1, learning_rate=0.5), checkpoint=path)
    with pytest.raises(ArtefactError, match="does not fit the model"):
        pnn.train(pnn.MeshNetwork(5, 3), iris, pnn.Training(epochs=1), checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtefactError, match="Not a checkpoint"):
        pnn.train(network(), iris, pnn.Training(epochs=1), checkpoint=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "lion"}, "rmsprop, adam, sgd"),
        ({"epochs": -1}, "epochs"),
        ({"batch": 0}, "batch"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"final_rate": 2.0}, "final_rate"),
    ],
)
def test_options_have_bounds(change, message):
    with pytest.raises(InputError, match=message):
        pnn.Training(**change)


def test_history_is_json_and_a_picture(iris, tmp_path):
    history = pnn.train(network(), iris, pnn.Training(epochs=2))
    assert pnn.History.from_dict(json.loads(json.dumps(history.to_dict()))) == history
    for record in ({}, {**history.to_dict(), "loss": [1.0]}, {**history.to_dict(), "loss": 1.0}):
        with pytest.raises(InputError, match="Not a history"):
            pnn.History.from_dict(record)
    figure = pnn.plot({"a": history, "b": history}, "two runs")
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
    figure.savefig(tmp_path / "plot.svg")
    assert "two runs" in pnn.plot(history, "two runs").get_suptitle()


def test_progress_bar_follows(iris, capsys):
    pnn.train(network(), iris, pnn.Training(epochs=2), progress=progress_bar(2))
    assert "epoch 2/2" in capsys.readouterr().out
