"""Figures as files: there, readable as what they are, the same every time, true to the numbers."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

import lightloom as ll
from lightloom.cli import app
from lightloom.runtime.report import lanes, plots
from lightloom.runtime.report.export import FIGURES, figure
from lightloom.runtime.scheduling.schedule import EventKind

from . import programs


@pytest.fixture(scope="module")
def program() -> ll.Program:
    return programs.equipped()


def drawn(name: str, program: ll.Program) -> Figure:
    return figure(name, program.body, program.schedule, program.energy)


def lengths(made: Figure, axes: int = 0) -> list[float]:
    """The lengths of a figure's bars, each with all its pieces."""
    found: dict[float, float] = {}
    for bar in made.axes[axes].patches:
        middle = bar.get_y() + bar.get_height() / 2
        found[round(middle, 6)] = found.get(round(middle, 6), 0.0) + bar.get_width()
    return list(found.values())


def test_every_figure_is_written_and_the_same_again(program: ll.Program, tmp_path: Path) -> None:
    first = program.export_figures(tmp_path / "a")
    assert [path.name for path in first] == [f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png")]
    for path in first:
        if path.suffix == ".svg":
            ElementTree.parse(path)
            assert "<dc:date>" not in path.read_text(encoding="utf-8")
        else:
            assert path.read_bytes().startswith(b"\x89PNG")
    again = program.export_figures(tmp_path / "b", formats=("svg",))
    for path in again:
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()


def test_bars_are_as_long_as_the_numbers(program: ll.Program) -> None:
    energy = program.energy
    items = lengths(drawn("energy-by-item", program))
    joules = sorted((v for v in energy.run.by_item().values() if v > 0), reverse=True)
    most = plots._scale(joules)
    np.testing.assert_allclose(items, [min(value, 1.04 * most) for value in joules], rtol=1e-12)
    events = lengths(drawn("energy-by-event", program))
    assert sum(events) == pytest.approx(energy.total_j, rel=1e-12)
    seconds = lengths(drawn("time-by-layer", program))
    schedule = program.schedule
    wanted = [float((schedule.end_s - schedule.start_s)[rows].sum()) for rows in schedule.by_step]
    np.testing.assert_allclose(sorted(seconds), sorted(value for value in wanted if value > 0), rtol=1e-9)


def test_small_layers_share_a_bar_that_does_not_set_the_scale(
    program: ll.Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "BARS", 3)
    made = drawn("energy-by-layer", program)
    labels = [text.get_text() for text in made.axes[0].get_yticklabels()]
    assert len(labels) == 4
    assert labels[-1].endswith(" more")
    layers = [value for name, value in program.energy.run.by_row().items() if name != "idle"]
    assert max(lengths(made)) <= 1.05 * max(layers)


def test_the_picture_of_a_lane_shows_when_it_is_used(program: ll.Program) -> None:
    schedule = program.schedule
    edges = np.linspace(0, schedule.makespan_s, lanes.PIXELS + 1)
    for lane in np.unique(schedule.core):
        picture = lanes.lane_picture(schedule, int(lane))
        mine = (schedule.core == lane) & ((schedule.kind != EventKind.CONFIGURE) | (schedule.buffers == 1))
        mine &= schedule.end_s > schedule.start_s
        used = np.zeros(lanes.PIXELS, bool)
        for start, end in zip(schedule.start_s[mine], schedule.end_s[mine], strict=True):
            used |= (edges[:-1] < end - 1e-15) & (edges[1:] > start + 1e-15)
        inked = picture[0, :, 3] > 0
        assert (inked == used).mean() > 0.99
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_many_cores_are_drawn_in_groups(program: ll.Program) -> None:
    names, pictures = lanes.lanes_picture(program.schedule, 200, most=2)
    assert names == ["cores 0 to 1", "core 2", "host", "link"]
    each = [lanes.lane_picture(program.schedule, core, 200) for core in (0, 1)]
    np.testing.assert_allclose(pictures[0][..., 3], (each[0][..., 3] + each[1][..., 3]) / 2, atol=1e-12)
    np.testing.assert_allclose(pictures[1], lanes.lane_picture(program.schedule, 2, 200), atol=1e-12)


@pytest.mark.parametrize(
    "make", [programs.tiny, programs.empty, programs.attention, programs.recurrent, programs.hostile]
)
def test_figures_of_every_kind_of_program(make: Callable[[], ll.Program], tmp_path: Path) -> None:
    for path in make().export_figures(tmp_path, formats=["svg"]):
        ElementTree.parse(path)


def test_names_are_not_formulas(tmp_path: Path) -> None:
    program = programs.tiny()
    steps = tuple(replace(step, path=r"$\frac{$") for step in program.body.steps)
    ll.Program(replace(program.body, steps=steps)).export_figures(tmp_path, formats=["svg"])
    assert r"$\frac{$" in (tmp_path / "energy-by-layer.svg").read_text(encoding="utf-8")


def test_what_cannot_be_written_is_an_error(program: ll.Program, tmp_path: Path) -> None:
    with pytest.raises(ll.InputError, match=r"unknown format.*'gif'"):
        program.export_figures(tmp_path, formats=["gif"])
    with pytest.raises(ll.InputError, match="no figure of that name"):
        drawn("nothing", program)
    (tmp_path / "file").write_text("")
    with pytest.raises(ll.InputError, match="cannot be made"):
        program.export_figures(tmp_path / "file")


def test_the_command_line_writes_page_trace_and_figures(tmp_path: Path) -> None:
    programs.tiny().save(tmp_path / "tiny.loom")
    wanted = ["--html", "page.html", "--trace", "trace.json", "--figures", "figures"]
    given = [str(tmp_path / word) if "." in word or word == "figures" else word for word in wanted]
    ran = CliRunner().invoke(app, ["report", str(tmp_path / "tiny.loom"), *given])
    assert ran.exit_code == 0, ran.output
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{n}.{k}" for n in FIGURES for k in ("svg", "png")
    }
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    assert any(event["name"] == "power" for event in events)
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_a_towering_item_leaves_the_others_to_be_seen() -> None:
    program = programs.residual()
    joules = sorted(program.energy.run.by_item().values(), reverse=True)
    assert joules[0] > 100 * joules[1]
    made = drawn("energy-by-item", program)
    wide = made.axes[0].get_xlim()[1]
    assert sum(length > 0.05 * wide for length in lengths(made)) >= 5
    assert [text.get_text() for text in made.axes[0].texts].count("//") == 1


@pytest.mark.parametrize(
    ("values", "scale"), [([5.0], 5.0), ([9.0, 5.0, 1.0], 9.0), ([90.0, 5.0, 4.0], 5.0), ([900.0, 90.0, 8.0, 1.0], 1.0)]
)
def test_bars_that_tower_do_not_set_the_scale(values: list[float], scale: float) -> None:
    assert plots._scale(values) == scale


def test_tiles_of_all_layers_have_one_size() -> None:
    program = programs.residual()
    made = drawn("tiles", program)
    wide, high = made.get_size_inches()
    grids = [axes for axes in made.axes if axes.images and axes.get_title(loc="left")]
    sizes = []
    for axes in grids:
        down, across = axes.images[0].get_array().shape
        place = axes.get_position()
        sizes.append((place.width * wide / across, place.height * high / down))
    thinnest = 2.5 / 14
    largest = max(max(axes.images[0].get_array().shape) for axes in grids)
    assert len(sizes) > 5
    for size in (side for pair in sizes for side in pair):
        assert size == pytest.approx(2.5 / largest) or size <= thinnest + 1e-9
