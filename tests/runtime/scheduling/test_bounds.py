"""Lower bounds against every order, place and cut of a few streams, and against schedules of branching programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime import targets
from lightloom.runtime.program import ProgramBody
from lightloom.runtime.scheduling.bounds import bounds, lower_bound_s, naive_s
from lightloom.runtime.scheduling.dealer import Dealer
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.plan import Plan, StepPlan
from lightloom.runtime.scheduling.schedule import Schedule

from ..searching import best_s, branching

MZI16 = targets.get("mzi16").with_(
    timing={"window_s": 1.0, "pipeline_latency_s": 0.0}, energy={"host_ops_per_s": 1.0}
)  # fmt: skip


def below(schedule: Schedule, body: ProgramBody, *, split: bool = True) -> None:
    """No bound lies above the schedule."""
    start = {"resident": schedule.resident, "turns": schedule.turns}
    for name, seconds in bounds(body, schedule.batch, split=split, **start).items():
        assert seconds <= schedule.makespan_s * (1 + 1e-12), name


def dealt(body: ProgramBody, batch: int, plans: dict[str, StepPlan], warm: bool) -> Schedule:
    """A program dealt by these plans, after a run like it or as the first."""
    dealer = Dealer(body, batch)
    run = dealer.deal(plans)
    start: dict[str, Any] = {}
    if warm:
        start = {"resident": run.end.resident, "turns": run.end.turns}
        run = dealer.deal(plans, run.end)
    return Schedule(
        steps=tuple(step.name for step in body.steps),
        batch=batch,
        makespan_s=run.makespan_s,
        lower_bound_s=0.0,
        buffers=body.target.mesh.buffers,
        plans=plans,
        **start,
        **run.table(),
    )


CASES = [
    [("chip", 3, 4, ()), ("host", 0, 5, (1,)), ("chip", 2, 1, (1,))],
    [("host", 0, 30, ()), ("chip", 5, 2, (1,))],
    [("chip", 2, 12, ()), ("chip", 1, 3, ()), ("host", 0, 7, (1, 2)), ("chip", 2, 2, (1,))],
    [("chip", 1, 9, ()), ("chip", 2, 1, (1,)), ("chip", 2, 11, (2,)), ("host", 0, 1, (1, 2))],
    [("host", 0, 12, ()), ("chip", 1, 2, (1,)), ("chip", 2, 3, (2,)), ("chip", 2, 1, (3,)), ("host", 0, 9, (1, 2, 3))],
]


@pytest.mark.parametrize("layers", CASES)
@pytest.mark.parametrize("buffers", [1, 2])
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("reconfigure_s", [0.5, 6.0])
def test_no_order_of_the_tiles_beats_the_bounds(layers: Any, buffers: int, cores: int, reconfigure_s: float) -> None:
    body = branching(
        MZI16.with_({"mesh.cores": cores, "mesh.buffers": buffers, "timing.reconfigure_s": reconfigure_s}), layers
    )
    best = best_s(body, split=False)
    for name, seconds in bounds(body, 1, split=False).items():
        assert seconds <= best * (1 + 1e-12), name
    schedule = deal(body, 1, Plan("weight"))
    assert best * (1 - 1e-12) <= schedule.makespan_s <= 1.35 * best
    assert best <= naive_s(body, 1) * (1 + 1e-12)


PIECES = [
    [("chip", 1, 6, ())],
    [("chip", 3, 2, ())],
    [("chip", 1, 3, ()), ("host", 0, 2, (1,)), ("chip", 1, 3, (1,))],
    [("chip", 1, 4, ()), ("chip", 2, 1, (1,))],
    [("chip", 2, 2, ()), ("chip", 1, 2, ())],
    [("host", 0, 5, ()), ("chip", 5, 1, (1,))],
    [("chip", 1, 3, ()), ("again", 1, 3, (1,))],
]


@pytest.mark.parametrize("layers", PIECES)
@pytest.mark.parametrize("buffers", [1, 2])
@pytest.mark.parametrize(("reconfigure_s", "update_s"), [(0.5, 0.5), (1.5, 0.25), (6.0, 4.0)])
@pytest.mark.parametrize("latency_s", [0.0, 0.75])
def test_no_cut_of_the_streams_beats_the_bounds(
    layers: Any, buffers: int, reconfigure_s: float, update_s: float, latency_s: float
) -> None:
    timing = {"reconfigure_s": reconfigure_s, "update_s": update_s, "pipeline_latency_s": latency_s}
    body = branching(MZI16.with_({"mesh.cores": 2, "mesh.buffers": buffers}, timing=timing), layers)
    best = best_s(body, split=True)
    for name, seconds in bounds(body, 1).items():
        assert seconds <= best * (1 + 1e-12), name
    for name, seconds in bounds(body, 1, split=False).items():
        assert seconds <= best_s(body, split=False) * (1 + 1e-12), name
    assert best <= lower_bound_s(body, 1) * 1.6


kinds = st.sampled_from(["chip", "square", "again", "host", "product", "loop"])
backs = st.lists(st.integers(1, 4), max_size=2).map(tuple)
graphs = st.lists(st.tuples(kinds, st.integers(1, 9), st.integers(1, 20), backs), min_size=1, max_size=7)
chips = st.fixed_dictionaries(
    {
        "mesh.cores": st.integers(1, 4),
        "mesh.buffers": st.integers(1, 2),
        "timing.reconfigure_s": st.sampled_from([0.0, 0.7, 5.0, 40.0]),
        "timing.pipeline_latency_s": st.sampled_from([0.0, 0.3]),
        "memory.accumulator_bytes": st.just(64 * 30),
        "memory.input_buffer_bytes": st.just(64 * 30),
    },
    optional={
        "timing.update_s": st.just(0.0),
        "encoding.lanes": st.just(3),
        "encoding.sign": st.just("differential_two_shot"),
        "memory.sram_bytes_per_s": st.sampled_from([20.0, 400.0]),
        "memory.sram_bytes": st.just(3000),
        "memory.dram_bytes_per_s": st.sampled_from([300.0, 5000.0]),
        "link.latency_s": st.sampled_from([0.0, 2.0]),
        "link.bytes_per_s": st.sampled_from([20.0, 1000.0]),
    },
)


@settings(deadline=None, max_examples=60)
@given(graphs, chips, st.integers(1, 3), st.booleans(), st.data())
def test_no_schedule_of_a_branching_program_beats_the_bounds(
    layers: Any, chip: dict[str, Any], batch: int, warm: bool, data: st.DataObject
) -> None:
    body = branching(MZI16.with_(chip), layers)
    plans = {}
    for step in body.matrix_steps:
        vectors = batch * body.costs[step.name].vectors
        flow = data.draw(st.sampled_from(["weight", "output", "input"]))
        plans[step.name] = StepPlan(flow, data.draw(st.integers(1, min(vectors, 25))))
    schedule = dealt(body, batch, plans, warm)
    schedule.verify(body)
    below(schedule, body)
    whole = deal(body, batch, Plan("weight"), warm)
    below(whole, body, split=False)
    assert whole.lower_bound_s == max(whole.bounds.values())
    assert np.isclose(whole.naive_s, naive_s(body, batch))
    assert lower_bound_s(body, batch) <= max(bounds(body, batch, split=False).values()) * (1 + 1e-12)


def test_whole_streams_are_bound_by_what_binds_cut_ones() -> None:
    chip = {"mesh.cores": 2, "timing.reconfigure_s": 0.0, "timing.pipeline_latency_s": 0.0}
    body = branching(
        MZI16.with_({**chip, "memory.sram_bytes_per_s": 400.0}),
        [("chip", 1, 1, ()), ("chip", 3, 2, ()), ("product", 1, 1, ())],
    )
    cut, whole = bounds(body, 1), bounds(body, 1, split=False)
    assert all(whole[name] >= seconds for name, seconds in cut.items())
    assert cut["critical path"] > cut["memory bandwidth"]  # what the path of whole streams alone misses here


def single(chip: dict[str, Any], tiles: int, vectors: int) -> ProgramBody:
    return branching(MZI16.with_(chip), [("chip", tiles, vectors, ())])


TWO = {"mesh.cores": 2, "mesh.buffers": 2}

EXACT = {
    # a first configuration, then two streams of 10 s a core
    "core time": (single({**TWO, "timing.reconfigure_s": 1.0}, 4, 10), 21.0),
    # two configurations of 10 s in turn, then a stream
    "reconfiguration": (single({**TWO, "timing.reconfigure_s": 10.0}, 4, 2), 22.0),
    # the same, a buffer's second setting in 4 s: 10 + 10 + 4 + 2
    "reconfiguration, updates": (
        single({**TWO, "timing.reconfigure_s": 10.0, "timing.update_s": 4.0}, 6, 2),
        26.0,
    ),
    # 0 to 3 s and 3 to 8 s on the host
    "host": (branching(MZI16, [("host", 0, 3, ()), ("host", 0, 5, ())]), 8.0),
    # a host op, a configured tile's stream, a host op
    "critical path": (
        branching(
            MZI16.with_({**TWO, "timing.reconfigure_s": 1.0}),
            [("host", 0, 9, ()), ("chip", 1, 1, (1,)), ("host", 0, 2, (1,))],
        ),
        12.0,
    ),
    # 8-bit numbers of 16 ports, in and out on two rails: 48 bytes a vector, at 8 bytes a second and core 6 s, two
    # vectors through each of two tiles; first, 512 + 16 settings of two bytes, 1056 of them at 8 bytes a second
    "memory bandwidth": (
        single({**TWO, "timing.reconfigure_s": 1.0, "memory.sram_bytes_per_s": 16.0}, 4, 2),
        1056 / 8 * 2 + 12,
    ),
    # two inputs of 64 bytes and a result, at 16 bytes a second; all streams lie between
    "link": (
        branching(
            MZI16.with_({**TWO, "timing.reconfigure_s": 1.0, "link.bytes_per_s": 16.0}),
            [("host", 0, 0, ())] * 2 + [("chip", 1, 1, (2,))] * 3 + [("host", 0, 0, (1,))],
        ),
        12.0,
    ),
}


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("case", EXACT)
def test_schedules_that_meet_their_bound(case: str, split: bool) -> None:
    body, seconds = EXACT[case]
    schedule = deal(body, 1, Plan("auto" if split else "weight"))
    schedule.verify(body)
    assert schedule.makespan_s == pytest.approx(seconds, rel=1e-12)
    assert schedule.lower_bound_s == pytest.approx(seconds, rel=1e-12)
    assert schedule.bound == case.partition(",")[0]


COPIES = [
    ([("chip", 1, 4, ()), ("chip", 1, 4, (1,))], 8.0),
    ([("host", 0, 4, ()), ("chip", 1, 5, (1,)), ("chip", 3, 1, (1,))], 4.0),
]


@pytest.mark.parametrize(("layers", "reconfigure_s"), COPIES)
@pytest.mark.parametrize("buffers", [1, 2])
def test_a_copy_of_a_tile_is_one_more_configuration(
    layers: Any, reconfigure_s: float, buffers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = branching(MZI16.with_({**TWO, "mesh.buffers": buffers, "timing.reconfigure_s": reconfigure_s}), layers)
    mixed = lower_bound_s(body, 1)
    assert mixed <= best_s(body, split=True) * (1 + 1e-12)
    # the path with free copies, or the configurations without any, are less than both together
    monkeypatch.setattr("lightloom.runtime.scheduling.bounds.SHARES", 1)
    assert lower_bound_s(body, 1) < 0.99 * mixed


def test_a_warm_run_is_bound_by_what_its_cores_do_not_hold() -> None:
    body = branching(MZI16.with_({**TWO, "timing.reconfigure_s": 10.0}), [("chip", 2, 4, ()), ("chip", 2, 4, (1,))])
    cold, warm = deal(body, 1, Plan("weight")), deal(body, 1, Plan("weight"), warm=True)
    assert cold.makespan_s == cold.lower_bound_s == 24.0  # two configurations a core, the second step's stream
    assert warm.makespan_s == warm.lower_bound_s == 8.0
    assert bounds(body, 1, resident=warm.resident, turns=warm.turns)["reconfiguration"] == 0
    resident = np.where(warm.resident == 3, -1, warm.resident)
    assert bounds(body, 1, resident=resident, turns=warm.turns)["reconfiguration"] == 12.0  # and half a stream
    # cores that were configured for other tiles find no empty buffer
    later = body.target.with_({"timing.update_s": 6.0})
    other = branching(later, [("chip", 2, 4, ()), ("chip", 2, 4, (1,))])
    nothing = np.full((2, 2), -1)
    assert bounds(other, 1, split=False, resident=nothing, turns=np.array([2, 2]))["reconfiguration"] == 16.0


def test_the_naive_schedule_counts_everything_in_turn() -> None:
    chip = {"timing.reconfigure_s": 10.0, "timing.update_s": 4.0, "link.latency_s": 0.5, "link.bytes_per_s": 64.0}
    layers = [("chip", 2, 3, ()), ("host", 0, 7, (1,)), ("product", 1, 2, (1, 2)), ("loop", 3, 2, (2,))]
    body = branching(MZI16.with_(chip), layers)
    configured = 10 + 4 * (2 + 1 + 3 * 2 - 1)
    streamed = 2 * 3 + 2 + 3 * 2 * 1
    hosts = 7 + 3 + 2 * 4
    # three vectors of 32 numbers in, of 16 out; the product's 528 settings of two bytes, its left being on the chip; at
    # each time step 48 numbers in, 16 out
    moved = [3 * 32 * 4, 3 * 16 * 4, 528 * 2, 48 * 4, 16 * 4, 48 * 4, 16 * 4]
    assert naive_s(body, 1) == pytest.approx(configured + streamed + hosts + sum(0.5 + size / 64 for size in moved))
