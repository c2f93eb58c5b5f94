"""Which dataflow and block each matrix step takes: a few ways to weigh time, configurations and joules against each
other, a trial deal of each, and the best of them.

Each step alone takes the plan of the least ``joules + p (seconds + w configurations)`` of its :mod:`.options`, a
configuration counted in the time that it takes of all cores. What the price p of a second and the weight w should be
depends on the whole program: on what its steps wait for, and whether configurations hide behind light. So several are
tried. Every tile on one core and all vectors at once is always among the trials, so that no plan is worse than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..pricing.holding import setting_w
from ..program import ProductStep
from ..widths import settings_per_tile
from .bounds import bounds, naive_s
from .dealer import Dealer, Dealt, Start
from .options import Option, configure_share_s, fixed, largest_block, options
from .plan import DATAFLOWS, Dataflow, Objective, Plan, StepPlan
from .schedule import Schedule

RUNS = 4
"""Runs after which a warm schedule is taken as it is, where what the cores hold still changes."""

WEIGHTS = (1.0, 0.0, 0.25, 0.5, 2.0, 0.7, 0.35, 1.4, 0.125, 4.0, 8.0)
"""Weights of a configuration where only time counts, those first that are best most often."""

PRICED_WEIGHTS = (1.0, 0.25, 4.0, 0.0)
"""Weights of a configuration beside joules."""

PRICES = (1.0, 0.0, 0.3, 3.0)
"""Prices of a second, in what the objective makes of it for the plain schedule."""

EVENTS = 4_000_000
"""Events that all trials together may have, before the last of them."""

NEAR = 1e-3
"""What more events must at least save of seconds, joules or their product."""

WORTH = 0.99
"""What fewer cores must leave of the joules: they take more time."""


def choose(dealer: Dealer, plan: Plan, *, warm: bool = False) -> Schedule:
    """The schedule that a plan asks for.

    Raises: TargetError for a dataflow that the chip's memories are too small for.
    """
    body = dealer.body
    trials = Trials(dealer, plan.objective, warm)
    found = trials.uniform("weight" if plan.dataflow == "auto" else plan.dataflow)
    if plan.dataflow == "auto":
        # whatever else it does, a chain of streams is no faster than the same streams as copies
        found = trials.best(found, ("weight",) if plan.objective == "latency" else DATAFLOWS)
        for dataflow in DATAFLOWS[1:] if plan.objective != "latency" else ():
            # what a mixture costs is estimated layer by layer: one dataflow for all may still be better
            if all(largest_block(body, step, dataflow) for step in body.matrix_steps):
                found = trials.better(found, trials.best(trials.uniform(dataflow), (dataflow,)))
    elif plan.dataflow != "weight":
        found = trials.best(found, (plan.dataflow,))
    return _bounded(dealer, found, split=plan.dataflow != "weight")


def schedule_of(dealer: Dealer, plans: dict[str, StepPlan], *, warm: bool = False) -> Schedule:
    """The schedule of given plans; warm: see :func:`.dealing.deal`."""
    return _bounded(dealer, Trials(dealer, "latency", warm).deal(plans))


@dataclass(frozen=True, eq=False)
class Trial:
    """Plans of all matrix steps, the run dealt by them, and what it found on the cores (None: nothing).

    ``keep``: whether no tile replaced another while a buffer was empty.
    """

    plans: dict[str, StepPlan]
    objective: Objective
    dealt: Dealt
    start: Start | None
    keep: bool

    @property
    def stays(self) -> bool:
        """Whether a run leaves the cores as it found them."""
        return self.start is not None and np.array_equal(self.start.resident, self.dealt.end.resident)

    def schedule(self, dealer: Dealer) -> Schedule:
        """Its schedule, without bounds."""
        given: dict[str, Any] = self.dealt.table()
        if self.start is not None:
            given |= {"resident": self.start.resident, "turns": self.start.turns}
        return Schedule(
            steps=tuple(step.name for step in dealer.body.steps),
            batch=dealer.batch,
            makespan_s=self.dealt.makespan_s,
            lower_bound_s=0.0,
            buffers=dealer.body.target.mesh.buffers,
            plans=self.plans,
            objective=self.objective,
            **given,
        )


class Trials:
    """Deals of a program by an objective."""

    def __init__(self, dealer: Dealer, objective: Objective, warm: bool) -> None:
        self.dealer = dealer
        self.body = dealer.body
        self.objective: Objective = objective
        self.warm = warm

    def deal(self, plans: dict[str, StepPlan], cores: int | None = None, *, keep: bool = False) -> Trial:
        """Deal a program; warm: until a run leaves the cores as it found them, or :data:`RUNS` times.

        Args:
            plans: of every matrix step. cores: how many to use, all if not given.
            keep: let no tile replace another as long as any buffer is empty, where cores take what they can finish
                first else.
        """
        start: Start | None = None
        found = self.dealer.deal(plans, None, cores, keep=keep)
        for _ in range(RUNS if self.warm else 0):
            start = found.end
            found = self.dealer.deal(plans, start, cores, keep=keep)
            if Trial(plans, self.objective, found, start, keep).stays:
                break
        return Trial(plans, self.objective, found, start, keep)

    def uniform(self, dataflow: Dataflow) -> Trial:
        """The same dataflow for every step, in as few blocks as there can be.

        Raises: TargetError where the memory beside a core holds no vector.
        """
        plans = {step.name: fixed(self.body, step, dataflow, self.dealer.batch) for step in self.body.matrix_steps}
        return self.deal(plans, keep=self.fits({}))

    def better(self, one: Trial, other: Trial) -> Trial:
        """The second only if it is better, and leaves the tiles on the cores if the first one does."""
        if one.keep and not other.stays:
            return one
        return other if self._score(other) < self._score(one) else one

    def best(self, plain: Trial, dataflows: tuple[Dataflow, ...]) -> Trial:
        """The best trial with these dataflows; ``plain`` if none is better."""
        winner, least = plain, self._score(plain)
        at_most = EVENTS
        for plans, keep in self._candidates(plain, dataflows):
            trial = self.deal(plans, keep=keep)
            if plain.keep and not trial.stays:
                continue
            score = self._score(trial)
            more = trial.dealt.events - winner.dealt.events
            if score < least * (1 - NEAR if more > 0 else 1) or (score == least and more < 0):
                winner, least = trial, score
            at_most -= trial.dealt.events
            if at_most < 0:
                return winner
        if self.objective != "latency":
            winner = self._fewer_cores(winner, least, at_most)
        return winner

    def fits(self, configures: dict[str, int]) -> bool:
        """Whether a next run can find all tiles in place, given the configurations of steps that copy tiles."""
        if not self.warm or any(isinstance(step, ProductStep) for step in self.body.steps):
            return False
        mesh = self.body.target.mesh
        banks = {name: bank.spec.tiles for name, bank in self.body.banks.items()}
        for step in self.body.matrix_steps:
            banks[step.bank] = max(banks[step.bank], configures.get(step.name, 0))
        return sum(banks.values()) <= mesh.cores * mesh.buffers

    def _score(self, trial: Trial) -> float:
        """What is to be small: seconds, joules or their product."""
        seconds = trial.dealt.makespan_s
        if self.objective == "latency":
            return seconds
        joules = self._joules(trial)
        return joules if self.objective == "energy" else joules * seconds

    def _joules(self, trial: Trial) -> float:
        from ..pricing.energy import energy

        return energy(self.body, trial.schedule(self.dealer)).total_j

    def _candidates(self, plain: Trial, dataflows: tuple[Dataflow, ...]) -> Iterator[tuple[dict[str, StepPlan], bool]]:
        """Plans worth a trial, no two alike; and whether they are dealt so that all tiles stay.

        Where a program fits, only plans with which it does.
        """
        found: dict[str, list[Option]] = {}
        same: dict[Any, list[Option]] = {}
        for step in self.body.matrix_steps:
            key = (step.bank, self.body.costs[step.name].vectors)
            if key not in same:
                every = options(self.body, step, self.dealer.batch)
                own = [option for option in every if option.plan.dataflow in dataflows]
                same[key] = own or [Option(plain.plans[step.name], 0.0, 0, 0.0)]  # nothing to stream
            found[step.name] = same[key]
        share = configure_share_s(self.body)
        price = self._price(plain)
        seen = [plain.plans]
        prices = (math.inf,) if math.isinf(price) else tuple(price * factor for factor in PRICES)
        for each in prices:
            weights = WEIGHTS if math.isinf(each) else PRICED_WEIGHTS if each else PRICED_WEIGHTS[:1]
            for weight in weights:
                chosen = {name: _cheapest(own, each, weight * share) for name, own in found.items()}
                plans = {name: option.plan for name, option in chosen.items()}
                keep = self.fits(_configures(chosen))
                if plans not in seen and keep >= plain.keep:
                    seen.append(plans)
                    yield plans, keep
        if self.warm:
            chosen = self._staying(found, share)
            plans = {name: option.plan for name, option in chosen.items()}
            if self.fits(_configures(chosen)) and plans not in seen:
                yield plans, True

    def _price(self, plain: Trial) -> float:
        """Joules that a second is worth: infinite for latency."""
        if self.objective == "latency":
            return math.inf
        target = self.body.target
        settings = settings_per_tile(target.mesh) * target.mesh.buffers
        watts = target.mesh.cores * (settings * setting_w(target) + (target.energy.control_w or 0.0))
        if self.objective == "energy":
            return watts
        seconds = plain.dealt.makespan_s
        return watts + (self._joules(plain) / seconds if seconds else 0.0)

    def _staying(self, found: dict[str, list[Option]], share_s: float) -> dict[str, Option]:
        """Plans with as many copies of tiles as stay on the cores from run to run."""
        low, high = 0.0, 1e6
        chosen = {name: own[0] for name, own in found.items()}
        for _ in range(40):
            weight = math.sqrt(max(low, 1e-6) * high)
            trial = {name: _cheapest(own, math.inf, weight * share_s) for name, own in found.items()}
            if self.fits(_configures(trial)):
                chosen, high = trial, weight
            else:
                low = weight
        return chosen

    def _fewer_cores(self, winner: Trial, least: float, at_most: int) -> Trial:
        """The winner on fewer cores, as long as that is better: what is not set needs no power to hold."""
        used = [part["core"].max(initial=-1) for part in winner.dealt.parts]
        cores = (int(max(used, default=-1)) + 1) // 2
        while cores and at_most > 0:
            trial = self.deal(winner.plans, cores, keep=winner.keep)
            score = self._score(trial)
            at_most -= trial.dealt.events
            if score >= least * WORTH or (winner.keep and not trial.stays):
                break
            winner, least, cores = trial, score, cores // 2
        return winner


def _cheapest(own: list[Option], price: float, configure_s: float) -> Option:
    """The option of the least cost; the first of equals."""
    if math.isinf(price):
        return min(own, key=lambda option: option.stream_s + configure_s * option.configures)
    return min(own, key=lambda option: option.joules + price * (option.stream_s + configure_s * option.configures))


def _configures(chosen: dict[str, Option]) -> dict[str, int]:
    return {name: option.configures for name, option in chosen.items()}


def _bounded(dealer: Dealer, found: Trial, *, split: bool = True) -> Schedule:
    """The schedule of a trial, its bounds beside it: those of whole streams if not ``split``."""
    schedule = found.schedule(dealer)
    start = found.start
    resident, turns = (None, None) if start is None else (start.resident, start.turns)
    limits = bounds(dealer.body, dealer.batch, split=split, resident=resident, turns=turns)
    # The bounds are sums in another order: they may exceed an optimal makespan by rounding alone.
    limits = {name: min(seconds, schedule.makespan_s) for name, seconds in limits.items()}
    return replace(
        schedule, bounds=limits, lower_bound_s=max(limits.values()), naive_s=naive_s(dealer.body, dealer.batch)
    )
