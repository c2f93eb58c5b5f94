"""Plans: what ``auto`` chooses, by each objective, cold and warm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime import targets
from lightloom.runtime.pricing.energy import energy
from lightloom.runtime.program import MatrixStep, ProgramBody, StepCost
from lightloom.runtime.scheduling.dealer import Dealer
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.options import options
from lightloom.runtime.scheduling.plan import OBJECTIVES, Objective, Plan, StepPlan
from lightloom.runtime.scheduling.schedule import EventKind, Schedule

from ..bodies import bank, host, layer, matrix, network, program
from .test_dataflows import ROUND, programs

WEIGHT, AUTO = Plan("weight"), Plan("auto")
FREE_HOLD = {"energy.phase_shifter_hold_w": 0.0, "energy.control_w": None}


def score(body: ProgramBody, schedule: Schedule, objective: Objective) -> float:
    joules = energy(body, schedule).total_j
    return {"latency": schedule.makespan_s, "energy": joules, "edp": joules * schedule.makespan_s}[objective]


@settings(deadline=None, max_examples=80)
@given(programs(), st.sampled_from(OBJECTIVES), st.booleans())
def test_auto_is_never_worse_than_whole_tiles(
    case: tuple[ProgramBody, int, dict[str, StepPlan]], objective: Objective, warm: bool
) -> None:
    body, batch, _ = case
    plain = deal(body, batch, Plan("weight", objective), warm)
    auto = deal(body, batch, Plan("auto", objective), warm)
    for schedule in (plain, auto):
        schedule.verify(body)
    assert score(body, auto, objective) <= score(body, plain, objective)
    assert set(auto.plans) == {step.name for step in body.matrix_steps}
    assert auto.to_json() == deal(body, batch, Plan("auto", objective), warm).to_json()


@settings(deadline=None, max_examples=40)
@given(programs(), st.sampled_from(["energy", "edp"]), st.sampled_from(["output", "input"]), st.booleans())
def test_auto_is_never_worse_than_one_dataflow_for_all(
    case: tuple[ProgramBody, int, dict[str, StepPlan]], objective: Objective, dataflow: Any, warm: bool
) -> None:
    body, batch, _ = case
    one = deal(body, batch, Plan(dataflow, objective), warm)
    auto = deal(body, batch, Plan("auto", objective), warm)
    assert score(body, auto, objective) <= score(body, one, objective) * (1 + 1e-12)


@settings(deadline=None, max_examples=40)
@given(programs(), st.sampled_from(["output", "input"]), st.booleans())
def test_a_dataflow_that_is_asked_for_is_taken(
    case: tuple[ProgramBody, int, dict[str, StepPlan]], dataflow: Any, warm: bool
) -> None:
    body, batch, _ = case
    schedule = deal(body, batch, Plan(dataflow), warm)
    schedule.verify(body)
    assert {plan.dataflow for plan in schedule.plans.values()} <= {dataflow}


class TestLatency:
    def test_idle_cores_take_copies(self) -> None:
        schedule = deal(layer(ROUND, 16, 16, vectors=400), 1, AUTO)
        assert schedule.plans == {"fc": StepPlan("weight", 100)}
        assert schedule.makespan_s == 110.0
        assert schedule.ratio == 1.0

    def test_copies_that_take_longer_to_configure_than_they_save_are_left_out(self) -> None:
        target = ROUND.with_({"mesh.cores": 2, "mesh.buffers": 2})
        body = network(target, [2, 1, 1, 2, 1, 1], [4] * 6, elements=0)
        assert deal(body, 1, AUTO).plans == deal(body, 1, WEIGHT).plans

    def test_one_core_has_nothing_to_copy_to(self) -> None:
        body = network(ROUND.with_({"mesh.cores": 1}), [3, 1], [40, 7])
        assert deal(body, 2, AUTO).plans == deal(body, 2, WEIGHT).plans

    def test_programs_of_nothing(self) -> None:
        empty = bank("w", ROUND, 16, 16, skip=(0,))
        body = program(ROUND, [empty], [matrix("m", "w", "x")], {"m": StepCost(256, 4, 16)})
        assert len(deal(body, 3, AUTO)) == 0
        none = program(ROUND, [bank("w", ROUND, 16, 16)], [matrix("m", "w", "x")], {"m": StepCost(0, 0, 0)})
        assert len(deal(none, 3, AUTO)) == 0
        assert deal(none, 3, AUTO).plans == {"m": StepPlan("weight", 1)}
        assert len(deal(program(ROUND, [], [], {}), 1, AUTO)) == 0


class TestEnergy:
    def test_sums_stay_beside_a_core_where_the_memory_is_dear(self) -> None:
        target = ROUND.with_(
            {
                **FREE_HOLD,
                "memory.accumulator_bytes": 2**16,
                "memory.local_j_per_byte": 1e-15,
                "energy.memory_j_per_byte": 1e-9,
                "energy.host_j_per_op": 0.0,
                "encoding.dac_bits": 8,
                "detection.adc_bits": 16,
            }
        )
        body = layer(target, 64, 64, vectors=20)
        schedule = deal(body, 1, Plan("auto", "energy"))
        assert schedule.plans["fc"].dataflow == "output"
        assert energy(body, schedule).total_j < energy(body, deal(body, 1, AUTO)).total_j

    def test_inputs_stay_beside_a_core_where_they_are_wide(self) -> None:
        target = ROUND.with_(
            {
                **FREE_HOLD,
                "memory.input_buffer_bytes": 2**16,
                "memory.local_j_per_byte": 1e-15,
                "energy.memory_j_per_byte": 1e-9,
                "encoding.dac_bits": 16,
                "detection.adc_bits": 4,
            }
        )
        assert deal(layer(target, 256, 64, vectors=20), 1, Plan("auto", "energy")).plans["fc"].dataflow == "input"

    def test_cores_that_save_nothing_are_left_dark(self) -> None:
        target = ROUND.with_({"energy.phase_shifter_hold_w": 1e-3, "energy.reconfigure_j_per_phase": 0.0})
        body = program(
            target,
            [bank("w", target, 16, 64)],
            [matrix("m", "w", "x"), host("h", "m")],
            {"m": StepCost(1024, 1, 16), "h": StepCost(0, 0, 100_000)},
        )
        schedule = deal(body, 1, Plan("auto", "energy"))
        schedule.verify(body)
        assert set(schedule.core[schedule.kind == EventKind.STREAM].tolist()) == {0}
        assert len(set(deal(body, 1, AUTO).core.tolist())) == 5

    def test_the_product_weighs_both(self) -> None:
        body = network(ROUND.with_({"energy.phase_shifter_hold_w": 1e-3}), [1, 3, 2], [200, 30, 80], elements=50)
        found = {objective: deal(body, 1, Plan("auto", objective)) for objective in OBJECTIVES}
        for objective in OBJECTIVES:
            own = score(body, found[objective], objective)
            assert own <= min(score(body, other, objective) for other in found.values()) * (1 + 2e-3)


class TestWarm:
    @pytest.mark.parametrize("dataflow", ["weight", "auto"])
    @pytest.mark.parametrize("buffers", [1, 2])
    @pytest.mark.parametrize("elements", [0, 1000])
    def test_a_program_that_fits_is_not_configured_again(self, dataflow: Any, buffers: int, elements: int) -> None:
        target = ROUND.with_({"mesh.cores": 4, "mesh.buffers": buffers})
        body = network(target, [1, 2, 1], [8, 3, 9], elements=elements)
        cold, warm = (deal(body, 2, Plan(dataflow), warm=heat) for heat in (False, True))
        warm.verify(body)
        assert not (warm.kind == EventKind.CONFIGURE).any()
        assert warm.warm
        assert not cold.warm
        assert warm.makespan_s < deal(body, 2, WEIGHT).makespan_s
        assert set(warm.resident[warm.resident >= 0].tolist()) == {0, 1, 2, 3}

    def test_copies_stay_too(self) -> None:
        body = layer(ROUND, 16, 32, vectors=400)
        warm = deal(body, 1, AUTO, warm=True)
        warm.verify(body)
        assert warm.makespan_s == 200.0
        assert np.bincount(warm.resident[warm.resident >= 0]).tolist() == [2, 2]

    def test_a_program_that_does_not_fit_starts_with_what_is_left(self) -> None:
        body = network(ROUND.with_({"mesh.cores": 2}), [3, 3], [5, 5])
        cold, warm = (deal(body, 1, WEIGHT, warm=heat) for heat in (False, True))
        warm.verify(body)
        assert (warm.kind == EventKind.CONFIGURE).sum() <= (cold.kind == EventKind.CONFIGURE).sum()
        assert warm.makespan_s <= cold.makespan_s

    def test_updates_are_counted_from_the_run_before(self) -> None:
        target = ROUND.with_({"mesh.cores": 1, "timing.update_s": 2.0})
        body = layer(target, 16, 48)
        warm = deal(body, 1, WEIGHT, warm=True)
        warm.verify(body)
        configures = warm.kind == EventKind.CONFIGURE
        assert (warm.end_s - warm.start_s)[configures].tolist() == [2.0] * int(configures.sum())
        assert warm.turns.min() >= 1


class TestOptions:
    def test_whole_tiles_come_first(self) -> None:
        body = layer(ROUND, 16, 48, vectors=40)
        (step,) = body.matrix_steps
        found = [option for option in options(body, step, 2) if option.plan.dataflow == "weight"]
        assert found[0].plan == StepPlan("weight", 80)
        assert found[0].configures == 3
        seconds = [option.stream_s for option in found]
        assert seconds == sorted(seconds, reverse=True)

    def test_streams_of_estimates_are_those_of_the_schedule(self) -> None:
        body = layer(ROUND.with_({"timing.reconfigure_s": 0.0}), 16, 48, vectors=40)
        step = body.steps[0]
        assert isinstance(step, MatrixStep)
        for option in options(body, step, 1):
            dealt = Dealer(body, 1).deal({step.name: option.plan})
            assert dealt.makespan_s == pytest.approx(option.stream_s, rel=1e-9)


def test_a_plan_of_the_program_is_the_one_taken() -> None:
    body = layer(ROUND, 16, 16, vectors=400)
    assert deal(replace(body, plan=AUTO), 1).plans == {"fc": StepPlan("weight", 100)}
    assert deal(replace(body, plan=WEIGHT), 1).plans == {"fc": StepPlan("weight", 400)}
    assert deal(replace(body, plan=Plan("auto", "edp")), 1).objective == "edp"


def test_many_tiles_are_planned_in_arrays() -> None:
    target = targets.get("mzi16").with_({"mesh.cores": 16})
    body = network(target, [3000, 3000, 3000], [5, 50, 500], elements=10)
    schedule = deal(body, 2, AUTO)
    schedule.verify(body)
    assert schedule.ratio < 1.05
