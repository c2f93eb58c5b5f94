"""What happens in a scheduled run, counted step by step. Energy is a price list over these counts.

The counts of one event are in :mod:`.event_counts`, the sizes of tiles in :mod:`.occupancy`.

The step executor counts what it does, event by event; the batched executor follows no schedule, and counts what the
schedule of its run would have done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..program import HostStep, ProductStep, ProgramBody, RecurrentStep, StepCost
from ..scheduling.buffers import bank_rows
from ..scheduling.latency import spills
from ..widths import settings_per_tile
from .event_counts import Counts, configure_counts, host_counts, stream_counts, total, window_counts
from .movement import written
from .occupancy import active_cols, active_rows, chain_ends, tile_sizes, tile_weights
from .recurrent_counts import gate_link_bytes

if TYPE_CHECKING:
    from ..scheduling.plan import Dataflow
    from ..scheduling.schedule import Schedule

__all__ = [
    "Counts",
    "StepCounts",
    "active_cols",
    "active_rows",
    "chain_ends",
    "configure_counts",
    "host_counts",
    "run_counts",
    "settings_per_tile",
    "step_counts",
    "stream_counts",
    "tile_sizes",
    "tile_weights",
    "total",
    "window_counts",
]


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Counts and core time of one step, configuration and execution apart.

    Moves over the link are execution, also those of a product's settings: they happen in every run.
    """

    configuration: Counts
    execution: Counts
    configure_s: float
    stream_s: float

    @property
    def all(self) -> Counts:
        """Configuration and execution together."""
        return self.configuration + self.execution


def step_counts(body: ProgramBody, schedule: Schedule) -> dict[str, StepCounts]:
    """Counts of every step of a scheduled run, by step name, in program order."""
    found: dict[str, StepCounts] = {}
    seconds = schedule.end_s - schedule.start_s
    changes = settings_written(body, schedule)
    from_dram = spills(body)
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        cost = body.costs[step.name]
        if isinstance(step, HostStep):
            found[step.name] = StepCounts(Counts(), host_counts(cost, schedule.batch), 0.0, 0.0)
            continue
        kinds = schedule.kind[events]
        configures, streams, moved = events[kinds == 0], events[kinds == 1], events[kinds == 3]
        configuration = Counts()
        execution = Counts(link_bytes=int(schedule.vectors[moved].sum()))
        for name, bank_events, rows in bank_rows(body, schedule, step, events):
            own = schedule.kind[bank_events] == 0
            changed = None if changes is None else int(changes[bank_events[own]].sum())
            configuration += configure_counts(
                body.banks[name].spec, int(own.sum()), written=changed, from_dram=from_dram
            )
            vectors = schedule.vectors[bank_events[~own]]
            execution += window_counts(body, name, rows[~own], vectors, dataflow_of(schedule, step.name))
        if step.bias is not None:
            spec = body.banks[step.bank].spec
            execution += Counts(accumulations=schedule.batch * cost.vectors * spec.groups * spec.rows)
        if isinstance(step, RecurrentStep | ProductStep):
            execution += host_counts(StepCost(0, 0, cost.elements), schedule.batch)
        if isinstance(step, RecurrentStep):
            execution += Counts(link_bytes=gate_link_bytes(body, step, schedule.batch * cost.vectors))
        found[step.name] = StepCounts(
            configuration,
            execution,
            float(seconds[configures].sum()),
            float(seconds[streams].sum()),
        )
    return found


def dataflow_of(schedule: Schedule, step: str) -> Dataflow:
    """The dataflow that a step is dealt with: weight-stationary where the schedule has no plan for it."""
    plan = schedule.plans.get(step)
    return "weight" if plan is None else plan.dataflow


def settings_written(body: ProgramBody, schedule: Schedule) -> np.ndarray | None:
    """Settings that each event writes, int64 (events,), where only what changes is written; None: all, always."""
    if body.target.mesh.writes == "all":
        return None
    return written(body, schedule)


def run_counts(body: ProgramBody, schedule: Schedule) -> Counts:
    """Counts of the whole scheduled run."""
    return total(step.all for step in step_counts(body, schedule).values())
