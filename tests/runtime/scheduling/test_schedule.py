"""Dealing tiles to cores, the rules of a schedule, and the bound next to it."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime import targets
from lightloom.runtime.errors import InputError
from lightloom.runtime.program import StepCost
from lightloom.runtime.scheduling.dealing import deal, lower_bound_s
from lightloom.runtime.scheduling.latency import host_s, latency, peak_ops_per_s, stream_s
from lightloom.runtime.scheduling.schedule import COLUMNS, EventKind

from ..bodies import bank, host, layer, matrix, network, program

MZI16 = targets.get("mzi16")
# Round numbers: configure 10 s, one window 1 s, no pipeline, one op a second on the host.
ROUND = MZI16.with_(
    mesh={"cores": 2},
    timing={"reconfigure_s": 10.0, "window_s": 1.0, "pipeline_latency_s": 0.0},
    energy={"host_ops_per_s": 1.0},
)


def events(schedule):
    """Rows as (kind, step, tile, core, start, end, vectors)."""
    rows = zip(*(getattr(schedule, name).tolist() for name in COLUMNS if name != "first"), strict=True)
    return [(EventKind(kind).name, *rest) for kind, *rest in rows]


def test_one_tile_is_configured_then_streamed():
    schedule = deal(layer(ROUND, 16, 16, vectors=3), batch=2)
    assert events(schedule) == [
        ("CONFIGURE", 0, 0, 0, 0.0, 10.0, 0),
        ("STREAM", 0, 0, 0, 10.0, 16.0, 6),
    ]
    assert schedule.makespan_s == 16.0


def test_tiles_are_dealt_evenly():
    schedule = deal(layer(ROUND, 16, 64), batch=1)
    streams = schedule.kind == EventKind.STREAM
    assert np.bincount(schedule.core[streams]).tolist() == [2, 2]
    assert schedule.makespan_s == 22.0
    assert schedule.ratio == 1.0


def test_two_shots_take_twice_the_windows():
    two_shot = ROUND.with_({"encoding.sign": "differential_two_shot"})
    assert deal(layer(two_shot, 16, 16, vectors=3), 2).makespan_s == 10 + 2 * 6


def test_pipeline_latency_is_paid_once_a_stream():
    slow = ROUND.with_({"timing.pipeline_latency_s": 5.0})
    assert deal(layer(slow, 16, 16, vectors=3), 2).makespan_s == 10 + 5 + 6


def test_a_core_is_configured_while_inputs_are_computed():
    body = program(
        ROUND,
        [bank("w", ROUND, 16, 16)],
        [host("h", "x"), matrix("m", "w", "h")],
        {"h": StepCost(0, 0, 25), "m": StepCost(256, 1, 16)},
    )
    schedule = deal(body, 1)
    assert events(schedule) == [
        ("HOST", 0, -1, -1, 0.0, 25.0, 0),
        ("CONFIGURE", 1, 0, 0, 15.0, 25.0, 0),
        ("STREAM", 1, 0, 0, 25.0, 26.0, 1),
    ]
    assert schedule.ratio == 1.0


def test_independent_steps_share_the_cores():
    body = program(
        ROUND,
        [bank("a", ROUND, 16, 16), bank("b", ROUND, 16, 16)],
        [matrix("ma", "a", "x"), matrix("mb", "b", "x"), host("sum", "ma", "mb")],
        {"ma": StepCost(256, 1, 16), "mb": StepCost(256, 4, 16), "sum": StepCost(0, 0, 3)},
    )
    schedule = deal(body, 1)
    assert schedule.core[schedule.kind == EventKind.STREAM].tolist() == [0, 1]
    assert schedule.makespan_s == 10 + 4 + 3


def test_a_held_tile_is_not_configured_again():
    body = program(
        ROUND,
        [bank("w", ROUND, 16, 32)],
        [matrix("first", "w", "x"), matrix("again", "w", "first")],
        {"first": StepCost(512, 1, 16), "again": StepCost(512, 1, 16)},
    )
    schedule = deal(body, 1)
    schedule.verify(body)
    assert (schedule.kind == EventKind.CONFIGURE).sum() == 2
    assert schedule.makespan_s == 12.0


def test_a_shared_bank_larger_than_the_chip_keeps_what_it_can():
    body = program(
        ROUND,
        [bank("w", ROUND, 16, 80)],
        [matrix("first", "w", "x"), matrix("again", "w", "first")],
        {"first": StepCost(1, 1, 16), "again": StepCost(1, 1, 16)},
    )
    schedule = deal(body, 1)
    schedule.verify(body)
    assert (schedule.kind == EventKind.CONFIGURE).sum() == 5 + 3


def test_host_multiply_accumulates_take_time():
    body = program(ROUND, [], [host("h", "x")], {"h": StepCost(30, 0, 12)})
    assert deal(body, 2).makespan_s == 84.0


def test_an_all_zero_matrix_takes_no_time():
    empty = bank("w", ROUND, 16, 16, skip=(0,))
    body = program(ROUND, [empty], [matrix("m", "w", "x")], {"m": StepCost(256, 4, 16)})
    schedule = deal(body, 3)
    schedule.verify(body)
    assert len(schedule) == 0
    assert schedule.makespan_s == schedule.lower_bound_s == 0
    assert schedule.ratio == 1.0


def test_a_program_without_steps_has_an_empty_schedule():
    body = program(ROUND, [], [], {})
    schedule = deal(body, 1)
    schedule.verify(body)
    assert len(schedule) == 0


@pytest.mark.parametrize("batch", [0, -1, 2.0, True, None])
def test_a_batch_is_one_or_more(batch):
    with pytest.raises(InputError, match="a schedule needs a batch"):
        deal(layer(ROUND, 16, 16), batch)


networks = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 40)), min_size=1, max_size=6)


def drawn(cores, layers, reconfigure_s):
    target = MZI16.with_({"mesh.cores": cores, "timing.reconfigure_s": reconfigure_s})
    return network(target, [tiles for tiles, _ in layers], [vectors for _, vectors in layers])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 7), networks, st.sampled_from([0.0, 3e-9, 1e-6]), st.integers(1, 5))
def test_every_schedule_keeps_the_rules_and_its_bound(cores, layers, reconfigure_s, batch):
    body = drawn(cores, layers, reconfigure_s)
    schedule = deal(body, batch)
    schedule.verify(body)
    assert schedule.lower_bound_s <= schedule.makespan_s
    # Greedy lists are within twice any bound (Graham) per layer, and layers add up.
    assert schedule.makespan_s <= 2 * lower_bound_s(body, batch) * len(body.steps)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 7), networks, st.sampled_from([0.0, 3e-9, 1e-6]), st.integers(1, 5))
def test_dealing_equals_an_event_by_event_simulation(cores, layers, reconfigure_s, batch):
    body = drawn(cores, layers, reconfigure_s)
    schedule = deal(body, batch)
    free = [(0.0, core) for core in range(cores)]
    ready = 0.0
    for index, (tiles, vectors) in enumerate(layers):
        stream = stream_s(body.target, vectors * batch)
        end = ready
        for _ in range(tiles if vectors else 0):
            # The next tile goes to the core that can start it first.
            core = min(range(cores), key=lambda c: (max(free[c][0], ready - reconfigure_s), c))
            start = max(free[core][0], ready - reconfigure_s)
            free[core] = (start + reconfigure_s + stream, core)
            end = max(end, free[core][0])
        cost = body.costs[f"h{index}"]
        ready = end + host_s(body.target, batch * cost.macs, batch * cost.elements)
    assert schedule.makespan_s == pytest.approx(ready, rel=1e-9)


def test_dealing_is_deterministic():
    body = drawn(3, [(7, 3), (2, 5)], 1e-6)
    assert deal(body, 4).to_json() == deal(body, 4).to_json()


def test_many_tiles_are_dealt_in_arrays():
    target = MZI16.with_({"mesh.cores": 37})
    body = layer(target, 16 * 320, 16 * 320, vectors=2)
    schedule = deal(body, 3)
    schedule.verify(body)
    assert len(schedule) == 2 * 320 * 320
    assert schedule.ratio < 1.001


def test_cores_of_very_different_availability_share_fairly():
    body = program(
        ROUND,
        [bank("a", ROUND, 16, 16), bank("b", ROUND, 16, 16 * 9)],
        [matrix("long", "a", "x"), matrix("many", "b", "x")],
        {"long": StepCost(1, 90, 1), "many": StepCost(1, 1, 1)},
    )
    schedule = deal(body, 1)
    streams = (schedule.kind == EventKind.STREAM) & (schedule.step == 1)
    assert (schedule.core[streams] == 1).all()
    assert schedule.makespan_s == 100.0


BODY = network(ROUND, [3, 2], [2, 5], elements=4)
GOOD = deal(BODY, 2)


class TestTables:
    def test_dict_and_json_hold_every_event(self):
        data = json.loads(GOOD.to_json())
        assert data == GOOD.to_dict()
        assert data["kind"][0] == "configure"
        assert all(len(data[name]) == len(GOOD) for name in COLUMNS)
        assert (data["batch"], data["steps"]) == (2, ["m0", "h0", "m1", "h1"])

    def test_csv_has_a_line_an_event(self):
        rows = list(csv.DictReader(GOOD.to_csv().splitlines()))
        assert len(rows) == len(GOOD)
        assert rows[0]["name"] == "m0"
        assert float(rows[-1]["end_s"]) == GOOD.makespan_s

    def test_text_has_an_aligned_line_a_step(self):
        head, *lines = str(GOOD).splitlines()
        assert f"schedule of {len(GOOD)} events" in head
        assert [line.split()[0] for line in lines[2:]] == ["m0", "h0", "m1", "h1"]
        assert len({line.index("chip" if "chip" in line else "host") for line in lines[2:]}) == 1


class TestLatency:
    def test_figures_of_a_small_run(self):
        figures = latency(BODY, GOOD)
        assert figures.makespan_s == GOOD.makespan_s
        assert figures.per_inference_s == GOOD.makespan_s / 2
        assert figures.configure_s == 5 * 10
        assert figures.chip_busy_s == 5 * 10 + 3 * 4 + 2 * 10
        assert figures.host_busy_s == 2 * 8
        assert figures.utilization == pytest.approx(82 / (2 * GOOD.makespan_s))
        assert "makespan" in str(figures)
        assert json.dumps(figures.to_dict())

    def test_peak_rate_counts_two_operations_a_multiply_accumulate(self):
        assert peak_ops_per_s(ROUND) == 2 * 2 * 16 * 16
        assert peak_ops_per_s(ROUND.with_({"encoding.sign": "differential_two_shot"})) == 2 * 16 * 16
