"""The trace of a schedule: tracks, times, and the rules of the trace-event format."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lightloom as ll
from lightloom.models import DigitsCNN


@pytest.fixture(scope="module")
def schedule() -> Any:
    program = ll.compile(DigitsCNN().eval(), torch.zeros(2, 1, 8, 8), target=ll.targets.get("mzi16"))
    return program.schedule_for(4)


def test_trace_conforms_to_the_format(schedule: Any, tmp_path: Path) -> None:
    schedule.to_perfetto(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    assert set(trace) == {"displayTimeUnit", "otherData", "traceEvents"}
    assert trace["displayTimeUnit"] in ("ms", "ns")
    tracks = {(e["pid"], e["tid"]) for e in trace["traceEvents"] if e["name"] == "thread_name"}
    for event in trace["traceEvents"]:
        assert event["ph"] in ("M", "X")
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name", "thread_sort_index")
            assert set(event["args"]) <= {"name", "sort_index"}
        else:
            assert event["dur"] >= 0
            assert event["ts"] >= 0
            assert (event["pid"], event["tid"]) in tracks
            assert event["cat"] in ("configure", "stream", "host")


def test_trace_holds_every_event_with_its_time_and_track(schedule: Any, tmp_path: Path) -> None:
    schedule.to_perfetto(tmp_path / "trace.json")
    events = [e for e in json.loads((tmp_path / "trace.json").read_text())["traceEvents"] if e["ph"] == "X"]
    assert len(events) == len(schedule)
    np.testing.assert_allclose([e["ts"] for e in events], schedule.start_s * 1e6, rtol=1e-15)
    np.testing.assert_allclose([e["dur"] for e in events], (schedule.end_s - schedule.start_s) * 1e6, rtol=1e-15)
    assert [e["args"]["step"] for e in events] == [schedule.steps[i] for i in schedule.step]
    # events of one track do not overlap: that is what a track shows
    for track in {(e["pid"], e["tid"]) for e in events}:
        mine = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if (e["pid"], e["tid"]) == track)
        assert all(second[0] >= first[1] - 1e-6 for first, second in pairwise(mine))


def test_a_trace_that_cannot_be_written_leaves_nothing(schedule: Any, tmp_path: Path) -> None:
    with pytest.raises(ll.InputError, match="cannot be written"):
        schedule.to_perfetto(tmp_path / "no" / "trace.json")
    assert list(tmp_path.iterdir()) == []
