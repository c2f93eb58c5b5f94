"""A folder with a small model and a sweep of it."""

from __future__ import annotations

from pathlib import Path

import pytest

MODEL = """
import torch
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(12, 20), torch.nn.ReLU(), torch.nn.Linear(20, 4)).eval()
"""
SPEC = """
model = "sweep_net:net"
target = "mzi16"
input_shape = ["4,12"]
objectives = ["latency_s", "energy_per_inference_j"]
[fields]
"mesh.ports" = [8, 16]
"mesh.cores" = [1, 2, 4]
"timing.window_s" = {low = 1e-9, high = 1e-8, log = true, steps = 2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sweep_net.py").write_text(MODEL)
    (tmp_path / "spec.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path
