"""The coverage benchmark: rows are kept and taken up again, failures are rows too, and the page counts them."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # it imports its neighbours by their names alone
    spec = importlib.util.spec_from_file_location("coverage_benchmark", BENCHMARKS / "coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOOD = {
    "weights": 21472,
    "captured": True,
    "compiled": True,
    "parity": 3e-7,
    "share": 0.94,
    "tiles": 12,
    "batch": "any",
    "check": "programmed",
}


def test_a_run_is_taken_up_where_it_stopped(script: ModuleType, tmp_path: Path, monkeypatch, capsys) -> None:
    measured: list[str] = []

    def measure(name: str, options: Any) -> dict[str, Any]:
        measured.append(name)
        failed = {"error": "CompileError: an op | of no use", "weights": 5, "captured": True}
        return {"name": name, **(failed if name.endswith("classifier") else GOOD)}

    out, page = tmp_path / "c.json", tmp_path / "c.md"
    monkeypatch.setattr(script, "measure", measure)
    monkeypatch.setattr(script, "_import_once", lambda names: None)
    monkeypatch.setattr(script, "require", lambda *names: None)  # nothing is measured, so nothing is needed
    for arguments in (["transformers:bert"], ["transformers:bert*", "--markdown", str(page)]):
        monkeypatch.setattr(sys, "argv", ["coverage.py", *arguments, "--out", str(out)])
        script.main()
    assert measured == ["transformers:bert", "transformers:bert_classifier"]
    assert [row["name"] for row in json.loads(out.read_text())["rows"]] == measured
    assert "1 of 2 networks as wanted" in capsys.readouterr().out
    text = page.read_text()
    assert "| transformers | 54 | 2 | 2 | 1 | 1 |" in text
    assert "| bert | 0.0215 M | 94.0% | 12 | any | 3.0e-07 | programmed |" in text
    assert "CompileError: an op / of no use" in text
    monkeypatch.setattr(sys, "argv", ["coverage.py", "transformers:bert*", "--failed", "--out", str(out)])
    script.main()
    assert measured[2:] == ["transformers:bert_classifier"]


def test_unfactored_tiles_compute_what_programmed_ones_do(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setitem(sys.modules, "coverage", None)
    unfactored = importlib.import_module("unfactored").unfactored
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(4, 8, 3, groups=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8, 5)
    ).eval()
    x = torch.randn(3, 4, 3, 3)
    with torch.no_grad():
        torch.testing.assert_close(unfactored(model, (x,), "mzi16").run(x, ideal=True), model(x))


def test_a_difference_is_relative_to_the_largest_value(script: ModuleType) -> None:
    wanted = torch.tensor([0.0, -4.0])
    assert script._error(wanted, torch.tensor([0.5, -4.0])) == pytest.approx(0.125)
    with pytest.raises(ValueError, match=r"wanted torch\.float32"):
        script._error(wanted, wanted.double())
    with pytest.raises(ValueError, match="nothing to compare"):
        script._error(torch.zeros(2), torch.zeros(2))
