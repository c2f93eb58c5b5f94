"""The step executor under every dataflow, on chips with memories, links, lanes and updates: results do not change, and
what is counted is what the schedule says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

import lightloom as ll
from lightloom.compiler.tiling import tile_weights
from lightloom.runtime.executor import Runner
from lightloom.runtime.pricing.counts import Counts, configure_counts, run_counts
from lightloom.runtime.program import MatrixStep, ProductStep, RecurrentStep
from lightloom.runtime.scheduling.dealer import Dealer
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.plan import Plan, StepPlan
from lightloom.runtime.scheduling.planning import schedule_of
from lightloom.runtime.scheduling.schedule import EventKind

from ..small_models import BATCH, MODELS, chip, compiled, inputs

DATAFLOWS = ["weight", "output", "input", "auto"]


def leaves(found: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]


@pytest.mark.parametrize("buffers", [1, 2])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("name", MODELS)
def test_results_and_counts_hold_under_every_dataflow(name: str, dataflow: Any, buffers: int) -> None:
    body = dataclasses.replace(compiled(name), target=chip(buffers), plan=Plan(dataflow))
    schedule = deal(body, BATCH)
    schedule.verify(body)
    assert (schedule.kind == EventKind.MOVE).any()
    if dataflow in ("output", "input"):
        plans = list(schedule.plans.values())
        assert {plan.dataflow for plan in plans} == {dataflow}
        assert any(plan.blocks(BATCH * body.costs[step].vectors) > 1 for step, plan in schedule.plans.items())
    runner = Runner(body, tiler=tile_weights)
    batched = leaves(runner.run(inputs(name), seed=4, dtype=torch.float64))
    expected = run_counts(body, schedule)
    assert runner.counts == expected
    stepped = leaves(runner.run(inputs(name), seed=4, executor="step", dtype=torch.float64))
    assert runner.counts == expected
    for mine, theirs in zip(stepped, batched, strict=True):
        assert torch.equal(mine, theirs)
    kinds = {type(step) for step in body.steps}
    assert kinds & {MatrixStep, ProductStep, RecurrentStep}
    assert expected.link_bytes > 0


@pytest.mark.parametrize("buffers", [1, 2])
@pytest.mark.parametrize("warm", [False, True])
def test_every_layer_may_have_a_plan_of_its_own(warm: bool, buffers: int) -> None:
    """Copies of tiles on several cores beside chains of both kinds."""
    # configured in no time, a tile is worth a copy
    quick = {"timing.reconfigure_s": 1e-9, "timing.update_s": 1e-9, "memory.dram_bytes_per_s": 1e15}
    body = dataclasses.replace(compiled("conv"), target=chip(buffers, **quick))
    flows = [StepPlan("weight", 5), StepPlan("input", 3), StepPlan("output", 2)]
    plans = dict(zip((step.name for step in body.matrix_steps), flows, strict=True))
    schedule = schedule_of(Dealer(body, BATCH), plans, warm=warm)
    schedule.verify(body)
    first = (schedule.kind == EventKind.STREAM) & (schedule.step == body.steps.index(body.matrix_steps[0]))
    copies = {(tile, core) for tile, core in zip(schedule.tile[first], schedule.core[first], strict=True)}
    assert len(copies) > body.banks[body.matrix_steps[0].bank].spec.tiles
    runner = Runner(body, schedule=lambda batch: schedule)
    stepped = runner.run(inputs("conv"), seed=4, executor="step", dtype=torch.float64)
    assert runner.counts == run_counts(body, schedule)
    assert torch.equal(stepped, Runner(body).run(inputs("conv"), seed=4, dtype=torch.float64))


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("name", ["conv", "lstm"])
def test_a_warm_run_finds_its_tiles_in_place(name: str, dataflow: Any) -> None:
    body = dataclasses.replace(compiled(name), target=chip(2), plan=Plan(dataflow))
    schedule = deal(body, BATCH, warm=True)
    schedule.verify(body)
    assert schedule.warm
    runner = Runner(body, schedule=lambda batch: deal(body, batch, warm=True))
    warm = leaves(runner.run(inputs(name), seed=4, executor="step"))
    assert runner.counts == run_counts(body, schedule)
    held = int((schedule.resident >= 0).sum())
    assert runner.preloaded.configures == held > 0
    cold = Runner(body)
    for mine, theirs in zip(warm, leaves(cold.run(inputs(name), seed=4, executor="step")), strict=True):
        assert torch.equal(mine, theirs)
    assert cold.preloaded == Counts()


def test_tiles_in_place_are_configured_into_the_buffers_that_they_are_in() -> None:
    """A program that fits: a warm run configures nothing, and in a session nothing is sent again either."""
    torch.manual_seed(0)
    target = chip(2)
    program = ll.compile(torch.nn.Linear(16, 20).eval(), torch.randn(2, 16), target=target)
    body = program.body
    schedule = deal(body, 2, warm=True)
    assert not (schedule.kind == EventKind.CONFIGURE).any()
    runner = Runner(body, schedule=lambda batch: deal(body, batch, warm=True))
    x = torch.randn(2, 16)
    with ll.devices.simulator(target).reserve() as session:
        first = runner.run((x,), executor="step", device=session)
        sent = session.usage.configures
        again = runner.run((x,), executor="step", device=session)
        assert session.usage.configures == sent == 6
        assert session.usage.kept == 6
    assert torch.equal(first, again)
    assert runner.counts.configures == 0
    tiles = body.banks[body.matrix_steps[0].bank].spec
    assert runner.preloaded.configures == configure_counts(tiles, 6).configures


def test_only_changed_settings_are_counted() -> None:
    body = dataclasses.replace(compiled("conv"), target=chip(1))
    every = dataclasses.replace(body, target=chip(1, **{"mesh.writes": "all"}))
    found: list[Counts] = []
    for program in (body, every):
        runner = Runner(program)
        runner.run(inputs("conv"), executor="step")
        found.append(runner.counts)
    changed, whole = found
    assert 0 < changed.phases_written < whole.phases_written
    assert dataclasses.replace(changed, phases_written=0) == dataclasses.replace(whole, phases_written=0)
    # a run without imperfections drives the same settings, in full resolution
    runner = Runner(body)
    runner.run(inputs("conv"), executor="step", ideal=True)
    assert runner.counts == changed


def test_moves_are_counted_from_what_moves() -> None:
    body = compiled("conv")
    runner = Runner(body)
    x = inputs("conv")
    runner.run(x, executor="step")
    schedule = deal(body, BATCH)
    moves = schedule.kind == EventKind.MOVE
    to_chip, to_host = (moves & (schedule.tile == way) for way in (0, 1))
    assert runner.counts.link_bytes == schedule.vectors[moves].sum()
    assert int(schedule.vectors[to_chip][0]) == 4 * x[0].numel()
    assert int(schedule.vectors[to_host][-1]) == 4 * BATCH * 9
    assert np.array_equal(np.unique(schedule.core[moves]), [-2])
