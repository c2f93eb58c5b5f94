"""The examples run as scripts and print what they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PROMISED = {
    "forecast_lstm.py": "20 configurations of a tile for 32 time steps: the tiles stay",
    "own_device.py": "180 vectors streamed, 0 saturated\nequal to the batched simulator: True",
    "what_if_wider.py": "energy per image",
}


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_example_runs(name: str) -> None:
    done = subprocess.run([sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert PROMISED[name] in done.stdout
