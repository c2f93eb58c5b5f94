"""Energy of a scheduled run: a price list over its counts and times.

=================  ==========  =======  ===============================================================
item               part        kind     joules
=================  ==========  =======  ===============================================================
laser              optical     static   shots * window_s * ports * r * launch_power_w / wall_plug
local oscillator   optical     static   shots * window_s * ports * r * local_oscillator_w / wall_plug
hold               control     static   of every buffer's settings over time, :mod:`.holding`
electronics        control     static   core seconds * control_w
reconfigure        control     dynamic  phases_written * reconfigure_j_per_phase
calibration        control     dynamic  as given
dac                conversion  dynamic  dac_samples * energy of a sample, :mod:`.converters`
modulator          conversion  dynamic  dac_samples * modulator_j_per_sample
adc                conversion  dynamic  adc_samples * energy of a sample, :mod:`.converters`
receiver           detection   dynamic  adc_samples * detector_j_per_sample
memory             memory      dynamic  memory_bytes * memory_j_per_byte
local memory       memory      dynamic  local_bytes * local_j_per_byte
dram               memory      dynamic  dram_bytes * dram_j_per_byte
macs               host        dynamic  host_macs * host_j_per_mac
accumulate         host        dynamic  accumulations * host_j_per_op
ops                host        dynamic  host_elements * host_j_per_op
link               link        dynamic  link_bytes * j_per_byte
=================  ==========  =======  ===============================================================

r is the number of rails lit at once (2 for dual-port differential encoding). Static items are a power times a time,
dynamic ones an energy times a count. Lasers are on during windows: each of the ``encoding.lanes`` shots that share a
window has light of its own. A core holds its phases from its first configuration to the end of the run, and what it
holds between events is in the row ``idle``, like the electronics of cores that do nothing: these run from the beginning
to the end. A core with two buffers has two full sets of phase shifters: each is held, and paid for, from the first
configuration that goes into it, so that a core with both set draws the hold power twice. An event keeps one buffer busy
(a configuration the one it sets, a stream the one the light goes through); its core's electronics are paid once.
The counts are those of :mod:`.counts`. The form follows the usual accounting of photonic accelerators
(for example M. A. Nahmias et al., IEEE JSTQE 26, 7701518 (2020)): optical, conversion and control apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from ..errors import InputError, complaint
from ..program import HostStep, ProductStep, ProgramBody
from ..scheduling.latency import stream_s, vectors_per_s
from ..scheduling.schedule import EventKind, Schedule
from ..targets.schema import Target
from .converters import adc_sample_j, dac_sample_j
from .counts import Counts, configure_counts, settings_per_tile, step_counts, stream_counts
from .events import activity, own_configure_s
from .holding import hold, setting_w
from .ledger import IDLE, ITEMS, PARTS, EnergyReport, Ledger, on_grid

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


def price(
    target: Target,
    counts: Counts,
    hold_s: float = 0.0,
    *,
    hold_j: float | np.ndarray | None = None,
    control_s: float | np.ndarray = 0.0,
) -> dict[str, float]:
    """Joules of every item for some counts.

    Args:
        counts: numbers, or arrays of equal length for a price of each entry.
        hold_s: for holding one core's settings so long, each at its mean power; or ``hold_j``, the joules themselves.
        control_s: core seconds of the control electronics.
    """
    energy, detection, encoding, memory = target.energy, target.detection, target.encoding, target.memory
    lit = target.mesh.ports * (encoding.rails // encoding.shots)
    light_s = counts.shots * target.timing.window_s / energy.laser_wall_plug_efficiency
    oscillator_w = detection.local_oscillator_w if detection.kind == "coherent" else 0.0
    found = {
        "laser": light_s * lit * detection.launch_power_w,
        "local oscillator": light_s * lit * oscillator_w,
        "hold": hold_s * settings_per_tile(target.mesh) * setting_w(target) if hold_j is None else hold_j,
        "electronics": control_s * (energy.control_w or 0.0),
        "reconfigure": counts.phases_written * energy.reconfigure_j_per_phase,
        "calibration": 0.0,
        "dac": counts.dac_samples * dac_sample_j(target),
        "modulator": counts.dac_samples * energy.modulator_j_per_sample,
        "adc": counts.adc_samples * adc_sample_j(target),
        "receiver": counts.adc_samples * energy.detector_j_per_sample,
        "memory": counts.memory_bytes * energy.memory_j_per_byte,
        "local memory": counts.local_bytes * (memory.local_j_per_byte or 0.0),
        "dram": counts.dram_bytes * (memory.dram_j_per_byte or 0.0),
        "macs": counts.host_macs * energy.host_j_per_mac,
        "accumulate": counts.accumulations * energy.host_j_per_op,
        "ops": counts.host_elements * energy.host_j_per_op,
        "link": counts.link_bytes * (target.link.j_per_byte or 0.0),
    }
    return cast("dict[str, float]", found)


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
        configure: whether the tile is configured first, all its settings written (what it takes to hold it while
            settling counts too).
    """
    rows = target.mesh.ports if rows is None else rows
    cols = target.mesh.ports if cols is None else cols
    counts = stream_counts(target, vectors, vectors * rows, vectors * cols)
    seconds = stream_s(target, vectors)
    if configure:
        counts += configure_counts(target.mesh, 1)
        seconds += target.timing.reconfigure_s
    return price(target, counts, seconds, control_s=seconds)


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
    """Peak power of a target: the price of one vector through a full tile, on every core, over its time.

    All lanes are lit and all buffers held; settings take their mean power where they are priced as they are.
    """
    seconds = 1 / vectors_per_s(target)
    ports = target.mesh.ports
    items = price(target, stream_counts(target, 1, ports, ports), seconds * target.mesh.buffers, control_s=seconds)
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
    kept = hold(body, schedule)
    own_s = own_configure_s(schedule)
    light = schedule.kind == EventKind.STREAM
    light_s = np.where(light, schedule.end_s - schedule.start_s, 0.0)
    chips = [body.target if isinstance(step, HostStep) else body.target_for(step.bank) for step in body.steps]
    # joules of holding, and core seconds, by step: configurations, then streams
    hold_j = (_by_step(schedule, np.where(light, 0.0, kept.event_j)), _by_step(schedule, kept.event_j * light))
    core_s = (_by_step(schedule, own_s), _by_step(schedule, light_s))
    idle_s = max(body.target.mesh.cores * schedule.makespan_s - float(own_s.sum() + light_s.sum()), 0.0)
    tables: list[list[list[float]]] = [[], []]
    for index, (chip, step) in enumerate(zip(chips, found.values(), strict=True)):
        for table, counts, joules, seconds in zip(
            tables, (step.configuration, step.execution), hold_j, core_s, strict=True
        ):
            items = price(chip, counts, hold_j=joules[index], control_s=seconds[index])
            table.append(list(items.values()))
    tables[0].append([0.0] * len(ITEMS))
    tables[1].append(list(price(body.target, Counts(), hold_j=kept.idle_j, control_s=idle_s).values()))
    configuration, execution = on_grid(*(np.array(table, float) for table in tables))
    rows = (*found, IDLE)
    return EnergyReport(
        batch=schedule.batch,
        macs=sum(body.costs[step.name].macs for step in body.steps),
        makespan_s=schedule.makespan_s,
        execution=Ledger(rows, execution),
        configuration=Ledger(rows, configuration),
        reuse=reuse,
        resident=_stays(body, schedule),
        calibration_j=calibration_j,
        activity=activity(body, schedule, own_s),
    )


def _by_step(schedule: Schedule, values: np.ndarray) -> list[float]:
    """Sums of values of events, a step each."""
    return np.bincount(schedule.step, values, minlength=len(schedule.steps)).tolist()


def _stays(body: ProgramBody, schedule: Schedule) -> bool:
    """Whether the next run finds every setting in place: no buffer is set twice, and none with what data decide.

    A run that begins on what an earlier one left does so if it sets nothing.
    """
    sets = schedule.kind == EventKind.CONFIGURE
    if schedule.warm:
        return not sets.any()
    decided = [isinstance(step, ProductStep) for step in body.steps]
    if np.array(decided, bool)[schedule.step[sets]].any():
        return False
    return bool(np.bincount(schedule.core[sets], minlength=1).max() <= schedule.buffers)
