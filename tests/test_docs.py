"""Every block of code in the README and the guides works when it is copied: in order, in an empty folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

import lightloom as ll
from lightloom.cli import app
from lightloom.runtime.scheduling.schedule import EventKind
from lightloom.sweep import read_spec
from lightloom.sweep.evaluate import evaluate
from lightloom.sweep.points import grid_points

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
ENDLESS = ("sweep", "serve", "demo")
"""Commands whose line is only read: they take minutes, or go on until they are stopped."""


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a language ("": of none) on a page."""
    parts = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [text for kind, text in parts if kind == language]


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]
COMMANDS = [
    (page.name, line.partition("  #")[0].strip())
    for page in PAGES
    for block in blocks(page, "")
    for line in block.splitlines()
    if line.startswith(("lightloom ", "python ", "pip ", "pytest"))
]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_python_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)
    if page.stem == "README":
        printed = capsys.readouterr().out
        assert "MACs per sample on the chip" in printed
        assert "Energy by part" in printed


def test_every_page_that_shows_how_has_blocks_that_run() -> None:
    shown = {page.stem for page in WITH_PYTHON}
    assert {"README", "energy", "hardware", "recurrent", "reports", "schedules", "targets"} <= shown
    languages = {
        language
        for page in PAGES
        for language in re.findall(r"^```(\w+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }
    assert languages <= {"python", "toml"}, "say here how blocks of another language are tested"


def test_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line)[1:] for name, line in COMMANDS if name == "README.md" and not line.startswith("pip")]
    ran: list[str] = []
    for arguments in commands:
        if arguments[:1] == ["-c"]:
            exec(compile(arguments[1], "README.md", "exec"), {})
        elif arguments[0] in ENDLESS:
            command = get_command(app).commands[arguments[0]]  # type: ignore[attr-defined]
            command.make_context(arguments[0], arguments[1:])
        else:
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, result.output
            ran.append(arguments[0])
    assert set(ran) == {"compile", "explain", "report", "schedule", "run", "dump", "targets"}
    assert np.load("y.npy").shape == (4, 10)
    assert {"digits.html", "trace.json", "figures"} <= {place.name for place in tmp_path.iterdir()}


def test_scripts_that_pages_name_are_there_and_know_their_options() -> None:
    pages = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md"]
    named = {
        name for page in pages for name in re.findall(r"(?<![\w/])(?:benchmarks|examples)/[\w/]+\.py", page.read_text())
    }
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]
    for name, line in COMMANDS:
        if line.startswith("python ") and "-c" not in line:
            _, script, *arguments = shlex.split(line)
            source = (ROOT / script).read_text(encoding="utf-8")
            assert all(f'"{word}"' in source for word in arguments if word.startswith("--")), (name, line)


def test_the_sweep_that_is_shown_is_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (text,) = blocks(ROOT / "docs" / "sweeps.md", "toml")
    Path("spec.toml").write_text(text, encoding="utf-8")
    np.save("x.npy", np.random.default_rng(0).random((8, 1, 8, 8)))
    np.save("y.npy", np.zeros(8, int))
    spec = read_spec("spec.toml")
    points = grid_points(spec)
    assert len(points) == 3 * 3 * 2 * 5 * 2 * 2
    for point in (points[0], points[-1]):
        found = evaluate(spec, point)
        assert not found.error
        assert found.metrics.keys() >= {*spec.objectives, *spec.limits, "accuracy"} - {"area_m2"}


def test_the_numbers_of_the_page_on_recurrent_layers_are_those_of_its_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from forecast_lstm import WINDOW, Forecaster  # type: ignore[import-not-found]

    page = (ROOT / "docs" / "recurrent.md").read_text(encoding="utf-8")
    (shown,) = blocks(ROOT / "docs" / "recurrent.md", "")
    chip = ll.targets.get("mzi16")
    configures: dict[int, int] = {}
    for cores in (12, 4):
        program = ll.compile(Forecaster().eval(), torch.zeros(1, WINDOW, 1), chip.with_({"mesh.cores": cores}))
        schedule = program.schedule
        events = schedule.by_step[schedule.steps.index("lstm.l0")]
        configures[cores] = int((schedule.kind[events] == EventKind.CONFIGURE).sum())
        explained = {" ".join(line.split()) for line in str(program.explain()).splitlines()}
        lines = [" ".join(line.split()) for line in shown.splitlines() if line and not line.startswith("---")]
        assert not [line for line in lines if line not in explained]
    assert configures[12] == 12
    assert f"there are {configures[4]}: 12 at first, 8 at each of {WINDOW - 1} further time steps" in " ".join(
        page.split()
    )
