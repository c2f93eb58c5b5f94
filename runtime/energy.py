"""Energy of a scheduled run: a price list over its counts and times.

=================  ==========  =======  ===============================================================
item               part        kind     joules
=================  ==========  =======  ===============================================================
laser              optical     static   shots * window_s * ports * r * launch_power_w / wall_plug
local oscillator   optical     static   shots * window_s * ports * r * local_oscillator_w / wall_plug
hold               control     static   core seconds * settings * phase_shifter_hold_w
reconfigure        control     dynamic  phases_written * reconfigure_j_per_phase
calibration        control     dynamic  as given
dac                conversion  dynamic  dac_samples * dac_j_per_sample
modulator          conversion  dynamic  dac_samples * modulator_j_per_sample
adc                conversion  dynamic  adc_samples * adc_j_per_sample
receiver           detection   dynamic  adc_samples * detector_j_per_sample
memory             memory      dynamic  memory_bytes * memory_j_per_byte
macs               host        dynamic  host_macs * host_j_per_mac
ops                host        dynamic  (accumulations + host_elements) * host_j_per_op
=================  ==========  =======  ===============================================================

r is the number of rails lit at once (2 for dual-port differential encoding). Static items are a power
times a time, dynamic ones an energy times a count. Lasers are on during windows; a core holds its phases
from its first configuration to the end of the run, and what it holds between events is the row ``idle``.
The counts are those of :mod:`.counts`. The form follows the usual accounting of photonic accelerators
(for example M. A. Nahmias et al., IEEE JSTQE 26, 7701518 (2020)): optical, conversion and control apart.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .counts import Counts, configure_counts, settings_per_tile, step_counts, stream_counts
from .errors import InputError, complaint
from .latency import stream_s
from .program import MatrixStep, ProgramBody
from .report.tables import Column, Table, percent, si
from .schedule import EventKind, Schedule
from .targets.schema import Target

PARTS = ("optical", "control", "conversion", "detection", "memory", "host")
"""Parts that an energy is split into."""

ITEMS: dict[str, tuple[str, bool]] = {
    "laser": ("optical", True),
    "local oscillator": ("optical", True),
    "hold": ("control", True),
    "reconfigure": ("control", False),
    "calibration": ("control", False),
    "dac": ("conversion", False),
    "modulator": ("conversion", False),
    "adc": ("conversion", False),
    "receiver": ("detection", False),
    "memory": ("memory", False),
    "macs": ("host", False),
    "ops": ("host", False),
}
"""Items of the price list: name -> (part, whether it is static, that is a power times a time)."""

IDLE = "idle"
"""Row of what cores hold between events."""


def price(target: Target, counts: Counts, hold_s: float = 0.0) -> dict[str, float]:
    """Joules of every item for some counts, and for holding one core's settings for ``hold_s``."""
    energy, detection, encoding = target.energy, target.detection, target.encoding
    lit = target.mesh.ports * (encoding.rails // encoding.shots)
    light_s = counts.shots * target.timing.window_s / energy.laser_wall_plug_efficiency
    oscillator_w = detection.local_oscillator_w if detection.kind == "coherent" else 0.0
    return {
        "laser": light_s * lit * detection.launch_power_w,
        "local oscillator": light_s * lit * oscillator_w,
        "hold": hold_s * settings_per_tile(target.mesh) * energy.phase_shifter_hold_w,
        "reconfigure": counts.phases_written * energy.reconfigure_j_per_phase,
        "calibration": 0.0,
        "dac": counts.dac_samples * energy.dac_j_per_sample,
        "modulator": counts.dac_samples * energy.modulator_j_per_sample,
        "adc": counts.adc_samples * energy.adc_j_per_sample,
        "receiver": counts.adc_samples * energy.detector_j_per_sample,
        "memory": counts.memory_bytes * energy.memory_j_per_byte,
        "macs": counts.host_macs * energy.host_j_per_mac,
        "ops": (counts.accumulations + counts.host_elements) * energy.host_j_per_op,
    }


def tile_energy(
    target: Target,
    vectors: int,
    *,
    rows: int | None = None,
    cols: int | None = None,
    configure: bool = True,
) -> dict[str, float]:
    """Joules by item of one tile event: configuring a tile and streaming vectors through it.

    Args:
        vectors: input vectors. rows, cols: active outputs and inputs, all ports if not given.
        configure: whether the tile is configured first (its hold while settling counts too).
    """
    rows = target.mesh.ports if rows is None else rows
    cols = target.mesh.ports if cols is None else cols
    counts = stream_counts(target, vectors, vectors * rows, vectors * cols)
    seconds = stream_s(target, vectors)
    if configure:
        counts += configure_counts(target.mesh, 1)
        seconds += target.timing.reconfigure_s
    return price(target, counts, seconds)


@dataclass(frozen=True)
class PeakPower:
    """Power with every core streaming full tiles, configured once and for all.

    ``launched_w`` is light; ``laser_w`` what the lasers draw for it; ``electrical_w`` all the rest.
    """

    launched_w: float
    laser_w: float
    electrical_w: float

    @property
    def total_w(self) -> float:
        """Lasers and electronics."""
        return self.laser_w + self.electrical_w


def peak_power(target: Target) -> PeakPower:
    """Peak power of a target: the price of one vector through a full tile, on every core, over its time."""
    seconds = target.timing.window_s * target.encoding.shots
    ports = target.mesh.ports
    items = price(target, stream_counts(target, 1, ports, ports), seconds)
    watts = {name: joules * target.mesh.cores / seconds for name, joules in items.items()}
    laser = math.fsum(value for name, value in watts.items() if ITEMS[name][0] == "optical")
    electrical = math.fsum(value for name, value in watts.items() if ITEMS[name][0] != "optical")
    return PeakPower(laser * target.energy.laser_wall_plug_efficiency, laser, electrical)


def on_grid(*tables: np.ndarray) -> tuple[np.ndarray, ...]:
    """Round tables of joules to one binary grid, so that sums of their entries are exact in any order.

    The grid is 2**-52 of the next power of two above the total: every partial sum is then a whole number of
    grid steps below 2**53, which float64 holds exactly. An entry moves by at most 2.3e-16 of the total.
    """
    whole = math.fsum(math.fsum(table.ravel()) for table in tables)
    if whole == 0:
        return tables
    step = math.ldexp(1.0, math.frexp(whole)[1] - 52)
    # Subnormal totals have no finer grid than float64 itself, which is exact for sums already.
    return tables if step == 0 else tuple(np.rint(table / step) * step for table in tables)


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
        """Powers times times: lasers, hold."""
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
    tile, so that a next run finds it in place); else every batch is configured anew.
    """

    batch: int
    macs: int
    makespan_s: float
    execution: Ledger
    configuration: Ledger
    reuse: int
    resident: bool
    calibration_j: float

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
        }

    def to_dict(self) -> dict[str, Any]:
        """Totals, the table of items and the table of layers."""
        return {**self._notes(), "items": _columns(self.table()), "layers": self.layers().to_dict()}

    def to_json(self, indent: int | None = None) -> str:
        """The dict as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_csv(self) -> str:
        """The table of items as CSV."""
        return self.table().to_csv()

    def __str__(self) -> str:
        return str(self.table())


def energy(
    body: ProgramBody, schedule: Schedule, *, reuse: int | None = None, calibration_j: float = 0.0
) -> EnergyReport:
    """Price a schedule.

    Args:
        reuse: inferences that one calibration serves, and one configuration where the program stays on
            the chip; the schedule's batch if not given.
        calibration_j: energy of one calibration of the chip.
    Raises: InputError for a reuse below the batch, or a calibration energy that is not a number >= 0.
    """
    reuse = schedule.batch if reuse is None else reuse
    if isinstance(reuse, bool) or not isinstance(reuse, int) or reuse < schedule.batch:
        allowed = f"the batch of {schedule.batch} inferences or more"
        raise InputError(complaint("impossible reuse", got=repr(reuse), allowed=allowed))
    if not (math.isfinite(calibration_j) and calibration_j >= 0):
        raise InputError(complaint("impossible calibration energy", got=calibration_j, allowed="0 J or more"))
    found = step_counts(body, schedule)
    chips = [body.target_for(s.bank) if isinstance(s, MatrixStep) else body.target for s in body.steps]
    pairs = list(zip(chips, found.values(), strict=True))
    execution = [list(price(chip, step.execution, step.stream_s).values()) for chip, step in pairs]
    configuration = [list(price(chip, step.configuration, step.configure_s).values()) for chip, step in pairs]
    execution.append(list(price(body.target, Counts(), _idle_s(schedule)).values()))
    configuration.append([0.0] * len(ITEMS))
    exact = on_grid(np.array(execution), np.array(configuration))
    rows = (*found, IDLE)
    per_core = np.bincount(schedule.core[schedule.kind == EventKind.CONFIGURE], minlength=1)
    return EnergyReport(
        batch=schedule.batch,
        macs=sum(body.costs[step.name].macs for step in body.steps),
        makespan_s=schedule.makespan_s,
        execution=Ledger(rows, exact[0]),
        configuration=Ledger(rows, exact[1]),
        reuse=reuse,
        resident=bool(per_core.max() <= 1),
        calibration_j=calibration_j,
    )


def _idle_s(schedule: Schedule) -> float:
    """Core seconds between a core's first configuration and the end of the run in which it does nothing."""
    chip = schedule.core >= 0
    core, start = schedule.core[chip], schedule.start_s[chip]
    _, first = np.unique(core, return_index=True)
    on = math.fsum(schedule.makespan_s - start[first])
    busy = math.fsum(schedule.end_s[chip] - start)
    # Rounding may leave a hair below zero where cores are never idle.
    return max(on - busy, 0.0) if on - busy > 1e-12 * on else 0.0


def _columns(table: Table) -> dict[str, Any]:
    return {key: value for key, value in table.to_dict().items() if key not in table.notes}


def _joules(value: float) -> str:
    return si(value, "J")
