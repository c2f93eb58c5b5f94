"""Cores with two buffers: schedules, their rules and bounds, and running them."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves

import lightloom as ll
from lightloom.compiler.tiling import tile_weights
from lightloom.runtime import targets
from lightloom.runtime.errors import DeviceError, TargetError
from lightloom.runtime.executor import Runner
from lightloom.runtime.pricing.counts import run_counts
from lightloom.runtime.pricing.energy import energy
from lightloom.runtime.pricing.movement import chains
from lightloom.runtime.program import ProductStep, RecurrentStep, StepCost
from lightloom.runtime.scheduling.bounds import bounds, naive_s
from lightloom.runtime.scheduling.cores import Cores
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.latency import ConfigureTimes, latency, stream_s
from lightloom.runtime.scheduling.schedule import COLUMNS, EventKind, Schedule
from lightloom.runtime.simulator import SimulatorDevice
from lightloom.whatif import what_if

from ..bodies import bank, host, layer, matrix, network, program

MZI16 = targets.get("mzi16")
# Round numbers: configure 10 s, one window 1 s, no pipeline, one op a second on the host.
ROUND = MZI16.with_(
    mesh={"cores": 1, "buffers": 2},
    timing={"reconfigure_s": 10.0, "window_s": 1.0, "pipeline_latency_s": 0.0},
    energy={"host_ops_per_s": 1.0},
)


def events(schedule: Schedule) -> list[tuple[Any, ...]]:
    """Rows as (kind, step, tile, core, start, end)."""
    rows = zip(*(getattr(schedule, name).tolist() for name in COLUMNS if name not in ("vectors", "first")), strict=True)
    return [(EventKind(kind).name, *rest) for kind, *rest in rows]


def test_the_next_tile_is_configured_while_light_runs() -> None:
    schedule = deal(layer(ROUND, 16, 48, vectors=8), 1)
    schedule.verify(layer(ROUND, 16, 48, vectors=8))
    assert events(schedule) == [
        ("CONFIGURE", 0, 0, 0, 0.0, 10.0),
        ("STREAM", 0, 0, 0, 10.0, 18.0),
        ("CONFIGURE", 0, 1, 0, 10.0, 20.0),
        ("STREAM", 0, 1, 0, 20.0, 28.0),
        ("CONFIGURE", 0, 2, 0, 20.0, 30.0),
        ("STREAM", 0, 2, 0, 30.0, 38.0),
    ]
    assert schedule.makespan_s == schedule.lower_bound_s
    assert schedule.bound == "reconfiguration"
    assert schedule.naive_s == 3 * 18
    assert schedule.speedup == 54 / 38
    assert "(reconfiguration), 1.421 times as fast as one core tile by tile" in str(schedule)


def test_long_streams_hide_every_configuration_but_the_first() -> None:
    schedule = deal(layer(ROUND, 16, 64, vectors=15), 1)
    assert schedule.makespan_s == 10 + 4 * 15
    assert schedule.lower_bound_s == schedule.makespan_s
    # a buffer is not overwritten before the light has left it
    begins = schedule.start_s[schedule.kind == EventKind.CONFIGURE]
    assert begins.tolist() == [0.0, 10.0, 25.0, 40.0]


def test_configurations_run_ahead_of_the_data_as_far_as_there_are_buffers() -> None:
    body = program(
        ROUND,
        [bank("w", ROUND, 16, 48)],
        [host("h", "x"), matrix("m", "w", "h")],
        {"h": StepCost(0, 0, 50), "m": StepCost(1, 2, 16)},
    )
    schedule = deal(body, 1)
    begins = schedule.start_s[schedule.kind == EventKind.CONFIGURE]
    assert begins.tolist() == [0.0, 10.0, 52.0]
    assert schedule.makespan_s == 64.0
    assert schedule.bound == "critical path"
    assert schedule.ratio == 1.0


def test_tiles_in_either_buffer_are_not_configured_again() -> None:
    body = program(
        ROUND,
        [bank("w", ROUND, 16, 32)],
        [matrix("first", "w", "x"), matrix("again", "w", "first")],
        {"first": StepCost(512, 1, 16), "again": StepCost(512, 1, 16)},
    )
    schedule = deal(body, 1)
    schedule.verify(body)
    assert (schedule.kind == EventKind.CONFIGURE).sum() == 2
    assert (schedule.kind == EventKind.STREAM).sum() == 4


def test_a_core_holds_its_last_configurations_in_turn() -> None:
    cores = Cores(2, ConfigureTimes(1.0, 1.0), 2)
    cores.run(7, 5, 0.0, 1.0)
    held = {(core, slot): int(cores.held[core, slot]) - 7 for core in range(2) for slot in range(2)}
    assert cores.turn.tolist() == [3, 2]
    assert held == {(0, 0): 4, (0, 1): 2, (1, 0): 1, (1, 1): 3}


@pytest.mark.parametrize("value", [0, 3])
def test_a_core_has_one_or_two_buffers(value: int) -> None:
    with pytest.raises(TargetError, match="buffers"):
        MZI16.with_({"mesh.buffers": value})


networks = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 40)), min_size=1, max_size=6)


@settings(deadline=None, max_examples=120)
@given(
    st.integers(1, 2),
    st.integers(1, 7),
    networks,
    st.sampled_from([0.0, 3e-9, 2e-8, 1e-6]),
    st.integers(1, 5),
    st.sampled_from([1, 100, 100_000]),
)
def test_no_schedule_breaks_a_rule_or_a_bound(
    buffers: int, cores: int, layers: Any, reconfigure_s: float, batch: int, elements: int
) -> None:
    target = MZI16.with_({"mesh.cores": cores, "timing.reconfigure_s": reconfigure_s, "mesh.buffers": buffers})
    body = network(target, [tiles for tiles, _ in layers], [vectors for _, vectors in layers], elements)
    schedule = deal(body, batch)
    schedule.verify(body)
    # the raw bounds: those of the schedule are cut off at its makespan
    for name, seconds in bounds(body, batch).items():
        assert seconds <= schedule.makespan_s * (1 + 1e-12), name
    assert schedule.makespan_s <= naive_s(body, batch) * (1 + 1e-12)
    # on one core a buffer more is never slower
    if cores == 1 and buffers == 2:
        single = deal(dataclasses.replace(body, target=target.with_({"mesh.buffers": 1})), batch)
        assert schedule.makespan_s <= single.makespan_s * (1 + 1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 30), st.sampled_from([2e-9, 3e-8]))
def test_tiles_of_one_matrix_take_turns(cores: int, tiles: int, vectors: int, reconfigure_s: float) -> None:
    target = MZI16.with_({"mesh.cores": cores, "timing.reconfigure_s": reconfigure_s, "mesh.buffers": 2})
    schedule = deal(layer(target, 16, 16 * tiles, vectors=vectors), 1)
    rounds = -(-tiles // cores)
    stream = stream_s(target, vectors)
    longest = max(reconfigure_s, stream)
    assert schedule.makespan_s == pytest.approx(reconfigure_s + (rounds - 1) * longest + stream, rel=1e-12)


BODY = network(ROUND, [3, 2], [2, 15], elements=4)
GOOD = deal(BODY, 1)


def test_both_buffers_draw_power_from_their_own_first_configuration_on() -> None:
    body = layer(ROUND, 16, 48, vectors=8)
    report = energy(body, deal(body, 1))
    hold = report.execution.by_item()["hold"] + report.configuration.by_item()["hold"]
    held = 2 * 16 * 16 + 16
    # the buffers are set from 0 s and from 10 s on, to the end at 38 s
    assert hold == pytest.approx((38 + 28) * held * ROUND.energy.phase_shifter_hold_w, rel=1e-12)
    assert not report.resident


def test_a_program_that_fits_both_buffers_stays() -> None:
    body = layer(ROUND, 16, 32, vectors=8)
    assert energy(body, deal(body, 1)).resident


def test_a_core_is_busy_once_however_much_it_does() -> None:
    figures = latency(BODY, GOOD)
    assert figures.chip_busy_s > figures.core_busy_s
    assert 0 < figures.utilization <= 1


def test_the_trace_has_a_track_for_configurations(tmp_path: Path) -> None:
    GOOD.to_perfetto(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    names = {e["tid"]: e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name" and e["pid"] == 1}
    assert names == {0: "core 0", 1: "core 0, configuring"}
    for event in trace["traceEvents"]:
        if event["ph"] == "X" and event["pid"] == 1:
            assert event["tid"] == (event["cat"] == "configure")


@pytest.fixture(scope="module")
def compiled() -> ll.Program:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(40, 70), torch.nn.ReLU(), torch.nn.Linear(70, 20)).eval()
    target = targets.get("mzi16").with_({"mesh.cores": 2, "mesh.buffers": 2})
    return ll.compile(model, torch.randn(3, 40), target=target)


def test_the_step_executor_equals_the_batched_one_code_for_code(compiled: ll.Program) -> None:
    x = torch.randn(5, 40, generator=torch.Generator().manual_seed(1))
    schedule = compiled.schedule_for(5)
    configures = schedule.start_s[schedule.kind == EventKind.CONFIGURE]
    assert len(configures) > 4, "every buffer is used again"
    step = compiled.run(x, executor="step", dtype=torch.float64)
    assert torch.equal(step, compiled.run(x, executor="batched", dtype=torch.float64))


def test_a_buffer_more_needs_no_new_compile(compiled: ll.Program) -> None:
    single = what_if(compiled, {"mesh.buffers": 1})
    assert single.schedule.buffers == 1
    assert compiled.schedule.makespan_s < single.schedule.makespan_s
    # each buffer has phases of its own, that go from tile to tile
    schedule = compiled.schedule
    found = list(chains(compiled.body, schedule))
    assert len(found) == 4
    assert sum(map(len, found)) == (schedule.kind == EventKind.CONFIGURE).sum()
    on_first = (schedule.core == 0) & (schedule.kind == EventKind.CONFIGURE)
    assert found[1][:, 1].tolist() == schedule.tile[on_first][1::2].tolist()


def test_a_session_keeps_what_both_buffers_hold() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(30, 30).eval()  # four tiles
    target = targets.get("mzi16").with_({"mesh.cores": 2, "mesh.buffers": 2})
    compiled = ll.compile(model, torch.randn(3, 30), target=target)
    x = torch.randn(2, 30)
    with ll.devices.simulator(target).reserve() as session:
        first = session.run(compiled, x)
        again = session.run(compiled, x)
    assert torch.equal(first, again)
    assert (session.usage.configures, session.usage.kept) == (4, 4)


def test_a_device_with_one_buffer_refuses_the_second(compiled: ll.Program) -> None:
    device = SimulatorDevice(compiled.target.with_({"mesh.buffers": 1}))
    with pytest.raises(DeviceError, match="no such buffer of a core"):
        compiled.run(torch.randn(2, 40), executor="step", device=device)


@pytest.mark.parametrize("cores", [8, 2, 1])
@pytest.mark.parametrize("kind", ["lstm", "attention"])
def test_loops_and_computed_weights_run_on_two_buffers(kind: str, cores: int) -> None:
    torch.manual_seed(0)
    target = targets.get("mzi16").with_({"mesh.cores": cores, "mesh.buffers": 2})
    if kind == "lstm":
        model: torch.nn.Module = torch.nn.LSTM(5, 18, proj_size=7, bidirectional=True, batch_first=True).eval()
        compiled, x = ll.compile(model, torch.randn(2, 6, 5), target=target), torch.randn(3, 6, 5)
    else:
        model = torch.nn.TransformerEncoderLayer(16, 2, 20, batch_first=True).eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ll.LightloomWarning)
            compiled = ll.compile(model, torch.randn(2, 6, 16), target=target, dynamic_matmul="photonic")
        x = torch.randn(3, 6, 16)
        assert any(isinstance(step, ProductStep) for step in compiled.body.steps)
    schedule = deal(compiled.body, 3)
    schedule.verify(compiled.body)
    for name, seconds in bounds(compiled.body, 3).items():
        assert seconds <= schedule.makespan_s * (1 + 1e-12), name
    runner = Runner(compiled.body, tiler=tile_weights)
    batched = tree_leaves(runner.run((x,), dtype=torch.float64))
    counts = runner.counts
    stepped = tree_leaves(runner.run((x,), dtype=torch.float64, executor="step"))
    for mine, theirs in zip(batched, stepped, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    assert counts == runner.counts == run_counts(compiled.body, schedule)
    report = energy(compiled.body, schedule)
    rows = report.run.by_row()
    assert min(rows.values()) >= 0
    assert math.fsum(rows.values()) == pytest.approx(report.total_j, rel=1e-12)


@pytest.mark.parametrize(("cores", "buffers"), [(7, 1), (4, 2), (1, 2), (2, 2), (1, 1)])
def test_tiles_of_a_loop_stay_in_every_buffer(cores: int, buffers: int) -> None:
    torch.manual_seed(0)
    model = torch.nn.LSTM(5, 18, proj_size=7, batch_first=True).eval()
    compiled = ll.compile(model, torch.randn(2, 6, 5), target=MZI16.with_({"mesh.cores": cores}))
    body = dataclasses.replace(compiled.body, target=compiled.target.with_({"mesh.buffers": buffers}))
    (index,) = (index for index, step in enumerate(body.steps) if isinstance(step, RecurrentStep))
    tiles, times = 7, 6
    schedule = deal(body, 3)
    schedule.verify(body)
    configures = int(((schedule.step == index) & (schedule.kind == EventKind.CONFIGURE)).sum())
    # what does not stay is configured at every time step
    short = max(tiles - cores * buffers, 0)
    assert tiles + (times - 1) * short <= configures <= tiles * times
    if not short:
        assert configures == tiles
