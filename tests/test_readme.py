"""The Python blocks of the README and of the guides run as they stand, in order, in one namespace a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lightloom as ll

ROOT = Path(__file__).parent.parent
GUIDES = ("docs/schedules.md", "docs/energy.md", "docs/reports.md")


def run_blocks(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a page's Python blocks in a folder; returns how many there are."""
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    return len(blocks)


def test_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ll.targets.write_target(ll.targets.get("mzi16"), tmp_path / "my_chip.toml")
    assert run_blocks(ROOT / "README.md", tmp_path, monkeypatch) >= 3
    assert (tmp_path / "digits.loom").exists()
    printed = capsys.readouterr().out
    assert "MACs per sample on the chip" in printed
    assert "Energy by part" in printed


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide(guide: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_blocks(ROOT / guide, tmp_path, monkeypatch) >= 1
