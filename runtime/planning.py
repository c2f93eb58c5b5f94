"""Which dataflow and block each matrix step takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .bounds import bounds, naive_s
from .dealer import Dealer, Dealt, Start
from .options import configure_share_s, fixed, options
from .plan import Dataflow, Objective, Plan, StepPlan
from .schedule import Schedule

RUNS = 4
"""Runs after which a warm schedule is taken as it is, where what the cores hold still changes."""


WEIGHTS = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Prices of a configuration, in the time that it takes of the cores, at which steps trade copies for time."""


def choose(dealer: Dealer, plan: Plan, *, warm: bool = False) -> Schedule:
    """The schedule that a plan asks for.

    Raises: TargetError for a dataflow that the chip's memories are too small for.
    """
    body = dealer.body
    dataflow: Dataflow = "weight" if plan.dataflow == "auto" else plan.dataflow
    plans = {step.name: fixed(body, step, dataflow, dealer.batch) for step in body.matrix_steps}
    found = Candidate(plans, *_dealt(dealer, plans, warm=warm))
    if plan.dataflow == "auto":
        found = best(dealer, found, plan.objective, warm=warm)
    return _schedule(dealer, found, plan)


@dataclass(frozen=True, eq=False)
class Candidate:
    """Plans of all matrix steps, and the run dealt by them, from what it found on the cores (None: nothing)."""

    plans: dict[str, StepPlan]
    dealt: Dealt
    start: Start | None


def best(dealer: Dealer, plain: Candidate, objective: Objective, *, warm: bool) -> Candidate:
    """The best candidate by an objective; ``plain`` if none is better."""
    body = dealer.body
    found = {step.name: options(body, step, dealer.batch) for step in body.matrix_steps}
    share = configure_share_s(body)
    seen = [plain.plans]
    winner = plain
    for weight in WEIGHTS:
        plans = {
            name: min(own, key=lambda option: option.stream_s + weight * share * option.configures).plan
            for name, own in found.items()
        }
        if plans in seen:
            continue
        seen.append(plans)
        candidate = Candidate(plans, *_dealt(dealer, plans, warm=warm))
        if candidate.dealt.makespan_s < winner.dealt.makespan_s:
            winner = candidate
    return winner


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


def _schedule(dealer: Dealer, found: Candidate, plan: Plan) -> Schedule:
    """The schedule of a candidate, its bounds beside it."""
    body, makespan = dealer.body, found.dealt.makespan_s
    given: dict[str, Any] = {}
    if found.start is not None:
        given = {"resident": found.start.resident, "turns": found.start.turns}
    whole = plan.dataflow == "weight"
    limits = bounds(body, dealer.batch, split=not whole, **given)
    # The bounds are sums in another order: they may exceed an optimal makespan by rounding alone.
    limits = {name: min(seconds, makespan) for name, seconds in limits.items()}
    return Schedule(
        steps=tuple(step.name for step in body.steps),
        batch=dealer.batch,
        makespan_s=makespan,
        lower_bound_s=max(limits.values()),
        bounds=limits,
        naive_s=naive_s(body, dealer.batch),
        buffers=body.target.mesh.buffers,
        plans=found.plans,
        objective=plan.objective,
        **given,
        **found.dealt.table(),
    )
