"""What the page of a program shows: the numbers are those of the program, its schedule and its energy."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import lightloom as ll
from lightloom.runtime.pricing.area import area, square_mm
from lightloom.runtime.program import BankSpec
from lightloom.runtime.report import page_tiles, page_time
from lightloom.runtime.report.page_chip import area_data, chip_data
from lightloom.runtime.report.page_data import page_data
from lightloom.runtime.scheduling.schedule import EventKind
from lightloom.runtime.targets.surroundings import AreaSpec, LinkSpec

from . import programs


@pytest.fixture(scope="module")
def program() -> ll.Program:
    return programs.equipped()


@pytest.fixture(scope="module")
def data(program: ll.Program) -> dict[str, Any]:
    return page_data(program.body, program.schedule, program.energy)


def unpack(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def test_layers_and_energy_are_those_of_the_program(program: ll.Program, data: dict[str, Any]) -> None:
    json.dumps(data, allow_nan=False)
    assert sum(row["macs"] for row in data["layers"]) == program.explain().macs
    joules = sum(unpack(data["energy"][what], "<f8").sum() for what in ("execution", "configuration"))
    assert joules == pytest.approx(program.energy.total_j, rel=1e-12)
    assert sum(row["energy_j"] for row in data["layers"]) <= program.energy.total_j
    shape = (len(data["energy"]["rows"]), len(data["energy"]["items"]))
    by_item = unpack(data["energy"]["execution"], "<f8").reshape(shape).sum(0)
    np.testing.assert_allclose(by_item, list(program.energy.execution.by_item().values()), rtol=1e-12)
    assert sum(item["inference_j"] for item in data["energy"]["items"]) == pytest.approx(program.energy.amortised_j)
    chip = program.schedule.core >= 0
    seconds = (program.schedule.end_s - program.schedule.start_s)[chip].sum()
    assert sum(row["busy_s"] for row in data["layers"]) == pytest.approx(seconds, rel=1e-12)


def test_layers_tell_how_they_are_dealt(program: ll.Program, data: dict[str, Any]) -> None:
    schedule = program.schedule
    for row, name in zip(data["layers"], schedule.steps, strict=True):
        plan = schedule.plans.get(name)
        assert row["dataflow"] == (plan.dataflow if plan else "")
        if plan is None:
            continue
        assert row["blocks"] == plan.blocks(schedule.batch * program.body.costs[name].vectors)
        mine = (schedule.step == schedule.steps.index(name)) & (schedule.kind == EventKind.STREAM)
        pairs = set(zip(schedule.tile[mine].tolist(), schedule.core[mine].tolist(), strict=True))
        assert row["copies"] == pytest.approx(len(pairs) / row["tiles"])
    assert any(row["dataflow"] for row in data["layers"])


def test_timeline_holds_every_event(program: ll.Program, data: dict[str, Any]) -> None:
    line, schedule = data["timeline"], program.schedule
    assert not line["merged"]
    for name, column, dtype in (
        ("start", schedule.start_s, "<f8"),
        ("core", schedule.core, "<i4"),
        ("kind", schedule.kind, "u1"),
        ("tile", schedule.tile, "<i4"),
        ("first", schedule.first, "<f8"),
    ):
        np.testing.assert_array_equal(unpack(line[name], dtype), column)
    assert EventKind.MOVE in unpack(line["kind"], "u1")


def test_curves_over_time_add_up(program: ll.Program, data: dict[str, Any]) -> None:
    chip = program.schedule.kind == EventKind.STREAM
    streamed = (program.schedule.end_s - program.schedule.start_s)[chip].sum()
    for name, whole in (("power", program.energy.total_j), ("cores_busy", None)):
        edges = unpack(data["timeline"][name]["edges"], "<f8")
        values = unpack(data["timeline"][name]["values"], "<f4")
        area = float(values @ np.diff(edges))
        assert edges[-1] == program.schedule.makespan_s
        if whole is None:
            assert streamed <= area * (1 + 1e-6)
            assert values.max() <= program.target.mesh.cores
        else:
            assert area == pytest.approx(whole, rel=1e-5)


def test_long_schedules_are_merged_by_lane_and_layer(program: ll.Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_time, "TIMELINE_EVENTS", 100)
    schedule = program.schedule
    line = page_data(program.body, schedule, program.energy)["timeline"]
    counts, core = unpack(line["count"], "<u4"), unpack(line["core"], "<i4")
    assert line["merged"]
    assert counts.sum() == len(schedule)
    assert len(counts) < len(schedule)
    ends = unpack(line["start"], "<f8") + unpack(line["duration"], "<f4")
    assert ends.max() == pytest.approx(schedule.makespan_s, rel=1e-6)
    for lane in np.unique(schedule.core):
        assert unpack(line["start"], "<f8")[core == lane].min() == schedule.start_s[schedule.core == lane].min()
        assert counts[core == lane].sum() == (schedule.core == lane).sum()


def test_two_buffers_keep_configurations_apart_from_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 48)).eval()
    program = ll.compile(model, torch.zeros(2, 64), target=ll.targets.get("mzi16").with_({"mesh.buffers": 2}))
    monkeypatch.setattr(page_time, "TIMELINE_EVENTS", 8)
    line = page_data(program.body, program.schedule, program.energy)["timeline"]
    assert line["merged"]
    assert line["buffers"] == 2
    kind, count = unpack(line["kind"], "u1"), unpack(line["count"], "<u4")
    for which in (0, 1):
        assert count[kind == which].sum() == (program.schedule.kind == which).sum()


def test_tiles_have_their_places_and_settings(program: ll.Program, data: dict[str, Any]) -> None:
    assert len(data["tiles"]) == len(program.body.banks)
    for bank in data["tiles"]:
        held = program.body.banks[bank["bank"]]
        place = unpack(bank["place"], "<u4")
        down, across = held.columns["group"] * held.spec.grid_rows + held.columns["row"], held.columns["col"]
        np.testing.assert_array_equal(np.sort(place), np.sort(down * bank["across"] + across))
        assert bank["where"][0] == [held.columns[axis][bank["chosen"][0]] for axis in ("group", "row", "col")]
        theta = unpack(bank["settings"][0]["left"], "u1")
        np.testing.assert_array_equal(theta, held.columns["left.theta"][bank["chosen"][0]] >> 24)


def test_large_grids_are_shown_coarser(program: ll.Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_tiles, "PLACES", 64)
    spec = BankSpec("w", "clements", 16, 3, 16 * 10, 16 * 40, 1200)
    group, row, col = (axis.ravel() for axis in np.indices((3, 10, 40)))
    down, across, by = page_tiles.coarse_grid(spec, group, row, col, 100)
    assert by > 1
    assert len(np.unique(down * 1000 + across)) == -(-30 // by) * -(-40 // by) <= 100
    assert page_tiles.coarse_grid(spec, group, row, col, 1200)[2] == 1


def test_area_is_told_or_what_would_tell_it(program: ll.Program, data: dict[str, Any]) -> None:
    rows = data["area"]["rows"]
    assert {row["name"] for row in rows} == {"cells", "modulators", "ADCs"}
    counted = [part.area_m2 for part in area(program.target).parts if part.area_m2]
    assert [row["area"] for row in rows] == [square_mm(value) for value in sorted(counted, reverse=True)]
    assert "TOPS/mm²" in data["area"]["text"]
    assert "detectors" in data["area"]["missing"]
    bare = area_data(program.target.model_copy(update={"area": AreaSpec()}), program.energy)
    assert bare["rows"] == []
    assert "area.cell_m2" in bare["text"]


def test_chip_tells_memories_and_link(program: ll.Program, data: dict[str, Any]) -> None:
    rows = {name: value for panel in data["chip"] for name, value in panel["rows"]}
    assert rows["SRAM"].startswith("2 MB, 1 TB/s")
    assert rows["link to the host"] == "100 ns a move, 10 GB/s, 10 pJ/B"
    assert rows["lanes"] == "2 shots share a window"
    alone = replace(program.body, target=program.target.model_copy(update={"link": LinkSpec()}))
    schedule = ll.Program(alone).schedule_for(1)
    rows = {name: value for panel in chip_data(alone, schedule) for name, value in panel["rows"]}
    assert rows["link to the host"].startswith("none")
    assert "over the link" not in rows


def test_bounds_stand_beside_the_makespan(program: ll.Program, data: dict[str, Any]) -> None:
    own, *bounds = data["bounds"]
    assert own == {"name": "this schedule", "seconds": program.schedule.makespan_s, "own": True}
    assert {bound["name"]: bound["seconds"] for bound in bounds} == dict(program.schedule.bounds)
    assert bounds[0]["seconds"] == program.schedule.lower_bound_s
