"""The rules of matrix and host steps: blocks of vectors, and the chains that dataflows ask for."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from lightloom.runtime.program import ProgramBody, StepCost
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.latency import stream_s
from lightloom.runtime.scheduling.plan import Plan, StepPlan
from lightloom.runtime.scheduling.schedule import HOST_LANE, EventKind, Schedule

from ..bodies import bank, layer, matrix, network, program
from ..edits import ROUND, edited, moved, refused, row_of, swapped, without

CONFIGURE, STREAM, HOST, MOVE = EventKind


BODY = network(ROUND, [3, 2], [2, 5], elements=4)
GOOD = deal(BODY, 2)


class TestMatrix:
    def test_a_tile_out_of_range(self) -> None:
        row = row_of(GOOD, CONFIGURE)
        refused(edited(GOOD, row, tile=3), BODY, rf"no such tile \(at event {row}, step m0\); got 3; allowed: 0 to 2")

    def test_a_matrix_step_is_no_host_event(self) -> None:
        row = row_of(GOOD, STREAM)
        refused(edited(GOOD, row, kind=HOST, core=HOST_LANE), BODY, r"a matrix step on the host \(at m0\)")

    def test_every_tile_takes_the_vectors(self) -> None:
        message = r"a block of vectors that a tile does not take once \(at step m0, tile 0, block 0\); got 0 streams"
        refused(without(GOOD, row_of(GOOD, STREAM)), BODY, message)

    def test_all_of_them(self) -> None:
        refused(edited(GOOD, row_of(GOOD, STREAM), vectors=3), BODY, "a stream of the wrong vectors.*got 3 from 0")

    def test_in_the_time_that_they_take(self) -> None:
        row = row_of(GOOD, STREAM)
        refused(edited(GOOD, row, end_s=GOOD.end_s[row] - 1), BODY, "wrong length.*got 3 s; allowed: 4 s")

    def test_lanes_and_bandwidth_decide_how_long_that_is(self) -> None:
        for change in ({"encoding.lanes": 3}, {"memory.sram_bytes_per_s": 1.0}, {"timing.pipeline_latency_s": 0.5}):
            target = ROUND.with_(change)
            body = dataclasses.replace(layer(ROUND, 16, 16, vectors=7), target=target)
            assert stream_s(target, 7) != 7
            refused(deal(layer(ROUND, 16, 16, vectors=7), 1), body, "an event of the wrong length")
            deal(body, 1).verify(body)

    def test_a_host_step_is_one_host_event(self) -> None:
        refused(without(GOOD, row_of(GOOD, HOST)), BODY, r"a host step is one host event \(at h0\); got 0 events")
        row = row_of(GOOD, HOST)
        refused(edited(GOOD, row, end_s=GOOD.end_s[row] + 1), BODY, "an event of the wrong length.*step h0")

    def test_a_step_waits_for_its_inputs(self) -> None:
        row = row_of(GOOD, HOST, 0, step=1)
        refused(moved(GOOD, row, -1.0), BODY, r"a step starts before its inputs are there \(at h0\)")


def blocks_of(dataflow: Any, block: int = 4, **changes: Any) -> tuple[ProgramBody, Schedule]:
    """Two grid rows and three grid columns, ten vectors, in blocks; a good schedule of them."""
    target = ROUND.with_({"memory.accumulator_bytes": 16 * 4 * 4, "memory.input_buffer_bytes": 16 * 4, **changes})
    body = dataclasses.replace(layer(target, 32, 48, vectors=5), plan=Plan(dataflow))
    schedule = deal(body, 2)
    if dataflow == "weight":
        return body, schedule
    assert schedule.plans["fc"] == StepPlan(dataflow, block)
    return body, schedule


class TestBlocks:
    @pytest.mark.parametrize("dataflow", ["output", "input"])
    def test_a_good_schedule_in_blocks_passes(self, dataflow: str) -> None:
        body, schedule = blocks_of(dataflow)
        streams = schedule.kind == STREAM
        assert streams.sum() == 6 * 3
        assert np.unique(schedule.vectors[streams]).tolist() == [2, 4]
        schedule.verify(body)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"first": 2}, "a stream of the wrong vectors.*got 4 from 2; allowed: blocks of 4 of 10"),
            ({"first": 12}, "a stream of the wrong vectors.*got 4 from 12"),
            ({"first": -4}, "a stream of the wrong vectors.*got 4 from -4"),
            ({"vectors": 3}, "a stream of the wrong vectors.*got 3 from 0"),
            ({"first": 8, "vectors": 4}, "a stream of the wrong vectors.*got 4 from 8"),
            ({"first": 4}, r"does not take once \(at step fc, tile 0, block 0\); got 0 streams; allowed: one"),
        ],
    )
    def test_every_block_goes_once_through_every_tile(self, change: dict[str, int], message: str) -> None:
        body, schedule = blocks_of("output")
        own = (schedule.kind == STREAM) & (schedule.first == 0) & (schedule.tile == 0)
        refused(edited(schedule, int(np.flatnonzero(own)[0]), **change), body, message)

    def test_a_block_has_a_vector(self) -> None:
        body, schedule = blocks_of("output")
        other = dataclasses.replace(schedule, plans={"fc": StepPlan("output", 0)})
        refused(other, body, r"a plan of empty blocks \(at fc\); got 0")

    def test_plans_are_of_matrix_steps_and_known_dataflows(self) -> None:
        body, schedule = blocks_of("output")
        other = dataclasses.replace(schedule, plans={**schedule.plans, "h": StepPlan("weight", 1)})
        refused(other, body, "a plan for no matrix step; got h")
        other = dataclasses.replace(schedule, plans={"fc": StepPlan("row", 4)})  # type: ignore[arg-type]
        refused(other, body, r"no such dataflow \(at fc\); got row; allowed: weight, output, input")

    def test_a_block_twice(self) -> None:
        body, schedule = blocks_of("output")
        own = np.flatnonzero((schedule.kind == STREAM) & (schedule.tile == 3) & (schedule.first < 8))
        other = edited(schedule, int(own[1]), first=schedule.first[own[0]])
        refused(other, body, r"does not take once \(at step fc, tile 3, block 0\); got 2 streams")

    def test_a_plan_of_very_many_blocks_costs_no_memory(self) -> None:
        body = layer(ROUND, 32, 48, vectors=1 << 40)
        schedule = deal(body, 1)
        schedule.verify(body)
        other = dataclasses.replace(schedule, plans={"fc": StepPlan("weight", 1)})
        refused(other, body, r"a stream of the wrong vectors.*blocks of 1 of 1099511627776")
        single = dataclasses.replace(other, vectors=np.minimum(schedule.vectors, 1))
        refused(single, body, r"does not take once \(at step fc, tile 0, block 1\); got 0 streams")

    def test_other_blocks_than_the_plan(self) -> None:
        body, schedule = blocks_of("output")
        other = dataclasses.replace(schedule, plans={"fc": StepPlan("output", 5)})
        refused(other, body, "a stream of the wrong vectors.*blocks of 5 of 10")

    def test_the_last_block_takes_its_own_time(self) -> None:
        body, schedule = blocks_of("output")
        row = int(np.flatnonzero(schedule.vectors == 2)[-1])
        refused(edited(schedule, row, end_s=schedule.end_s[row] + 2), body, "wrong length.*got 4 s; allowed: 2 s")

    def test_weight_stationary_blocks_may_run_anywhere(self) -> None:
        """The chains of another dataflow are good copies of tiles."""
        for dataflow in ("output", "input"):
            body, schedule = blocks_of(dataflow)
            dataclasses.replace(schedule, plans={"fc": StepPlan("weight", 4)}).verify(body)

    @pytest.mark.parametrize(
        ("dataflow", "name", "wanted"),
        [("output", "memory.accumulator_bytes", 16 * 4 * 4), ("input", "memory.input_buffer_bytes", 16 * 4)],
    )
    def test_a_block_fits_beside_its_core(self, dataflow: str, name: str, wanted: int) -> None:
        body, schedule = blocks_of(dataflow)
        for room, allowed in ((wanted - 1, f"up to {wanted - 1} bytes"), (None, "none, as the target states none")):
            small = dataclasses.replace(body, target=body.target.with_({name: room}))
            message = f"a block of 4 vectors, {dataflow}-stationary, does not fit into {name} (at fc); got {wanted} "
            refused(schedule, small, re.escape(f"{message}bytes; allowed: {allowed}"))

    def test_narrow_matrices_need_less(self) -> None:
        target = ROUND.with_({"memory.accumulator_bytes": 6 * 5 * 4, "memory.input_buffer_bytes": 6 * 3})
        for dataflow, (rows, cols) in {"output": (5, 20), "input": (20, 3)}.items():
            body = dataclasses.replace(layer(target, rows, cols, vectors=8), plan=Plan(dataflow))
            schedule = deal(body, 1)
            assert schedule.plans["fc"].block == 6
            schedule.verify(body)


class TestChains:
    """Blocks of one chain: on one core, in order, with nothing between. Cores of two buffers that hold both tiles of
    a chain throughout, so that nothing but the order of streams is at stake."""

    @staticmethod
    def of(dataflow: Any) -> tuple[ProgramBody, Schedule]:
        target = ROUND.with_(
            {"mesh.buffers": 2, "memory.accumulator_bytes": 16 * 4 * 4, "memory.input_buffer_bytes": 16 * 4}
        )
        rows, cols = (16, 32) if dataflow == "output" else (32, 16)
        body = layer(target, rows, cols, vectors=12)
        events = [(CONFIGURE, tile, core, 10.0 * tile, 10.0, 0, 0) for core in range(2) for tile in range(2)]
        events += [
            (STREAM, tile, core, 20.0 + 8 * (block // 2) + 4 * tile, 4.0, 4, 4 * block)
            for block, core in ((0, 0), (1, 1), (2, 0))
            for tile in range(2)
        ]
        kind, tile, core, start, length, vectors, first = np.array(sorted(events, key=lambda event: event[3])).T
        steps = np.zeros(len(events), np.int32)
        integers = (column.astype(np.int64) for column in (kind, tile, core, vectors, first))
        kind, tile, core, vectors, first = integers
        end = start + length
        schedule = Schedule(
            ("fc",), 1, kind, steps, tile, core, start, end, vectors, first, float(end.max()), 0.0, buffers=2,
            plans={"fc": StepPlan(dataflow, 4)},
        )  # fmt: skip
        return body, schedule

    @pytest.mark.parametrize("dataflow", ["output", "input"])
    def test_a_chain_is_streamed_in_one_go(self, dataflow: str) -> None:
        body, schedule = self.of(dataflow)
        schedule.verify(body)
        rows = np.flatnonzero((schedule.kind == STREAM) & (schedule.core == 0))
        assert schedule.tile[rows].tolist() == [0, 1, 0, 1]
        where = f"a block's way through a grid {'row' if dataflow == 'output' else 'column'}"
        # the first chain backwards
        refused(swapped(schedule, *rows[:2], "tile"), body, f"{where} in the wrong order of tiles")
        # the second chain before the first is done
        between = swapped(schedule, *rows[1:3], "tile", "first")
        refused(between, body, f"{where} interrupted by another stream of its core")
        # the last tile of the last block on the other core, which holds it too
        other = edited(schedule, int(rows[3]), core=1)
        refused(other, body, f"{where} on two cores.*step fc, {dataflow}-stationary.*got tile 1 after tile 0")
        for broken in (swapped(schedule, *rows[:2], "tile"), between, other):
            dataclasses.replace(broken, plans={"fc": StepPlan("weight", 4)}).verify(body)

    def test_streams_of_other_steps_interrupt_too(self) -> None:
        target = ROUND.with_({"mesh.cores": 1, "mesh.buffers": 2, "memory.accumulator_bytes": 16 * 4 * 4})
        body = program(
            target,
            [bank("a", target, 16, 32), bank("b", target, 16, 32)],
            [matrix("ma", "a", "x"), matrix("mb", "b", "x")],
            {"ma": StepCost(1, 4, 1), "mb": StepCost(1, 4, 1)},
        )
        body = dataclasses.replace(body, plan=Plan("output"))
        schedule = deal(body, 1)
        schedule.verify(body)
        rows = np.flatnonzero(schedule.kind == STREAM)
        assert schedule.step[rows].tolist() == [0, 0, 1, 1]
        mixed = swapped(schedule, int(rows[1]), int(rows[2]), "step", "tile")
        refused(mixed, body, "interrupted by another stream of its core")


def test_many_events_are_checked_in_arrays() -> None:
    """A hundred thousand tiles, in blocks: a loop over events would take minutes."""
    target = ROUND.with_({"mesh.cores": 64, "memory.accumulator_bytes": 16 * 4 * 4})
    body = dataclasses.replace(layer(target, 16 * 320, 16 * 320, vectors=2), plan=Plan("output"))
    schedule = deal(body, 2)
    schedule.verify(body)
    assert (schedule.kind == STREAM).sum() == 320 * 320
    last = row_of(schedule, STREAM, -1)
    refused(edited(schedule, last, core=(schedule.core[last] + 1) % 64), body, "on two cores")
