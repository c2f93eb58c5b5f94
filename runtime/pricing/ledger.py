"""Joules by step and item, in sums that are exact; the energy report of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..forms import form
from ..report.tables import Column, Table, percent, si
from .events import EVENT_NAMES, EVENTS, Activity
from .exact import on_grid

PARTS: tuple[str, ...] = ("optical", "control", "conversion", "detection", "memory", "host", "link")
"""Parts that an energy is split into."""

ITEMS: dict[str, tuple[str, bool]] = {
    "laser": ("optical", True),
    "local oscillator": ("optical", True),
    "hold": ("control", True),
    "electronics": ("control", True),
    "reconfigure": ("control", False),
    "calibration": ("control", False),
    "dac": ("conversion", False),
    "modulator": ("conversion", False),
    "adc": ("conversion", False),
    "receiver": ("detection", False),
    "memory": ("memory", False),
    "local memory": ("memory", False),
    "dram": ("memory", False),
    "macs": ("host", False),
    "accumulate": ("host", False),
    "ops": ("host", False),
    "link": ("link", False),
}
"""Items of the price list: name -> (part, whether it is static, that is a power times a time)."""

IDLE = "idle"
"""Row of what cores take between events: settings that are held, electronics that are on."""


@dataclass(frozen=True, eq=False)
class Ledger:
    """Joules by row (a step, or :data:`IDLE`) and item. Sums are exact in any order, see :func:`on_grid`."""

    rows: tuple[str, ...]
    joules: np.ndarray

    @property
    def total_j(self) -> float:
        """All of it."""
        return float(self.joules.sum())

    @property
    def static_j(self) -> float:
        """Powers times times: lasers, hold, electronics."""
        return float(self.joules[:, [static for _, static in ITEMS.values()]].sum())

    @property
    def dynamic_j(self) -> float:
        """Energies of events."""
        return float(self.joules[:, [not static for _, static in ITEMS.values()]].sum())

    def by_item(self) -> dict[str, float]:
        """Joules of each item of the price list."""
        return dict(zip(ITEMS, self.joules.sum(0).tolist(), strict=True))

    def by_part(self) -> dict[str, float]:
        """Joules of each part."""
        return dict(zip(PARTS, self._parts().sum(0).tolist(), strict=True))

    def by_row(self) -> dict[str, float]:
        """Joules of each row."""
        return dict(zip(self.rows, self.joules.sum(1).tolist(), strict=True))

    def _parts(self) -> np.ndarray:
        """Joules by row and part."""
        members = np.array([[part == owner for part in PARTS] for owner, _ in ITEMS.values()], float)
        return self.joules @ members

    def by_event(self) -> dict[str, float]:
        """Joules of each kind of event, taken as execution: see :data:`.events.EVENTS`."""
        work = self.joules[[row != IDLE for row in self.rows]].sum(0).tolist()
        found = dict.fromkeys(EVENT_NAMES, 0.0)
        for item, joules in zip(ITEMS, work, strict=True):
            found[EVENTS[item]] += joules
        found["idle"] += self.total_j - float(sum(work))
        return found

    def table(self) -> Table:
        """Rows by parts, with their totals."""
        total = self.total_j
        parts = self._parts()
        data = [
            (row, *values.tolist(), float(values.sum()))
            for row, values in zip(self.rows, parts, strict=True)
            if row != IDLE or values.any()
        ]
        data.append(("total", *parts.sum(0).tolist(), total))
        columns = (
            Column("row", "layer"),
            *(Column(f"{part}_j", part, _joules) for part in PARTS),
            Column("total_j", "total", _joules),
        )
        return Table(columns, tuple(data))


@dataclass(frozen=True, eq=False)
class EnergyReport:
    """Energy of one scheduled run of a batch.

    ``execution`` and ``configuration`` are joules of the whole run. ``reuse`` is how many inferences one
    calibration serves, and one configuration too where the program is ``resident`` (no core changes its
    tile, so that a next run finds it in place); else every batch is configured anew. ``activity``: how often each kind
    of event happens in the run, and how long it takes.
    """

    batch: int
    macs: int
    makespan_s: float
    execution: Ledger
    configuration: Ledger
    reuse: int
    resident: bool
    calibration_j: float
    activity: Mapping[str, Activity] = field(default_factory=dict[str, Activity])

    @property
    def total_j(self) -> float:
        """The run, configured once and executed once, without calibration."""
        return self.execution.total_j + self.configuration.total_j

    @property
    def per_inference_j(self) -> float:
        """Execution only, over the batch."""
        return self.execution.total_j / self.batch

    @property
    def configuration_reuse(self) -> int:
        """Inferences that share one configuration."""
        return self.reuse if self.resident else self.batch

    @cached_property
    def amortised(self) -> Ledger:
        """Joules of one inference with its share of configuration and calibration."""
        joules = self.execution.joules / self.batch + self.configuration.joules / self.configuration_reuse
        calibration = np.zeros((1, len(ITEMS)))
        calibration[0, list(ITEMS).index("calibration")] = self.calibration_j / self.reuse
        (exact,) = on_grid(np.concatenate([joules, calibration]))
        return Ledger((*self.execution.rows, "calibration"), exact)

    @property
    def amortised_j(self) -> float:
        """One inference with its share of configuration and calibration."""
        return self.amortised.total_j

    @property
    def per_mac_j(self) -> float:
        """Execution only, over all multiply-accumulates of the program (photonic and host)."""
        return self.per_inference_j / self.macs if self.macs else 0.0

    @property
    def amortised_per_mac_j(self) -> float:
        """Amortised, over all multiply-accumulates of the program."""
        return self.amortised_j / self.macs if self.macs else 0.0

    @property
    def average_power_w(self) -> float:
        """The run's energy over its makespan."""
        return self.total_j / self.makespan_s if self.makespan_s else 0.0

    @property
    def ops_per_s(self) -> float:
        """Operations (two a multiply-accumulate) over the makespan."""
        return 2 * self.macs * self.batch / self.makespan_s if self.makespan_s else 0.0

    @property
    def ops_per_j(self) -> float:
        """Operations over the run's energy: operations per second and watt."""
        return 2 * self.macs * self.batch / self.total_j if self.total_j else 0.0

    @property
    def run(self) -> Ledger:
        """Configuration and execution of the run together."""
        return Ledger(self.execution.rows, self.execution.joules + self.configuration.joules)

    def table(self) -> Table:
        """One row an item: of the run, execution and configuration apart; amortised over inferences."""
        execution, configuration = self.execution.by_item(), self.configuration.by_item()
        amortised = self.amortised.by_item()
        rows = [
            (
                part,
                name,
                "static" if static else "dynamic",
                execution[name],
                configuration[name],
                amortised[name],
                amortised[name] / self.amortised_j if self.amortised_j else 0.0,
            )
            for name, (part, static) in ITEMS.items()
        ]
        columns = (
            Column("part", "part"),
            Column("item", "item"),
            Column("kind", "kind"),
            Column("execution_j", "execution", _joules),
            Column("configuration_j", "configuration", _joules),
            Column("amortised_j", "per inference, amortised", _joules),
            Column("share", "share", lambda share: percent(share, 1)),
        )
        return Table(columns, tuple(rows), left=3, notes=self._notes())

    def by_event(self) -> dict[str, float]:
        """Joules of the run of each kind of event: all of the configuration is ``configure``."""
        found = self.execution.by_event()
        found["configure"] += self.configuration.total_j
        return found

    def events(self) -> Table:
        """One row a kind of event: how often it happens in the run, how long it takes, and its joules."""
        joules = self.by_event()
        nothing = Activity(0, 0.0)
        rows = [
            (name, found.number, found.busy_s, joules[name], joules[name] / self.total_j if self.total_j else 0.0)
            for name in EVENT_NAMES
            for found in (self.activity.get(name, nothing),)
        ]
        columns = (
            Column("event", "event"),
            Column("number", "number", "{:,}".format),
            Column("busy_s", "time, all cores", lambda value: si(value, "s")),
            Column("joules", "energy", _joules),
            Column("share", "share", lambda share: percent(share, 1)),
        )
        return Table(columns, tuple(rows))

    def layers(self) -> Table:
        """One row a step and part: the run's joules, configuration and execution together."""
        return self.run.table()

    def _notes(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "macs": self.macs,
            "reuse": self.reuse,
            "resident": self.resident,
            "calibration_j": self.calibration_j,
            "total_j": self.total_j,
            "execution_total_j": self.execution.total_j,
            "configuration_total_j": self.configuration.total_j,
            "static_j": self.run.static_j,
            "dynamic_j": self.run.dynamic_j,
            "per_inference_j": self.per_inference_j,
            "amortised_per_inference_j": self.amortised_j,
            "per_mac_j": self.per_mac_j,
            "amortised_per_mac_j": self.amortised_per_mac_j,
            "average_power_w": self.average_power_w,
            "ops_per_s": self.ops_per_s,
            "ops_per_j": self.ops_per_j,
        }

    def to_dict(self) -> dict[str, Any]:
        """Totals, the table of items, the table of layers and that of events."""
        return {
            **self._notes(),
            "items": _columns(self.table()),
            "layers": self.layers().to_dict(),
            "events": self.events().to_dict(),
        }

    def to_json(self, indent: int | None = None) -> str:
        """The dict as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_csv(self) -> str:
        """The table of items as CSV."""
        return self.table().to_csv()

    def _repr_html_(self) -> str:
        """Headline figures and bars, for notebooks."""
        return form("energy.html", self)

    def __repr__(self) -> str:
        return f"EnergyReport(batch of {self.batch}, {si(self.total_j, 'J')} in {si(self.makespan_s, 's')})"

    def __str__(self) -> str:
        return str(self.table())


def _columns(table: Table) -> dict[str, Any]:
    return {key: value for key, value in table.to_dict().items() if key not in table.notes}


def _joules(value: float) -> str:
    return si(value, "J")
