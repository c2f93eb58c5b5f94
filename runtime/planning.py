"""Which dataflow and block each matrix step takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .bounds import bounds, naive_s
from .dealer import Dealer, Dealt, Start
from .errors import TargetError, complaint
from .plan import Dataflow, Objective, Plan, StepPlan
from .program import BankSpec, MatrixStep, ProgramBody
from .schedule import Schedule
from .widths import HOST_BYTES, number_bytes

RUNS = 4
"""Runs after which a warm schedule is taken as it is, where what the cores hold still changes."""


def choose(dealer: Dealer, plan: Plan, *, warm: bool = False) -> Schedule:
    """The schedule that a plan asks for.

    Raises: TargetError for a dataflow that the chip's memories are too small for.
    """
    body = dealer.body
    dataflow: Dataflow = "weight" if plan.dataflow == "auto" else plan.dataflow
    plans = {step.name: fixed(body, step, dataflow, dealer.batch) for step in body.matrix_steps}
    # what is asked to be weight-stationary sends whole streams; all else might have cut them
    return schedule_of(dealer, plans, warm=warm, objective=plan.objective, split=plan.dataflow != "weight")


def schedule_of(
    dealer: Dealer,
    plans: dict[str, StepPlan],
    cores: int | None = None,
    *,
    warm: bool = False,
    objective: Objective = "latency",
    split: bool = True,
) -> Schedule:
    """The schedule of given plans, on the first ``cores`` cores or all; warm: see :func:`.dealing.deal`; ``split``:
    whether its bounds hold for schedules that cut streams too, see :func:`.bounds.bounds`."""
    return _schedule(dealer, plans, objective, split, *_dealt(dealer, plans, cores, warm=warm))


def _dealt(
    dealer: Dealer, plans: dict[str, StepPlan], cores: int | None = None, *, warm: bool = False
) -> tuple[Dealt, Start | None]:
    """Deal a program; warm: until a run leaves the cores as it found them, or :data:`RUNS` times."""
    start: Start | None = None
    found = dealer.deal(plans, None, cores)
    for _ in range(RUNS if warm else 0):
        start = found.end
        found = dealer.deal(plans, start, cores)
        if np.array_equal(found.end.resident, start.resident):
            break
    return found, start


def _schedule(
    dealer: Dealer, plans: dict[str, StepPlan], objective: Objective, split: bool, dealt: Dealt, start: Start | None
) -> Schedule:
    body, makespan = dealer.body, dealt.makespan_s
    given: dict[str, Any] = {} if start is None else {"resident": start.resident, "turns": start.turns}
    known = bounds(body, dealer.batch, split=split, **given)
    # The bounds are sums in another order: they may exceed an optimal makespan by rounding alone.
    found = {name: min(seconds, makespan) for name, seconds in known.items()}
    return Schedule(
        steps=tuple(step.name for step in body.steps),
        batch=dealer.batch,
        makespan_s=makespan,
        lower_bound_s=max(found.values()),
        bounds=found,
        naive_s=naive_s(body, dealer.batch),
        buffers=body.target.mesh.buffers,
        plans=plans,
        objective=objective,
        **given,
        **dealt.table(),
    )


def fixed(body: ProgramBody, step: MatrixStep, dataflow: Dataflow, batch: int) -> StepPlan:
    """A step's plan in a dataflow that is asked for: as few blocks as there can be.

    Raises: TargetError where the memory beside a core holds no vector.
    """
    vectors = max(batch * body.costs[step.name].vectors, 1)
    block = largest_block(body, step, dataflow)
    if block == 0:
        need, got, name = _needed(body, step, dataflow), _capacity(body, dataflow), _FIELDS[dataflow]
        raise TargetError(
            complaint(
                f"the {dataflow}-stationary dataflow needs {_WHAT[dataflow]} beside each core",
                where=step.path or step.name,
                got=f"memory.{name} = {got}" if got is not None else f"no memory.{name}",
                allowed=f"memory.{name} of {need} bytes or more, for one vector",
                next_step=f"raise memory.{name}, or take dataflow 'weight' or 'auto'",
            )
        )
    return StepPlan(dataflow, vectors if block is None else min(block, vectors))


_FIELDS = {"output": "accumulator_bytes", "input": "input_buffer_bytes"}
_WHAT = {"output": "accumulators", "input": "an input buffer"}


def largest_block(body: ProgramBody, step: MatrixStep, dataflow: Dataflow) -> int | None:
    """Vectors that the memory beside a core holds in a dataflow: None where there is no limit."""
    if dataflow == "weight":
        return None
    capacity = _capacity(body, dataflow)
    return 0 if capacity is None else capacity // max(_needed(body, step, dataflow), 1)


def _capacity(body: ProgramBody, dataflow: Dataflow) -> int | None:
    memory = body.target.memory
    return memory.accumulator_bytes if dataflow == "output" else memory.input_buffer_bytes


def _needed(body: ProgramBody, step: MatrixStep, dataflow: Dataflow) -> int:
    """Bytes of one vector: its sums of a full tile, or its part for one."""
    spec: BankSpec = body.banks[step.bank].spec
    if dataflow == "output":
        return min(spec.ports, spec.rows) * HOST_BYTES
    return min(spec.ports, spec.cols) * number_bytes(body.target_for(step.bank).encoding.dac_bits)
