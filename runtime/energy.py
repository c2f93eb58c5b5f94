"""Energy of a scheduled run: a price list over its counts and times.

=================  ==========  =======  ===============================================================
item               part        kind     joules
=================  ==========  =======  ===============================================================
laser              optical     static   shots * window_s * ports * r * launch_power_w / wall_plug
local oscillator   optical     static   shots * window_s * ports * r * local_oscillator_w / wall_plug
hold               control     static   core seconds * settings * phase_shifter_hold_w
reconfigure        control     dynamic  phases_written * reconfigure_j_per_phase
calibration        control     dynamic  as given
dac                conversion  dynamic  dac_samples * energy of a sample, :mod:`.converters`
modulator          conversion  dynamic  dac_samples * modulator_j_per_sample
adc                conversion  dynamic  adc_samples * energy of a sample, :mod:`.converters`
receiver           detection   dynamic  adc_samples * detector_j_per_sample
memory             memory      dynamic  memory_bytes * memory_j_per_byte
macs               host        dynamic  host_macs * host_j_per_mac
ops                host        dynamic  (accumulations + host_elements) * host_j_per_op
=================  ==========  =======  ===============================================================

r is the number of rails lit at once (2 for dual-port differential encoding). Static items are a power
times a time, dynamic ones an energy times a count. Lasers are on during windows; a core holds its phases
from its first configuration to the end of the run, and what it holds between events is the row ``idle``.
A core with two buffers has two full sets of phase shifters: each is held, and paid for, from the first configuration
that goes into it, so that a core with both set draws the hold power twice, and "core seconds" are those of its
buffers. An event keeps one buffer busy (a configuration the one it sets, a stream the one the light goes through).
The counts are those of :mod:`.counts`. The form follows the usual accounting of photonic accelerators
(for example M. A. Nahmias et al., IEEE JSTQE 26, 7701518 (2020)): optical, conversion and control apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .converters import adc_sample_j, dac_sample_j
from .counts import Counts, configure_counts, settings_per_tile, step_counts, stream_counts
from .errors import InputError, complaint
from .latency import stream_s
from .ledger import IDLE, ITEMS, PARTS, EnergyReport, Ledger, on_grid
from .program import HostStep, ProgramBody
from .schedule import EventKind, Schedule
from .targets.schema import Target

__all__ = [
    "IDLE",
    "ITEMS",
    "PARTS",
    "EnergyReport",
    "Ledger",
    "PeakPower",
    "energy",
    "peak_power",
    "price",
    "tile_energy",
]


def price(target: Target, counts: Counts, hold_s: float = 0.0) -> dict[str, float]:
    """Joules of every item for some counts, and for holding one core's settings for ``hold_s``."""
    energy, detection, encoding = target.energy, target.detection, target.encoding
    lit = target.mesh.ports * (encoding.rails // encoding.shots)
    light_s = counts.shots * target.timing.window_s / energy.laser_wall_plug_efficiency
    oscillator_w = detection.local_oscillator_w if detection.kind == "coherent" else 0.0
    return {
        "laser": light_s * lit * detection.launch_power_w,
        "local oscillator": light_s * lit * oscillator_w,
        "hold": hold_s * settings_per_tile(target.mesh) * (energy.phase_shifter_hold_w or 0.0),
        "reconfigure": counts.phases_written * energy.reconfigure_j_per_phase,
        "calibration": 0.0,
        "dac": counts.dac_samples * dac_sample_j(target),
        "modulator": counts.dac_samples * energy.modulator_j_per_sample,
        "adc": counts.adc_samples * adc_sample_j(target),
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
    chips = [body.target if isinstance(s, HostStep) else body.target_for(s.bank) for s in body.steps]
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
        resident=bool(per_core.max() <= schedule.buffers),
        calibration_j=calibration_j,
    )


def _idle_s(schedule: Schedule) -> float:
    """Core seconds between a core's first configuration and the end of the run in which it does nothing.

    With several buffers: of every buffer, from its own first configuration on.
    """
    chip = schedule.core >= 0
    rows = np.flatnonzero(schedule.kind == EventKind.CONFIGURE)
    rows = rows[np.argsort(schedule.core[rows], kind="stable")]
    cores, first = np.unique(schedule.core[rows], return_index=True)
    last = np.append(first[1:], len(rows))
    # a core's k-th configuration goes into buffer k mod buffers
    heads = [first[first + turn < last] + turn for turn in range(schedule.buffers)]
    on = math.fsum(schedule.makespan_s - schedule.start_s[rows[np.concatenate(heads)]]) if len(cores) else 0.0
    busy = math.fsum(schedule.end_s[chip] - schedule.start_s[chip])
    # Rounding may leave a hair below zero where cores are never idle.
    return max(on - busy, 0.0) if on - busy > 1e-12 * on else 0.0
