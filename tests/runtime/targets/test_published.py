"""Presets of published chips: each compiles and runs a network, and computes what docs/chips.md says it does."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import lightloom as ll

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "chips.md"
NAMES = ["bandyopadhyay2024", "harris2017", "lightmatter2025", "pace2025", "pai2023", "quandela_session", "shen2017"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("published_chips", ROOT / "benchmarks" / "published_chips.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def rows() -> list[list[str]]:
    """Cells of the page's comparison, a list for each figure."""
    text = PAGE.read_text(encoding="utf-8").partition("<!-- begin chips -->")[2].partition("<!-- end chips -->")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()[2:]]


@pytest.mark.parametrize("name", NAMES)
def test_a_small_network_compiles_and_runs(name: str) -> None:
    """Exact on the ideal chip; on the described one within what its noise and resolution leave."""
    torch.manual_seed(0)
    # The mesh of harris2017 does not hold every matrix: one small layer is what it takes exactly.
    narrow = name == "harris2017"
    model = nn.Linear(4, 4) if narrow else nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(6, 4)
    program = ll.compile(model, x, name)
    with torch.no_grad():
        wanted = model(x)
    torch.testing.assert_close(program.run(x, ideal=True), wanted, atol=1e-5, rtol=1e-4)
    found = program(x)
    error = float((found - wanted).norm() / wanted.norm())
    assert 0 < error < 0.8
    report = program.report()
    assert "Link budget" in report
    assert "Beside digital chips" in report
    assert program.energy.total_j > 0


def test_the_page_is_what_the_presets_compute(script: ModuleType) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert script.render(text) == text


def test_every_published_preset_is_on_the_page() -> None:
    own = {"ideal", "mzi16", "mzi64"}
    assert {row[0] for row in rows()} == set(ll.targets.list()) - own == set(NAMES)


def test_figures_that_follow_from_stated_numbers_agree(script: ModuleType) -> None:
    stated = [(figure, value) for figure, value in script.computed() if figure.how == "stated"]
    assert len(stated) > 10
    for figure, value in stated:
        assert value == pytest.approx(figure.published, rel=2e-3), figure.name


def test_a_changed_preset_shows_on_the_page(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is computed from the presets: a slower window is another rate."""
    figure = next(item for item in script.FIGURES if item.chip == "pace2025" and item.name == "peak rate")
    chip = ll.targets.get("pace2025")
    slower = chip.with_({"timing.window_s": 2 * chip.timing.window_s})
    assert figure.compute(slower) == pytest.approx(figure.compute(chip) / 2)
    script.computed.cache_clear()
    monkeypatch.setattr(script, "FIGURES", (figure,))
    get = ll.targets.get

    def changed(name: Any) -> ll.Target:
        return slower if name == "pace2025" else get(name)

    monkeypatch.setattr(ll.targets, "get", changed)
    assert "4.096 Top/s | 0.500" in script.table()
    script.computed.cache_clear()


def test_a_page_without_markers_is_refused(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="markers of 'chips' 0 times"):
        script.render("# Published chips\n")


def test_numbers_read_in_summaries_only_are_assumed() -> None:
    for name in NAMES:
        for path, item in ll.targets.get(name).provenance.items():
            if re.search("not confirmed|not published|summaries", item.source):
                assert item.kind == "assumed", f"{name} {path}"


def test_a_session_is_configured_once() -> None:
    """1 s for the circuit, then 20 ms for the inputs and 10 ms of sampling a data point."""
    program = ll.compile(nn.Linear(12, 12, bias=False), torch.zeros(1, 12), "quandela_session")
    # the link takes 2 us each way
    assert program.schedule_for(1).makespan_s == pytest.approx(1.03, rel=1e-5)
    assert program.schedule_for(100).makespan_s == pytest.approx(4.0, rel=1e-5)


def test_a_session_updates_what_it_holds() -> None:
    """Two tiles on one core: 1 s for the first circuit, 20 ms for the next, and 30 ms a data point each."""
    program = ll.compile(nn.Linear(12, 24, bias=False), torch.zeros(1, 12), "quandela_session")
    assert program.schedule_for(10).makespan_s == pytest.approx(1 + 0.02 + 2 * 10 * 0.03, rel=1e-5)
