"""The schedule: which core does what, when. A table of arrays, walked by the step executor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np

from ..forms import form
from ..program import ProgramBody
from ..report.tables import Column, Table, csv_text, si
from .plan import StepPlan


class EventKind(IntEnum):
    """What an event does: program a tile, send vectors through it, run a host op, or move numbers over the link.

    A stream stands for the windows of its vectors: encode, window, read and accumulate of each, see
    :func:`lightloom.runtime.pricing.events.inside`.
    """

    CONFIGURE = 0
    STREAM = 1
    HOST = 2
    MOVE = 3


HOST_LANE, LINK_LANE = -1, -2
"""Values of ``core`` for what happens on no core."""


COLUMNS = {
    "kind": np.uint8,
    "step": np.int32,
    "tile": np.int32,
    "core": np.int32,
    "start_s": np.float64,
    "end_s": np.float64,
    "vectors": np.int64,
    "first": np.int64,
}
"""Columns of the table and their types, in order."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """Events in start order, one row each, in columns of equal length.

    - ``kind`` uint8: an :class:`EventKind`; ``step`` int32: index into ``body.steps``.
    - ``tile`` int32: row of the bank's table, -1 on the host; of a MOVE 0 to the chip, 1 to the host.
    - ``core`` int32: -1 on the host, -2 on the link.
    - ``start_s, end_s`` float64: seconds from the start of the run.
    - ``vectors`` int64: input vectors that the event sends (STREAM), bytes that it moves (MOVE), else 0.
    - ``first`` int64: index, in the whole batch, of the first of these vectors; else 0.

    ``steps`` names the program's steps; ``batch`` is the number of samples; ``makespan_s`` the end of the last event;
    ``lower_bound_s`` the largest of ``bounds`` (see :func:`.bounds.bounds`), what no schedule on this chip can beat or,
    where weight-stationary ones were asked for, none of whole streams; ``naive_s`` what one core takes, tile after tile
    (:func:`.bounds.naive_s`); ``buffers`` the settings that a core holds: its k-th configuration, from 0, goes into
    buffer ``k mod buffers``.
    ``plans`` has the dataflow and block of every matrix step; ``objective`` what they were chosen by. ``resident`` is
    what the cores hold when the run begins, empty for nothing: int64 (cores, buffers) of tiles, counted through all
    banks of the program in order, -1 for none, and ``turns`` (cores,) the configurations of each core before.
    """

    steps: tuple[str, ...]
    batch: int
    kind: np.ndarray
    step: np.ndarray
    tile: np.ndarray
    core: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    vectors: np.ndarray
    first: np.ndarray
    makespan_s: float
    lower_bound_s: float
    bounds: Mapping[str, float] = field(default_factory=dict[str, float])
    naive_s: float = 0.0
    buffers: int = 1
    plans: Mapping[str, StepPlan] = field(default_factory=dict[str, StepPlan])
    objective: str = "latency"
    resident: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int64))
    turns: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def warm(self) -> bool:
        """Whether the run begins with tiles on the cores."""
        return bool((self.resident >= 0).any())

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def ratio(self) -> float:
        """Makespan over its lower bound, 1 for an empty schedule."""
        return self.makespan_s / self.lower_bound_s if self.lower_bound_s else 1.0

    @property
    def bound(self) -> str:
        """What the lower bound counts: the name of the largest bound, empty where there is none."""
        return max(self.bounds, key=lambda name: self.bounds[name], default="")

    @property
    def speedup(self) -> float:
        """The naive serial schedule over the makespan, 1 for an empty schedule."""
        return self.naive_s / self.makespan_s if self.makespan_s else 1.0

    @cached_property
    def by_step(self) -> tuple[np.ndarray, ...]:
        """Rows of each step's events, in start order; one array of row numbers a step."""
        order = np.argsort(self.step, kind="stable")
        edges = np.searchsorted(self.step[order], np.arange(len(self.steps) + 1))
        return tuple(order[edges[i] : edges[i + 1]] for i in range(len(self.steps)))

    def verify(self, body: ProgramBody) -> None:
        """Check the schedule against its program.

        Raises VerifyError listing what is wrong: an event on the wrong step, tile or lane, or of the wrong length; two
        at once on a core, on the host or on the link; a stream of a tile that its core does not hold; a block of
        vectors that a tile does not take exactly once; a chain of tiles that a dataflow asks for, torn or larger than
        the memory beside its core; moves other than the program needs; or a step that starts before its inputs are
        there.
        """
        form("schedule.verify", self, body)

    def to_dict(self) -> dict[str, Any]:
        """Scalars and a list for each column, JSON-ready; ``kind`` by name."""
        columns = {name: getattr(self, name).tolist() for name in COLUMNS}
        columns["kind"] = [EventKind(kind).name.lower() for kind in columns["kind"]]
        return {
            "batch": self.batch,
            "makespan_s": self.makespan_s,
            "lower_bound_s": self.lower_bound_s,
            "bounds": dict(self.bounds),
            "naive_s": self.naive_s,
            "buffers": self.buffers,
            "steps": list(self.steps),
            "plans": {name: {"dataflow": plan.dataflow, "block": plan.block} for name, plan in self.plans.items()},
            "objective": self.objective,
            "resident": self.resident.tolist(),
            "turns": self.turns.tolist(),
            **columns,
        }

    def to_json(self, indent: int | None = None) -> str:
        """The dict as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_perfetto(self, path: str | PathLike[str], energy: Any = None) -> None:
        """Write the schedule as a trace for ui.perfetto.dev or chrome://tracing: tracks of cores, host and link.

        ``energy``: the :class:`..pricing.ledger.EnergyReport` of this schedule, for the power over time.

        Raises InputError where the file cannot be written.
        """
        form("schedule.perfetto", self, path, energy)

    def to_csv(self) -> str:
        """One line an event, with the step's name."""
        data = self.to_dict()
        names = [self.steps[index] for index in data["step"]]
        rows = list(zip(*(data[name] for name in COLUMNS), names, strict=True))
        return csv_text([*COLUMNS, "name"], rows)

    def table(self) -> Table:
        """One row a step: its dataflow, events, tiles, cores, times.

        ``block``: vectors of a stream, at most; ``copies``: cores that a tile streams on, on average. The dataflow of
        what is no matrix step is empty.
        """
        rows: list[tuple[Any, ...]] = []
        for name, events in zip(self.steps, self.by_step, strict=True):
            kinds = self.kind[events]
            streams = events[kinds == EventKind.STREAM]
            work = events[kinds != EventKind.CONFIGURE]
            tiles = len(np.unique(self.tile[streams]))
            pairs = self.tile[streams].astype(np.int64) * (int(self.core.max(initial=0)) + 1) + self.core[streams]
            rows.append(
                (
                    name,
                    "host" if len(kinds) and (kinds == EventKind.HOST).all() else "chip",
                    self.plans[name].dataflow if name in self.plans else "",
                    tiles,
                    int((kinds == EventKind.CONFIGURE).sum()),
                    len(np.unique(self.core[streams])),
                    int(self.vectors[streams].sum()) // max(tiles, 1),
                    int(self.vectors[streams].max(initial=0)),
                    len(np.unique(pairs)) / tiles if tiles else 0.0,
                    float(self.start_s[work].min(initial=np.inf)) if len(work) else 0.0,
                    float(self.end_s[work].max(initial=0.0)),
                    float((self.end_s[events] - self.start_s[events]).sum()),
                )
            )
        columns = (
            Column("step", "step"),
            Column("where", "where"),
            Column("dataflow", "dataflow"),
            Column("tiles", "tiles"),
            Column("configures", "configures"),
            Column("cores", "cores"),
            Column("vectors", "vectors"),
            Column("block", "block"),
            Column("copies", "copies", lambda value: f"{value:.3g}"),
            Column("start_s", "start", _seconds),
            Column("end_s", "end", _seconds),
            Column("busy_s", "core time", _seconds),
        )
        notes = {
            "batch": self.batch,
            "makespan_s": self.makespan_s,
            "lower_bound_s": self.lower_bound_s,
            "bound": self.bound,
            "naive_s": self.naive_s,
            "objective": self.objective,
            "warm": self.warm,
        }
        return Table(columns, tuple(rows), left=3, notes=notes)

    def _repr_html_(self) -> str:
        """Times, a picture of the lanes and the steps, for notebooks."""
        return form("schedule.html", self)

    def __repr__(self) -> str:
        return f"Schedule({len(self)} events, batch of {self.batch}, {_seconds(self.makespan_s)})"

    def __str__(self) -> str:
        head = (
            f"schedule of {len(self)} events for a batch of {self.batch}: {_seconds(self.makespan_s)}, "
            f"{self.ratio:.3f} times the lower bound of {_seconds(self.lower_bound_s)}"
            f"{f' ({self.bound})' if self.bound else ''}, {self.speedup:.4g} times as fast as one core tile by tile"
        )
        return f"{head}\n{self.table()}"


def _seconds(value: float) -> str:
    return si(value, "s")
