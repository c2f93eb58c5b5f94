"""The page of a program, and what a browser makes of it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lightloom as ll
from lightloom.runtime.report import page_time
from lightloom.runtime.report.page_data import page_data

from . import programs

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = Path(__file__).with_name("probe.js").read_text(encoding="utf-8")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1250,1000",
    "--dump-dom",
    "--enable-logging=stderr",
]


KINDS = {programs.attention: {"ProductStep"}, programs.recurrent: {"RecurrentStep"}}
"""Kinds of steps that these programs are there for."""


def test_page_is_one_file(tmp_path: Path) -> None:
    programs.residual().to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", text)
    assert "http://" not in re.sub(r"http://www\.w3\.org/2000/svg", "", text)
    assert "@import" not in text


def test_page_escapes_what_users_name(tmp_path: Path) -> None:
    program = programs.hostile()
    program.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b id='x'>" not in text.replace("<\\/script><b id='x'>", "")
    assert text.count("</script") == 2
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    assert json.loads(found.group(1))["name"] == programs.HOSTILE


def test_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ll.InputError, match="cannot be written"):
        programs.tiny().to_html(tmp_path / "no" / "page.html")


def opened(program: ll.Program, folder: Path) -> dict[str, Any]:
    """What the probe found on the page, in a browser that had nothing to complain about."""
    assert BROWSER is not None
    program.to_html(folder / "page.html")
    text = (folder / "page.html").read_text(encoding="utf-8")
    (folder / "probe.html").write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    ran = subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", (folder / "probe.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "CONSOLE" not in ran.stderr, ran.stderr
    found = re.search(r'<pre id="report">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert found, ran.stderr[-2000:]
    assert "data-error" not in ran.stdout
    assert 'data-ready="yes"' in ran.stdout
    return json.loads(html.unescape(found.group(1)))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine to open the page with")
def test_a_browser_sorts_zooms_switches_and_saves(tmp_path: Path) -> None:
    program = programs.equipped()
    data = page_data(program.body, program.schedule, program.energy)
    report = opened(program, tmp_path)
    chip = [row for row in data["layers"] if row["where"] == "chip"]
    assert report["before"] == [row["layer"] for row in chip]
    assert report["byEnergy"] == [row["layer"] for row in sorted(chip, key=lambda row: -row["energy_j"])]
    assert report["byEnergyUp"] == [row["layer"] for row in sorted(chip, key=lambda row: row["energy_j"])]
    assert report["sorted"] == "descending"
    assert report["all"] == len(data["layers"])
    assert report["filtered"] == 0
    assert 0 < report["zoomed"] < 1
    assert report["moved"] > 0
    assert report["back"]
    assert report["recoloured"]
    assert set(report["keys"]) == {"configure", "stream", "host", "move"}
    assert "host" in report["described"]
    assert report["flow"]
    assert report["what"]
    assert report["split"]
    assert report["items"][-1] == "total"
    assert {"hold", "link", "dac"} <= set(report["items"])
    assert {"configure", "window", "move"} <= set(report["events"])
    assert all(report["drawn"])
    assert all(count > 5 for count in report["svg"])
    names = [f"{data['name']}-{figure}" for figure in ("timeline", "time-bars", "energy-tree", "energy-bars", "mesh")]
    saved = dict(report["saved"])
    assert all(saved[f"{name}.png"].startswith("data:image/png") for name in names)
    assert all(saved[f"{name}.svg"].startswith("blob:") for name in names)
    assert report["paper"] == len(report["drawn"])
    assert report["printing"] == "printing"
    assert report["after"] == 0
    assert report["wide"] <= 0
    assert "in a grid of" in report["note"]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine to open the page with")
@pytest.mark.parametrize("most", [40_000, 40], ids=["each event", "merged"])
def test_the_timeline_paints_each_kind_by_its_share_of_the_time(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_time, "TIMELINE_EVENTS", most)
    program = programs.residual()
    schedule = program.schedule
    seconds = schedule.end_s - schedule.start_s
    lanes = set(schedule.core[schedule.core >= 0].tolist())
    shares = [
        seconds[(schedule.kind == kind) & (schedule.core >= 0)].sum() / (len(lanes) * schedule.makespan_s)
        for kind in range(4)
    ]
    assert max(shares) > 0.5
    assert sum(share > 0.001 for share in shares) == 2
    assert opened(program, tmp_path)["painted"] == pytest.approx(shares, abs=0.02)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine to open the page with")
@pytest.mark.parametrize(
    "make", [programs.tiny, programs.empty, programs.attention, programs.recurrent, programs.hostile]
)
def test_a_browser_opens_pages_of_every_kind(make: Callable[[], ll.Program], tmp_path: Path) -> None:
    program = make()
    report = opened(program, tmp_path)
    assert report["all"] == len(program.body.steps)
    assert report["back"]
    assert all(report["drawn"])
    assert all(count > 0 for count in report["svg"])
    kinds = {type(step).__name__ for step in program.body.steps}
    assert KINDS.get(make, kinds) <= kinds
    assert report["paper"] == len(report["drawn"])
    texts = [*report["shares"], *(share for _, share in report["foot"][:-1])]
    if make is not programs.empty:
        assert sum(float(text.strip("< %") or 0) for text in texts) == pytest.approx(100, abs=0.06 * len(texts))
    assert report["foot"][-1] == ["the run", "100.0 %"]
    if make is programs.hostile:
        assert report["before"] == [programs.HOSTILE]
