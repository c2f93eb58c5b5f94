"""The demo: its table, figures and page, on a short training."""

from __future__ import annotations

import html
import json
import re
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from lightloom.cli import app
from lightloom.demo import Demo, run_demo
from lightloom.demo_report import html_page, notes, terminal_table
from lightloom.runtime.errors import LightloomError
from lightloom.runtime.pricing.energy import PARTS


@pytest.fixture(scope="module")
def stages() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def demo(stages) -> Demo:
    return run_demo(
        epochs=5,
        sweep_bits=(4, 8),
        progress=lambda stage, done, total: stages.append((stage, done, total)),
    )


def test_rows_from_float_to_noisy(demo):
    names = [row.name for row in demo.rows]
    assert names == [
        "float32 in PyTorch",
        "ideal chip",
        "mzi64 as described",
        "mzi64, 8-bit",
        "mzi64, 6-bit",
        "mzi64, 4-bit",
        "mzi64, noisy",
    ]
    by_name = dict(zip(names, demo.rows, strict=True))
    exact = by_name["float32 in PyTorch"]
    assert exact.accuracy >= 0.97
    assert by_name["ideal chip"].accuracy == exact.accuracy
    assert abs(by_name["mzi64, 8-bit"].accuracy - exact.accuracy) <= 0.005
    assert by_name["mzi64, 4-bit"].accuracy < by_name["mzi64, 8-bit"].accuracy
    for row in demo.rows[2:]:
        assert row.tiles == 13
        assert row.energy_j > 0
        assert row.latency_s > 0
        assert 0 < row.utilization <= 1


def test_figures_hold_what_the_table_holds(demo):
    rows = {row.name: row for row in demo.rows}
    assert dict(demo.sweeps["everything"]) == {
        4: rows["mzi64, 4-bit"].accuracy,
        8: rows["mzi64, 8-bit"].accuracy,
    }
    assert set(demo.parts) == set(PARTS)
    total = sum(sum(entry.values()) for entry in demo.parts.values())
    assert total == pytest.approx(rows["mzi64 as described"].energy_j, rel=1e-12)
    assert demo.alone_s > rows["mzi64 as described"].latency_s


def test_progress_is_told_to_the_end(demo, stages):
    assert list(dict.fromkeys(name for name, _, _ in stages)) == ["train", "compile", "run"]
    last = {name: (done, total) for name, done, total in stages}
    assert all(done == total for done, total in last.values())


def test_facts_are_json(demo):
    facts = json.loads(json.dumps(demo.to_dict()))
    assert facts["rows"][0]["accuracy"] == demo.rows[0].accuracy


def test_terminal_table_is_aligned(demo):
    _, _, header, rule, *lines = terminal_table(demo).splitlines()
    assert len(lines) == len(demo.rows)
    assert {len(line) for line in (header, rule, *lines[2:])} == {len(header)}
    assert lines[-1].split()[-2] == "13"


class _Page(HTMLParser):
    """Collects tags that are open, rows, and whatever would load another file."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_stands_alone(demo):
    text = html_page(demo)
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.loads == []
    assert "url(" not in text
    assert "@import" not in text
    assert page.count["svg"] == 2
    assert "script" not in page.count
    for row in demo.rows:
        assert row.name in text
        assert f"{row.accuracy:.1%}" in text
    assert "prefers-color-scheme: dark" in text
    for path, item in demo.program.target.provenance.items():
        assert f"{path} = " in text
        assert item.source[:30] in html.unescape(text)


def test_figures_are_sound_xml_with_a_name(demo):
    for figure in re.findall(r"<svg.*?</svg>", html_page(demo), re.DOTALL):
        root = ElementTree.fromstring(figure)
        assert root.get("aria-label")
        _, _, width, height = map(float, root.get("viewBox").split())
        for element in root.iter():
            for name, limit in (("x", width), ("cx", width), ("x2", width), ("y", height), ("cy", height)):
                assert 0 <= float(element.get(name, 0)) <= limit


def test_notes_are_honest(demo):
    text = " ".join(notes(demo))
    assert "450 test images" in text
    assert "not priced anew" in text


def test_command_writes_the_page(tmp_path, monkeypatch, demo):
    monkeypatch.setattr("lightloom.demo.run_demo", lambda *_, **__: demo)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["demo", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["page"] == "lightloom-demo.html"
    assert (tmp_path / "lightloom-demo.html").read_text().startswith("<!DOCTYPE html>")
    result = CliRunner().invoke(app, ["demo", "--html", "other.html"])
    assert "mzi64, 8-bit" in result.stdout
    assert "other.html" in result.stdout
    assert CliRunner().invoke(app, ["demo", "--html", "no/such/page.html"]).exit_code == 1
    assert CliRunner().invoke(app, ["demo", "--html", str(tmp_path)]).exit_code == 1


def test_missing_jinja2_names_the_extra(monkeypatch, demo):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(LightloomError, match=r"\[demo\]"):
        html_page(demo)
