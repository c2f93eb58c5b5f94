"""The page of a program: its data, and what a browser makes of it."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lightloom as ll
from lightloom.models import ResidualCNN
from lightloom.runtime.report import page_data as data_module
from lightloom.runtime.report.notebook import notebook_html
from lightloom.runtime.report.page_data import page_data

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def program() -> ll.Program:
    torch.manual_seed(0)
    return ll.compile(ResidualCNN().eval(), torch.zeros(2, 1, 16, 16), target="mzi16")


@pytest.fixture(scope="module")
def data(program: ll.Program) -> dict[str, Any]:
    return page_data(program.body, program.schedule, program.energy)


def unpack(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def test_numbers_are_those_of_the_program(program: ll.Program, data: dict[str, Any]) -> None:
    json.dumps(data, allow_nan=False)
    assert sum(row["macs"] for row in data["layers"]) == program.explain().macs
    joules = sum(sum(row["joules"]) for row in data["energy"]["rows"])
    assert joules == pytest.approx(program.energy.total_j, rel=1e-12)
    assert sum(row["energy_j"] for row in data["layers"]) <= program.energy.total_j
    line = data["timeline"]
    np.testing.assert_array_equal(unpack(line["start"], "<f8"), program.schedule.start_s)
    np.testing.assert_array_equal(unpack(line["core"], "<i2"), program.schedule.core)
    assert len(data["tiles"]) == len(program.body.banks)
    for bank in data["tiles"]:
        columns = program.body.banks[bank["bank"]].columns
        np.testing.assert_array_equal(unpack(bank["col"], "<u4"), columns["col"])
        theta = unpack(bank["settings"][0]["left"], "u1")
        np.testing.assert_array_equal(theta, columns["left.theta"][bank["chosen"][0]] >> 24)


def test_long_schedules_are_merged_by_core_and_layer(program: ll.Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "TIMELINE_EVENTS", 100)
    schedule = program.schedule
    line = page_data(program.body, schedule, program.energy)["timeline"]
    counts = unpack(line["count"], "<u4")
    assert line["merged"]
    assert counts.sum() == len(schedule)
    assert len(counts) < len(schedule)
    ends = unpack(line["start"], "<f8") + unpack(line["duration"], "<f4")
    assert ends.max() == pytest.approx(schedule.makespan_s, rel=1e-6)
    busy = {}
    for core in np.unique(schedule.core):
        mine = unpack(line["core"], "<i2") == core
        busy[core] = (unpack(line["start"], "<f8")[mine].min(), ends[mine].max())
        assert busy[core][0] == schedule.start_s[schedule.core == core].min()


def test_page_is_one_file_and_escapes_what_users_name(program: ll.Program, tmp_path: Path) -> None:
    from dataclasses import replace

    hostile = ll.Program(replace(program.body, name="</script><b>x"))
    hostile.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>x" not in text.replace("<\\/script><b>x", "")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", text)
    assert "http://" not in re.sub(r"http://www\.w3\.org/2000/svg", "", text)
    with pytest.raises(ll.InputError, match="cannot be written"):
        program.to_html(tmp_path / "no" / "page.html")


def test_notebooks_show_the_layers(program: ll.Program) -> None:
    shown = program._repr_html_()
    assert shown == notebook_html(program.body)
    assert shown.count("<tr>") == 1 + len(program.body.banks)
    assert html.escape(program.explain().headline) in shown


PROBE = Path(__file__).with_name("probe.js").read_text(encoding="utf-8")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine to open the page with")
def test_a_browser_sorts_zooms_and_draws(program: ll.Program, data: dict[str, Any], tmp_path: Path) -> None:
    program.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    (tmp_path / "probe.html").write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    assert BROWSER is not None
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --window-size=1250,1000 --dump-dom --enable-logging=stderr"
    ran = subprocess.run(
        [BROWSER, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "probe.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "CONSOLE" not in ran.stderr, ran.stderr
    found = re.search(r'<pre id="report">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert found, ran.stderr[-2000:]
    assert "data-error" not in ran.stdout
    report = json.loads(html.unescape(found.group(1)))
    chip = [row for row in data["layers"] if row["where"] == "chip"]
    assert report["before"] == [row["layer"] for row in chip]
    assert report["byEnergy"] == [row["layer"] for row in sorted(chip, key=lambda row: -row["energy_j"])]
    assert report["byEnergyUp"] == [row["layer"] for row in sorted(chip, key=lambda row: row["energy_j"])]
    assert report["sorted"] == "descending"
    assert report["all"] == len(data["layers"])
    assert 0 < report["zoomed"] < 1
    assert report["back"]
    assert all(report["pixels"])
    assert all(count > 5 for count in report["svg"])
    assert "in a grid of" in report["note"]


def test_two_buffers_keep_configurations_apart_from_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 48)).eval()
    target = ll.targets.get("mzi16").with_({"mesh.buffers": 2})
    program = ll.compile(model, torch.zeros(2, 64), target=target)
    monkeypatch.setattr(data_module, "TIMELINE_EVENTS", 8)
    line = page_data(program.body, program.schedule, program.energy)["timeline"]
    assert line["merged"]
    assert line["buffers"] == 2
    kind, count = unpack(line["kind"], "u1"), unpack(line["count"], "<u4")
    for which in (0, 1):
        assert count[kind == which].sum() == (program.schedule.kind == which).sum()
