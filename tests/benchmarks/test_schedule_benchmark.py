"""The schedule benchmark: rows of a small program keep its promises, the program made by hand has the tiles asked."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lightloom.runtime import targets

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "harness", raising=False)
    spec = importlib.util.spec_from_file_location("schedule_benchmark", BENCHMARKS / "schedule.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_network_needs_no_settings_to_be_scheduled(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(400, 7))
    monkeypatch.setattr(script, "network", lambda name: (model.eval(), torch.zeros(2, 1, 12, 12)))
    body = script.program("small", targets.get("mzi16").with_({"mesh.buffers": 2, "mesh.cores": 4}))
    assert [bank.spec.tiles for bank in body.banks.values()] == [1, 25]
    row = script.row(body, 1, "latency")
    assert row["tiles"] == 26
    for plan in ("weight", "auto"):
        assert 1 <= row[f"{plan}_ratio"] <= 1.05
        assert row[f"{plan}_naive"] > 1
    assert row["auto_gain"] >= 1


@pytest.mark.parametrize("plan", ["weight", "auto"])
def test_a_program_of_many_tiles_is_dealt_checked_and_priced(script: ModuleType, plan: str) -> None:
    chip = targets.get("mzi16").with_({"mesh.buffers": 2})
    body = script.chain(chip, 1000, layers=4)
    assert sum(bank.spec.tiles for bank in body.banks.values()) == 4 * 16**2
    # 40 layers of the least square grid that holds their share of the tiles
    assert "of 1,000 tiles on 4 cores" in script.million(chip, 1000, plan)
