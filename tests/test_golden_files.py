"""Golden files that no test reads any more are faults."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_every_golden_file_has_its_test(collected: tuple[set[str], set[Path]]) -> None:
    names, paths = collected
    if not set(HERE.rglob("test_*.py")) <= paths:
        pytest.skip("only part of the tests is collected")
    orphans = {path.name for path in (HERE / "golden").glob("*.txt")} - names
    assert not orphans, f"no test reads {sorted(orphans)}: remove them"
