"""What it takes to hold settings: watts of tiles, joules of a scheduled run.

A buffer is held from its first configuration to the end of the run, each tile in it from its configuration to the next
one. Where ``energy.phase_shifter_pi_w`` is given, a setting takes ``phi / pi`` of it: phi is the phase that the driver
really makes, in [0, 2 pi); an attenuator is an MZI that passes the amplitude ``a = cos(phi / 2)``. Settings that only a
run knows (products of computed values) count as :data:`MEAN_HALF_TURNS`. Else every setting takes
``energy.phase_shifter_hold_w``.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from ..banks import SIDES, bank_attenuation, bank_mesh, phase_words
from ..errors import InputError, complaint
from ..fixedpoint import phase_codes
from ..program import HostStep, ProgramBody, TileBank
from ..scheduling.buffers import UNKNOWN, bank_rows, held
from ..scheduling.schedule import EventKind, Schedule
from ..targets.schema import Target
from ..widths import settings_per_tile

MEAN_HALF_TURNS = 0.75
"""Mean phase over pi of settings that are not known: half of a mesh's phases are inner ones of MZIs, in 0 to pi, and
half outer ones, in 0 to 2 pi; taken as spread evenly."""

CHUNK_BYTES = 16 << 20

_half_turns: WeakKeyDictionary[TileBank, np.ndarray] = WeakKeyDictionary()


def setting_w(target: Target) -> float:
    """Mean watts of holding one setting."""
    energy = target.energy
    if energy.phase_shifter_pi_w is not None:
        return MEAN_HALF_TURNS * energy.phase_shifter_pi_w
    return energy.phase_shifter_hold_w or 0.0


def tile_watts(bank: TileBank, target: Target) -> np.ndarray:
    """Watts of holding each tile of a bank, float64 (T,).

    Raises InputError for a bank that holds no settings on a target that prices them as they are.
    """
    pi_w = target.energy.phase_shifter_pi_w
    if pi_w is None or bank.spec.dynamic:
        return np.full(bank.spec.tiles, settings_per_tile(bank.spec) * setting_w(target))
    return pi_w * half_turns(bank)


def half_turns(bank: TileBank) -> np.ndarray:
    """Phases of each tile's settings, added up and over pi: float64 (T,). Computed once for a bank."""
    if bank not in _half_turns:
        _half_turns[bank] = _added_up(bank)
    return _half_turns[bank]


def _added_up(bank: TileBank) -> np.ndarray:
    if "attenuation" not in bank.columns:
        raise InputError(
            complaint(
                "what settings take to hold is known only with the settings",
                where=bank.spec.name,
                got=f"columns {', '.join(sorted(bank.columns))}",
                next_step="compile the program, or give energy.phase_shifter_hold_w instead of phase_shifter_pi_w",
            )
        )
    spec, found = bank.spec, np.empty(bank.spec.tiles)
    width = 32 if spec.phase_bits is None else spec.phase_bits
    size = max(1, CHUNK_BYTES // (8 * bank_mesh(bank).phases))
    for first in range(0, spec.tiles, size):
        part = slice(first, min(first + size, spec.tiles))
        codes = [phase_codes(phase_words(bank, side, part), spec.phase_bits) for side in SIDES]
        phases = sum(code.sum(1, dtype=np.uint64) for code in codes) * (2 / 2.0**width)
        found[part] = phases + np.arccos(bank_attenuation(bank, tiles=part)).sum(1) * (2 / np.pi)
    return found


@dataclass(frozen=True)
class Hold:
    """Joules of holding settings over a run: of what each event uses, float64 (events,), and of the time between."""

    event_j: np.ndarray
    idle_j: float


def hold(body: ProgramBody, schedule: Schedule) -> Hold:
    """Joules of holding over a scheduled run.

    An event uses one buffer: a configuration the one it sets, a stream the one that the light goes through.

    Raises InputError for a program without settings on a target that prices them as they are.
    """
    used = {step.bank for step in body.steps if not isinstance(step, HostStep)}
    used |= {name for step in body.steps if not isinstance(step, HostStep) for name in step.banks}
    watts = {name: tile_watts(bank, body.target_for(name)) for name, bank in body.banks.items() if name in used}
    of_event = np.zeros(len(schedule))
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        if not isinstance(step, HostStep):
            for name, own, rows in bank_rows(body, schedule, step, events):
                of_event[own] = watts[name][rows]
    on_chip = (schedule.kind == EventKind.CONFIGURE) | (schedule.kind == EventKind.STREAM)
    event_j = np.where(on_chip, of_event * (schedule.end_s - schedule.start_s), 0.0)
    rows = held(body, schedule)
    before = rows.event < 0
    start = np.where(before, 0.0, schedule.start_s[rows.event]) if len(schedule) else np.zeros(len(rows))
    end = np.append(np.where(rows.follows[1:], start[1:], schedule.makespan_s), schedule.makespan_s)[: len(rows)]
    of_row = of_event[rows.event] if len(schedule) else np.zeros(len(rows))
    names = list(body.banks)
    for index in np.unique(rows.bank[before & (rows.tile > UNKNOWN)]).tolist():
        own = before & (rows.bank == index)
        name = names[index]
        of_row[own] = tile_watts(body.banks[name], body.target_for(name))[rows.tile[own]]
    on = float((of_row * (end - start)).sum())
    idle = on - float(event_j.sum())
    # rounding may leave a hair where buffers are never idle
    return Hold(event_j, idle if idle > 1e-12 * on else 0.0)
