"""Matrix steps dealt in every dataflow, in blocks of vectors: every schedule keeps the rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime import targets
from lightloom.runtime.errors import TargetError
from lightloom.runtime.program import ProgramBody, StepCost
from lightloom.runtime.scheduling.dealer import Dealer
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.options import fixed
from lightloom.runtime.scheduling.plan import DATAFLOWS, Plan, StepPlan
from lightloom.runtime.scheduling.planning import schedule_of
from lightloom.runtime.scheduling.schedule import EventKind, Schedule

from ..bodies import bank, host, layer, matrix, program

MZI16 = targets.get("mzi16")
# Round numbers: configure 10 s, one window 1 s, no pipeline, one op a second on the host.
ROUND = MZI16.with_(
    mesh={"cores": 4},
    timing={"reconfigure_s": 10.0, "window_s": 1.0, "pipeline_latency_s": 0.0},
    energy={"host_ops_per_s": 1.0},
)


def by(plans: dict[str, StepPlan], body: ProgramBody, batch: int = 1, *, warm: bool = False) -> Schedule:
    """A schedule dealt by given plans, checked."""
    schedule = schedule_of(Dealer(body, batch), plans, warm=warm)
    schedule.verify(body)
    return schedule


def rows(schedule: Schedule, kind: EventKind = EventKind.STREAM) -> list[tuple[Any, ...]]:
    """(tile, core, start, end, first, vectors) of each event of a kind."""
    names = ("tile", "core", "start_s", "end_s", "first", "vectors")
    keep = schedule.kind == kind
    return list(zip(*(getattr(schedule, name)[keep].tolist() for name in names), strict=True))


class TestCopies:
    def test_one_tile_streams_on_every_core(self) -> None:
        schedule = by({"fc": StepPlan("weight", 5)}, layer(ROUND, 16, 16, vectors=20))
        assert rows(schedule) == [(0, core, 10.0, 15.0, 5 * core, 5) for core in range(4)]
        assert len(rows(schedule, EventKind.CONFIGURE)) == 4

    def test_the_last_block_is_shorter(self) -> None:
        schedule = by({"fc": StepPlan("weight", 8)}, layer(ROUND, 16, 16, vectors=20))
        assert [row[4:] for row in rows(schedule)] == [(0, 8), (8, 8), (16, 4)]
        assert schedule.makespan_s == 18.0

    def test_more_tiles_than_cores_are_levelled(self) -> None:
        body = layer(ROUND, 16, 16 * 5, vectors=400)
        schedule = by({"fc": StepPlan("weight", 10)}, body)
        # 2000 windows on 4 cores, two configurations on most
        assert 500 + 10 <= schedule.makespan_s <= 500 + 2 * 10 + 2 * 10
        assert len(rows(schedule, EventKind.CONFIGURE)) <= 5 + 4 - 1

    def test_a_core_that_holds_a_tile_takes_its_blocks(self) -> None:
        body = program(
            ROUND,
            [bank("w", ROUND, 16, 32)],
            [matrix("first", "w", "x"), matrix("again", "w", "first")],
            {name: StepCost(512 * 20, 20, 320) for name in ("first", "again")},
        )
        plans = {name: StepPlan("weight", 10) for name in ("first", "again")}
        schedule = by(plans, body)
        assert len(rows(schedule, EventKind.CONFIGURE)) == 4
        assert schedule.makespan_s == 10 + 10 + 10

    def test_copies_cost_nothing_where_configurations_hide(self) -> None:
        two = ROUND.with_({"mesh.buffers": 2, "mesh.cores": 2})
        body = layer(two, 16, 32, vectors=40)
        assert by({"fc": StepPlan("weight", 40)}, body).makespan_s == 50.0
        assert by({"fc": StepPlan("weight", 20)}, body).makespan_s == 50.0


class TestChains:
    def test_a_grid_row_stays_on_one_core(self) -> None:
        target = ROUND.with_({"memory.accumulator_bytes": 16 * 4 * 8})
        schedule = by({"fc": StepPlan("output", 8)}, layer(target, 32, 48, vectors=8))
        assert rows(schedule) == [
            (0, 0, 10.0, 18.0, 0, 8),
            (3, 1, 10.0, 18.0, 0, 8),
            (1, 0, 28.0, 36.0, 0, 8),
            (4, 1, 28.0, 36.0, 0, 8),
            (2, 0, 46.0, 54.0, 0, 8),
            (5, 1, 46.0, 54.0, 0, 8),
        ]

    def test_a_grid_column_stays_on_one_core(self) -> None:
        target = ROUND.with_({"memory.input_buffer_bytes": 16 * 1 * 8, "encoding.dac_bits": 8})
        schedule = by({"fc": StepPlan("input", 8)}, layer(target, 32, 48, vectors=8))
        assert [(tile, core) for tile, core, *_ in rows(schedule)] == [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, 2)]

    def test_a_chain_that_fits_a_core_is_configured_once(self) -> None:
        target = ROUND.with_({"memory.accumulator_bytes": 16 * 4 * 2, "mesh.buffers": 2, "mesh.cores": 1})
        schedule = by({"fc": StepPlan("output", 2)}, layer(target, 16, 32, vectors=8))
        assert len(rows(schedule, EventKind.CONFIGURE)) == 2
        assert [(tile, first) for tile, _, _, _, first, _ in rows(schedule)] == [
            (tile, first) for first in (0, 2, 4, 6) for tile in (0, 1)
        ]

    @pytest.mark.parametrize(
        ("dataflow", "message"),
        [
            ("output", r"needs accumulators.*path.fc.*no memory.accumulator_bytes.*64 bytes or more.*'weight'"),
            ("input", r"needs an input buffer.*no memory.input_buffer_bytes.*16 bytes or more"),
        ],
    )
    def test_a_chip_without_the_memory_refuses(self, dataflow: Any, message: str) -> None:
        memory = {"memory.accumulator_bytes": None, "memory.input_buffer_bytes": None}
        target = ROUND.with_({"encoding.dac_bits": 8, **memory})
        with pytest.raises(TargetError, match=message):
            deal(layer(target, 32, 48), 1, Plan(dataflow))

    def test_blocks_fill_the_memory(self) -> None:
        target = ROUND.with_({"memory.accumulator_bytes": 64 * 3 + 1})
        schedule = deal(layer(target, 32, 48, vectors=10), 1, Plan("output"))
        assert schedule.plans == {"fc": StepPlan("output", 3)}


class TestTimes:
    def test_later_configurations_are_updates(self) -> None:
        target = ROUND.with_({"mesh.cores": 1, "timing.update_s": 4.0})
        schedule = by({"fc": StepPlan("weight", 1)}, layer(target, 16, 48))
        configures = rows(schedule, EventKind.CONFIGURE)
        assert [end - start for _, _, start, end, *_ in configures] == [10.0, 4.0, 4.0]

    def test_lanes_share_windows(self) -> None:
        target = ROUND.with_({"encoding.lanes": 4, "mesh.cores": 1})
        assert by({"fc": StepPlan("weight", 10)}, layer(target, 16, 16, vectors=10)).makespan_s == 10 + 3


def drawn(draw: Any) -> tuple[ProgramBody, int, dict[str, StepPlan]]:
    """A small program of matrices with groups, holes and edges, some of one bank, with a plan for each."""
    target = MZI16.with_(
        {
            "mesh.cores": draw(st.integers(1, 9)),
            "mesh.buffers": draw(st.integers(1, 2)),
            "timing.reconfigure_s": draw(st.sampled_from([0.0, 3e-9, 2e-8, 1e-6])),
            "timing.window_s": 1e-9,
            "encoding.lanes": draw(st.integers(1, 3)),
            "memory.accumulator_bytes": draw(st.integers(64, 2000)),
            "memory.input_buffer_bytes": draw(st.integers(64, 1000)),
            "memory.sram_bytes_per_s": draw(st.sampled_from([1e9, 1e12])),
        }
    )
    if draw(st.booleans()):
        target = target.with_({"timing.update_s": target.timing.reconfigure_s / 3})
    if draw(st.booleans()):
        target = target.with_({"link.latency_s": 1e-8, "link.bytes_per_s": 1e9})
    batch = draw(st.integers(1, 4))
    banks, steps, costs, plans = [], [], {}, {}
    for index in range(draw(st.integers(1, 5))):
        if not banks or draw(st.integers(0, 3)):
            rows, cols, groups = (draw(st.integers(1, most)) for most in (60, 90, 2))
            whole = -(-rows // 16) * -(-cols // 16) * groups
            skip = tuple(sorted(draw(st.sets(st.integers(0, whole - 1), max_size=whole))))
            banks.append(bank(f"w{index}", target, rows, cols, groups, skip))
        spec = draw(st.sampled_from(banks)).spec
        source = draw(st.sampled_from(["x", *(step.name for step in steps)]))
        step = matrix(f"m{index}", spec.name, source)
        vectors = draw(st.integers(0, 30))
        steps.append(step)
        costs[step.name] = StepCost(spec.weights * vectors, vectors, spec.groups * spec.rows * vectors)
        if draw(st.integers(0, 2)) == 0:
            steps.append(host(f"h{index}", step.name, source))
            costs[f"h{index}"] = StepCost(0, 0, draw(st.integers(0, 50)))
    body = program(target, banks, steps, costs)
    for step in body.matrix_steps:
        most = fixed(body, step, draw(st.sampled_from(DATAFLOWS)), batch)
        plans[step.name] = replace(most, block=draw(st.integers(1, most.block)))
    return body, batch, plans


programs = st.composite(drawn)


@settings(deadline=None, max_examples=200)
@given(programs(), st.booleans())
def test_every_dataflow_keeps_the_rules(case: tuple[ProgramBody, int, dict[str, StepPlan]], warm: bool) -> None:
    body, batch, plans = case
    schedule = by(plans, body, batch, warm=warm)
    # every vector of every tile once, whatever the checks say
    for index, step in enumerate(body.steps):
        own = (schedule.step == index) & (schedule.kind == EventKind.STREAM)
        if step.name in plans:
            vectors = batch * body.costs[step.name].vectors
            sent = np.zeros((body.banks[step.bank].spec.tiles, vectors), int)
            for tile, _, _, _, first, count in rows_of(schedule, own):
                sent[tile, first : first + count] += 1
            assert (sent == 1).all()
    assert schedule.to_json() == by(plans, body, batch, warm=warm).to_json()


def rows_of(schedule: Schedule, keep: np.ndarray) -> list[tuple[Any, ...]]:
    names = ("tile", "core", "start_s", "end_s", "first", "vectors")
    return list(zip(*(getattr(schedule, name)[keep].tolist() for name in names), strict=True))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 40), st.integers(1, 8), st.integers(1, 2))
def test_blocks_are_shared_as_evenly_as_they_can_be(
    cores: int, tiles: int, vectors: int, blocks: int, buffers: int
) -> None:
    """Where configurations take no time, no core is more than one block behind an even share."""
    target = ROUND.with_({"mesh.cores": cores, "mesh.buffers": buffers, "timing.reconfigure_s": 0.0})
    block = -(-vectors // blocks)
    schedule = by({"fc": StepPlan("weight", block)}, layer(target, 16, 16 * tiles, vectors=vectors))
    assert schedule.makespan_s <= tiles * vectors / cores + block + 1e-6
