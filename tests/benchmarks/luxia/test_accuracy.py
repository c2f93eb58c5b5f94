"""The accuracy table goes on where it stopped, chooses by validation, and says what it could not fetch."""

import json
import sys

import accuracy
import parts
import pytest
import together
from together import Setting

SETTINGS = [Setting(0.03, 64, 1.0), Setting(0.1, 64, 2.0, "power")]
ONE = "final/iris/clements/1/seed=0"


@pytest.fixture
def short(monkeypatch, tmp_path):
    """The script with little to do: two candidates, three folds, an epoch, one candidate at a time."""
    monkeypatch.setitem(accuracy.CANDIDATES, "iris", SETTINGS)
    monkeypatch.setitem(accuracy.FOLDS, "iris", 3)
    monkeypatch.setitem(accuracy.TILES, "iris", 3)

    def run(path):
        command = ["accuracy.py", "--data", "iris", "--meshes", "clements", "--seeds", "2", "--epochs", "1"]
        monkeypatch.setattr(sys, "argv", [*command, "--results", str(path)])
        accuracy.main()
        return json.loads(path.read_text())

    return run


def without_times(records):
    left = {}
    for name, record in records.items():
        left[name] = {key: value for key, value in record.items() if key != "seconds"}
        if "history" in record:
            left[name]["history"] = {**record["history"], "seconds": []}
    return left


def test_stopped_and_started_again_it_finds_the_same(short, monkeypatch, tmp_path, capsys):
    whole = short(tmp_path / "whole.json")
    assert len([name for name in whole if name.startswith("choose/")]) == 4
    assert {name for name in whole if name.startswith("final/")} == {ONE, ONE.replace("seed=0", "seed=1")}
    assert "| iris | clements | 1 | 2 |" in capsys.readouterr().out

    class Stopped(Exception):
        pass

    train, calls = together.train, []

    def three_times(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise Stopped
        return train(*arguments)

    path = tmp_path / "pieces.json"
    with monkeypatch.context() as patch:
        patch.setattr(together, "train", three_times)
        with pytest.raises(Stopped):
            short(path)
    assert len(json.loads(path.read_text())) == 2
    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(together, "train", lambda *arguments: calls.append(arguments) or train(*arguments))
        assert without_times(short(path)) == without_times(whole)
    assert len(calls) == 2


def test_nothing_is_trained_twice(short, monkeypatch, tmp_path):
    path = tmp_path / "results.json"
    found = short(path)

    def no(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(together, "train", no)
    monkeypatch.setattr(accuracy, "train", no)
    assert short(path) == found


def test_another_choice_is_trained_anew(short, tmp_path):
    path = tmp_path / "results.json"
    found = short(path)
    setting = found[ONE]["setting"]
    for one in SETTINGS:
        # the candidate that lost wins
        lost = one.input_gain != setting["input_gain"]
        found[f"choose/iris/clements/1/seed=0/{one}"]["validation"] = 100.0 if lost else 0.0
    path.write_text(json.dumps(found))
    assert short(path)[ONE]["setting"]["input_gain"] == 3.0 - setting["input_gain"]


def test_the_best_validation_is_chosen_and_of_equals_the_lowest_loss(tmp_path):
    results = accuracy.Results(tmp_path / "results.json")
    values = {0: [(90.0, 0.1), (91.0, 0.9)], 1: [(90.0, 0.1), (90.0, 0.2)]}
    for seed, pairs in values.items():
        for setting, (validation, loss) in zip(SETTINGS, pairs, strict=True):
            # a test accuracy, were there one, would not count
            record = {"validation": validation, "validation_loss": loss, "test": 100 - validation}
            results.records[f"choose/iris/reck/7/seed={seed}/{setting}"] = record
    patched = pytest.MonkeyPatch()
    with patched.context() as patch:
        patch.setitem(accuracy.CANDIDATES, "iris", SETTINGS)
        chosen = accuracy.choose(results, "iris", "reck", range(2), 7)
    assert chosen == {0: SETTINGS[1], 1: SETTINGS[0]}


def test_data_that_cannot_be_fetched_are_skipped(monkeypatch, capsys):
    raw = parts.raw

    def offline(data):
        if data == "mnist":
            raise OSError("no route to host")
        return raw(data)

    monkeypatch.setattr(parts, "raw", offline)
    assert list(accuracy.available(["mnist", "iris"])) == ["iris"]
    assert "mnist skipped: scikit-learn could not fetch it (no route to host)" in capsys.readouterr().out


def test_every_data_set_has_its_sizes():
    names = accuracy.PORTS.keys()
    for table in (accuracy.EPOCHS, accuracy.FOLDS, accuracy.TILES, accuracy.CANDIDATES):
        assert table.keys() == names
    assert parts.raw("iris")[0].shape[1] <= accuracy.PORTS["iris"]
