"""The README's Python blocks run as they stand, in order, in one namespace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lightloom as ll

README = Path(__file__).parent.parent / "README.md"


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    ll.targets.write_target(ll.targets.get("mzi16"), tmp_path / "my_chip.toml")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert (tmp_path / "digits.loom").exists()
    printed = capsys.readouterr().out
    assert "MACs per sample on the chip" in printed
    assert "Energy by part" in printed
