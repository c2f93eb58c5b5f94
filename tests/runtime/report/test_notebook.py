"""What a notebook shows of programs, schedules and energies: the right numbers, small, and nothing that runs."""

from __future__ import annotations

import base64
import html
import re
import struct
import zlib
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest

import lightloom as ll
from lightloom.runtime.report import lanes
from lightloom.runtime.report.tables import micro, si

from . import programs


@pytest.fixture(scope="module")
def program() -> ll.Program:
    return programs.equipped()


class Balanced(HTMLParser):
    """Fails where an element is not closed, or is one that a fragment may not have."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "style", "iframe", "object", "link")
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def shown(thing: object) -> str:
    text = thing._repr_html_()  # type: ignore[attr-defined]
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert len(text) < 200_000
    return text


def test_a_program_shows_its_figures_layers_and_energy(program: ll.Program) -> None:
    text = shown(program)
    assert html.escape(program.explain().headline) in text
    assert micro(si(program.schedule.makespan_s, "s", 3)) in text
    for bank in program.body.banks:
        assert html.escape(bank) in text
    widths = [float(width) for width in re.findall(r"height:11px;width:([\d.]+)%", text)]
    assert widths
    assert max(widths) <= 100


def test_bars_of_an_energy_are_as_long_as_its_items(program: ll.Program) -> None:
    text = shown(program.energy)
    by_item = sorted((value for value in program.energy.run.by_item().values() if value > 0), reverse=True)
    widths = [float(width) for width in re.findall(r"height:11px;width:([\d.]+)%", text)]
    wanted = [100 * value / by_item[0] for value in by_item]
    np.testing.assert_allclose(widths[: len(by_item)], wanted, atol=0.006)
    for name, value in program.energy.by_event().items():
        assert (f'<span title="{name}: {micro(si(value, "J", 3))}"' in text) == (value > 0)


def test_a_schedule_shows_its_lanes(program: ll.Program) -> None:
    text = shown(program.schedule)
    found = re.search(r"data:image/png;base64,([^\"]+)", text)
    assert found
    file = base64.b64decode(found.group(1))
    columns, rows = struct.unpack(">II", file[16:24])
    start = file.index(b"IDAT") + 4
    (size,) = struct.unpack(">I", file[start - 8 : start - 4])
    pixels = np.frombuffer(zlib.decompress(file[start : start + size]), np.uint8).reshape(rows, 1 + 4 * columns)
    used = lanes.lanes_of(program.schedule)
    assert rows == 4 * len(used)
    first = lanes.lane_picture(program.schedule, used[0], columns)
    np.testing.assert_array_equal(pixels[:4, 1:].reshape(4, columns, 4), np.rint(first * 255))
    assert "3 cores, host, link" in text


@pytest.mark.parametrize(
    "make", [programs.tiny, programs.empty, programs.attention, programs.recurrent, programs.hostile]
)
def test_programs_of_every_kind_are_shown(make: Callable[[], ll.Program]) -> None:
    program = make()
    for thing in (program, program.schedule, program.energy):
        text = shown(thing)
        assert "<b id=" not in text
        assert "\x07" not in text
