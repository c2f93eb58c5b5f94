"""Fixtures for every test: golden files, and networks with fixed weights."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: one thread each for what torch and its libraries do, set before they are loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

MAX_WORKERS = 4
"""Each holds torch and what its tests make, up to two gigabytes."""

GOLDEN = Path(__file__).parent / "golden"
COLLECTED = pytest.StashKey[tuple[set[str], set[Path]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Workers of ``-n auto``."""
    return min(os.cpu_count() or 1, MAX_WORKERS)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--update-golden") and os.environ.get("CI"):
        raise pytest.UsageError("--update-golden is refused in CI: golden files are updated by people")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note which golden files the collected tests stand for, before any are deselected."""
    names = {golden_name(item) for item in items if "golden" in getattr(item, "fixturenames", ())}
    config.stash[COLLECTED] = names, {item.path for item in items}


def golden_name(item: pytest.Item) -> str:
    """The golden file of a test: module and test name, parameters included."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{item.path.stem}.{item.name}").strip("-") + ".txt"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Compare a text with the test's golden file; ``--update-golden`` writes it instead."""
    path = GOLDEN / golden_name(request.node)

    def check(text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text)
            return
        if not path.exists():
            pytest.fail(f"no golden file {path.name}: look at the text and run pytest --update-golden\n{text}")
        assert text == path.read_text(), f"{path.name} differs; if the change is meant, run --update-golden"

    return check


@pytest.fixture
def collected(request: pytest.FixtureRequest) -> tuple[set[str], set[Path]]:
    """Names of the golden files that the collected tests read, and the paths of all collected test modules."""
    return request.config.stash[COLLECTED]
