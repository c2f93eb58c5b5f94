"""Published networks with their trained weights: an ideal chip answers as onnxruntime does, and rightly."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import lightloom as ll

pytest.importorskip("onnxruntime")
FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark, which imports its neighbours by their names alone."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("trained", FOLDER / "trained.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "trained", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(("name", "package"), [("magika", "magika"), ("silero-vad", "silero_vad")])
def test_an_ideal_chip_answers_as_onnxruntime_does(trained: ModuleType, name: str, package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if name == "silero-vad" and shutil.which("espeak-ng") is None:
        pytest.skip("no espeak-ng to speak")
    task = trained.TASKS[name]()
    score, wanted = task.answer(trained.digital(task))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = {key: torch.from_numpy(value) for key, value in task.example.items()}
        program = ll.compile(str(task.file), example, target="mzi64")
    own, got = task.answer(trained.photonic(program, ideal=True))
    assert np.abs(got - wanted).max() < 3e-5 * np.abs(wanted).max()  # files, and so float noise, differ by machine
    assert own == score > 0.9


@pytest.mark.slow
def test_the_published_detector_of_voices_compiles_whole(trained: ModuleType) -> None:
    """The file for both rates branches on its input: one branch runs at the sizes of the example."""
    if importlib.util.find_spec("silero_vad") is None:
        pytest.skip("silero_vad is not installed")
    file = trained._package("silero_vad") / "data/silero_vad.onnx"
    draw = np.random.default_rng(0)
    given = {
        "input": draw.standard_normal((2, 576)).astype(np.float32) * 0.1,
        "state": draw.standard_normal((2, 2, 128)).astype(np.float32) * 0.1,
        "sr": np.array(16000),
    }
    example = {key: torch.from_numpy(np.asarray(value)) for key, value in given.items()}
    program = ll.compile(str(file), example, target="mzi64")
    task = trained.Task("silero", "", file, given, lambda run: (1.0, run(**given)[0]))
    wanted = trained.digital(task)(**given)
    for got, want in zip(trained.photonic(program, ideal=True)(**given), wanted, strict=True):
        assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()
    with pytest.raises(ll.InputError, match="branch of the model that is not in the program"):
        program.run({**example, "sr": torch.tensor(8000)})
