"""The trace of a schedule: tracks, times, counters, arrows, and the rules of the trace-event format."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lightloom as ll
from lightloom.models import DigitsCNN
from lightloom.runtime.report import perfetto
from lightloom.runtime.scheduling.plan import StepPlan
from lightloom.runtime.scheduling.schedule import LINK_LANE, EventKind, Schedule


@pytest.fixture(scope="module")
def program() -> ll.Program:
    target = ll.targets.get("mzi16").with_({"mesh.cores": 3})
    return ll.compile(DigitsCNN().eval(), torch.zeros(2, 1, 8, 8), target=target)


@pytest.fixture(scope="module")
def schedule(program: ll.Program) -> Schedule:
    return program.schedule_for(4)


def with_moves(schedule: Schedule) -> Schedule:
    """The same with its first result moved to the host, and its first step planned."""
    extra = {
        "kind": EventKind.MOVE,
        "step": 0,
        "tile": 1,
        "core": LINK_LANE,
        "start_s": schedule.makespan_s,
        "end_s": schedule.makespan_s * 1.25,
        "vectors": 4096,
        "first": 0,
    }
    columns = {name: np.append(getattr(schedule, name), value) for name, value in extra.items()}
    plans = {schedule.steps[0]: StepPlan("output", 7)}
    return replace(schedule, **columns, makespan_s=schedule.makespan_s * 1.25, plans=plans)


def written(schedule: Schedule, path: Path, energy: Any = None) -> list[dict[str, Any]]:
    schedule.to_perfetto(path, energy)
    return json.loads(path.read_text(encoding="utf-8"))["traceEvents"]


def conforms(events: list[dict[str, Any]]) -> None:
    tracks = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    flows: dict[int, list[str]] = {}
    for event in events:
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name", "thread_sort_index")
            assert set(event["args"]) <= {"name", "sort_index"}
            continue
        assert event["ph"] in ("X", "C", "s", "f")
        assert event["ts"] >= 0
        if event["ph"] == "C":
            assert all(isinstance(value, float) for value in event["args"].values())
            continue
        assert (event["pid"], event["tid"]) in tracks
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["cat"] in ("configure", "stream", "host", "move")
        else:
            flows.setdefault(event["id"], []).append(event["ph"])
    assert all(ends == ["s", "f"] for ends in flows.values())


def test_trace_conforms_to_the_format(program: ll.Program, schedule: Schedule, tmp_path: Path) -> None:
    schedule.to_perfetto(tmp_path / "trace.json", program.energy)
    trace = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    assert set(trace) == {"displayTimeUnit", "otherData", "traceEvents"}
    assert trace["displayTimeUnit"] in ("ms", "ns")
    conforms(trace["traceEvents"])


def test_trace_holds_every_event_with_its_time_and_track(schedule: Schedule, tmp_path: Path) -> None:
    events = [e for e in written(schedule, tmp_path / "trace.json") if e["ph"] == "X"]
    assert len(events) == len(schedule)
    np.testing.assert_allclose([e["ts"] for e in events], schedule.start_s * 1e6, rtol=1e-15)
    np.testing.assert_allclose([e["dur"] for e in events], (schedule.end_s - schedule.start_s) * 1e6, rtol=1e-15)
    assert [e["args"]["step"] for e in events] == [schedule.steps[i] for i in schedule.step]
    streams = [e["args"] for e in events if e["cat"] == "stream"]
    assert [(args["first"], args["vectors"]) for args in streams] == [
        (first, count)
        for kind, first, count in zip(schedule.kind, schedule.first, schedule.vectors, strict=True)
        if kind == EventKind.STREAM
    ]
    # events of one track do not overlap: that is what a track shows
    for track in {(e["pid"], e["tid"]) for e in events}:
        mine = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if (e["pid"], e["tid"]) == track)
        assert all(second[0] >= first[1] - 1e-6 for first, second in pairwise(mine))


def test_moves_have_a_track_and_plans_are_told(schedule: Schedule, tmp_path: Path) -> None:
    moved = with_moves(schedule)
    events = written(moved, tmp_path / "trace.json")
    conforms(events)
    (move,) = (e for e in events if e.get("cat") == "move")
    assert move["name"] == f"{schedule.steps[0]} to the host"
    assert move["args"] == {"step": schedule.steps[0], "bytes": 4096}
    named = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert named[move["pid"], move["tid"]] == "moves"
    planned = [e["args"] for e in events if e["ph"] == "X" and e["args"].get("dataflow")]
    assert planned
    assert all((args["step"], args["dataflow"], args["block"]) == (schedule.steps[0], "output", 7) for args in planned)


def test_counters_add_up_to_core_time_and_to_the_energy(program: ll.Program, tmp_path: Path) -> None:
    schedule = program.schedule
    events = written(schedule, tmp_path / "trace.json", program.energy)
    for name, unit, whole in (
        ("cores busy", "cores", program_core_seconds(schedule)),
        ("power", "watts", program.energy.total_j),
    ):
        points = [(e["ts"] * 1e-6, e["args"][unit]) for e in events if e["ph"] == "C" and e["name"] == name]
        assert points[-1][1] == 0.0
        area = sum(value * (after[0] - time) for (time, value), after in pairwise(points))
        assert area == pytest.approx(whole, rel=1e-9)
    most = max(e["args"]["cores"] for e in events if e["name"] == "cores busy")
    assert 1 < most <= 3


def program_core_seconds(schedule: Schedule) -> float:
    on_chip = schedule.core >= 0
    return float((schedule.end_s - schedule.start_s)[on_chip].sum())


def test_counters_of_long_runs_are_means(schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfetto, "COUNTER_STEPS", 5)
    points = [e for e in written(schedule, tmp_path / "trace.json") if e["name"] == "cores busy"]
    assert len(points) == 6
    mean = sum(e["args"]["cores"] for e in points[:-1]) / 5
    assert mean * schedule.makespan_s == pytest.approx(program_core_seconds(schedule), rel=1e-9)


def test_two_buffers_show_which_stream_a_configuration_is_for(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 48)).eval()
    target = ll.targets.get("mzi16").with_({"mesh.buffers": 2})
    schedule = ll.compile(model, torch.zeros(2, 64), target=target).schedule
    events = written(schedule, tmp_path / "trace.json")
    conforms(events)
    begins = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    slices = [e for e in events if e["ph"] == "X"]
    assert len(begins) == sum(e["cat"] == "configure" for e in slices)
    for number, begin in begins.items():
        source, use = (
            next(
                e
                for e in slices
                if e["tid"] == end["tid"] and e["pid"] == end["pid"] and e["ts"] <= end["ts"] < e["ts"] + e["dur"]
            )
            for end in (begin, ends[number])
        )
        assert (source["cat"], use["cat"]) == ("configure", "stream")
        assert (source["args"]["step"], source["args"]["tile"]) == (use["args"]["step"], use["args"]["tile"])


def test_an_empty_schedule_is_a_trace(schedule: Schedule, tmp_path: Path) -> None:
    columns = {name: getattr(schedule, name)[:0] for name in ("kind", "step", "tile", "core", "start_s", "end_s")}
    empty = replace(schedule, **columns, vectors=schedule.vectors[:0], first=schedule.first[:0], makespan_s=0.0)
    conforms(written(empty, tmp_path / "trace.json"))


def test_a_trace_that_cannot_be_written_leaves_nothing(schedule: Schedule, tmp_path: Path) -> None:
    with pytest.raises(ll.InputError, match="cannot be written"):
        schedule.to_perfetto(tmp_path / "no" / "trace.json")
    assert list(tmp_path.iterdir()) == []
