"""How far phases move when cores are configured for one tile after another, and which settings change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..banks import SIDES, phase_words
from ..errors import InputError, complaint
from ..fixedpoint import attenuator_codes, phase_codes, realised_attenuation
from ..meshes import tile_mesh
from ..program import ProgramBody, TileBank
from ..scheduling.buffers import Held, held
from ..scheduling.schedule import Schedule
from ..widths import settings_per_tile

CHUNK_BYTES = 16 << 20
"""Phases that are unpacked at a time."""


@dataclass(frozen=True)
class Movement:
    """Of the configurations of a run, each core's (or buffer's) first one left out.

    ``travel_rad``: the ways of all phase shifters, each the shorter way round, added up; ``moved``: phase shifters
    whose driver code changes; ``phases``: phase shifters written.
    """

    travel_rad: float
    moved: int
    phases: int

    @property
    def mean_rad(self) -> float:
        """Way of one phase shifter in one configuration."""
        return self.travel_rad / self.phases if self.phases else 0.0


def movement(body: ProgramBody, schedule: Schedule) -> Movement:
    """How far the phases of both meshes move over a scheduled run.

    Tiles whose settings only a run knows are left out; a buffer then moves from the tile before to the one after.
    """
    rows = held(body, schedule)
    known = rows.tile >= 0
    rows = Held(rows.event[known], rows.lane[known], rows.bank[known], rows.tile[known])
    turns = 0.0
    moved = phases = 0
    for part in _chunks(body, rows):
        follows = rows.follows[part][1:]
        for side in SIDES:
            words = _words(body, rows, part, side)
            step = np.diff(words.astype(np.int64), axis=0)[follows] & 0xFFFFFFFF
            turns += float(np.minimum(step, (1 << 32) - step).sum()) / 2.0**32
            moved += int(_changes(_drawn(body, rows, part, words))[follows].sum())
            phases += step.size
    return Movement(2 * np.pi * turns, moved, phases)


def written(body: ProgramBody, schedule: Schedule) -> np.ndarray:
    """Settings that each configuration writes where only those are written whose driver code changes.

    The first configuration of a buffer writes all, and so do those to and from tiles that only a run knows. Settings
    are phase shifters and attenuators.

    Returns: int64 (events,), 0 for what is no configuration.
    Raises: InputError for a program whose banks hold no settings.
    """
    rows = held(body, schedule)
    known = rows.tile >= 0
    compared = rows.follows & known & np.append(False, known[:-1])
    found = np.full(len(rows), settings_per_tile(body.target.mesh), np.int64)
    for part in _chunks(body, rows):
        changed = _changes(_attenuations(body, rows, part))
        for side in SIDES:
            changed += _changes(_drawn(body, rows, part, _words(body, rows, part, side)))
        own = np.arange(part.start + 1, part.stop)
        own, changed = own[compared[own]], changed[compared[own]]
        found[own] = changed
    counts = np.zeros(len(schedule), np.int64)
    in_run = rows.event >= 0
    counts[rows.event[in_run]] = found[in_run]
    return counts


def chains(body: ProgramBody, schedule: Schedule) -> Iterator[np.ndarray]:
    """For every core the tiles that it is configured for, in order: int64 (configurations, 2), bank and table row.

    The buffers of a core are set in turn, each with its own phases: one chain each. Tiles whose settings only a run
    knows are left out.
    """
    rows = held(body, schedule)
    starts = np.flatnonzero(~rows.follows)
    for chain in np.split(np.stack([rows.bank, rows.tile], 1), starts[1:]):
        yield chain[chain[:, 1] >= 0]


def _chunks(body: ProgramBody, rows: Held) -> Iterator[slice]:
    """Runs of rows that overlap by one, the row that the next one is compared with."""
    phases = tile_mesh(body.target.mesh).phases
    size = max(1, CHUNK_BYTES // (8 * phases))
    for begin in range(0, len(rows) - 1, size):
        yield slice(begin, min(begin + size + 1, len(rows)))


def _words(body: ProgramBody, rows: Held, part: slice, side: str) -> np.ndarray:
    """Phase words of one side of some rows, uint32 (rows, phases); of unknown tiles zeros."""
    phases = tile_mesh(body.target.mesh).phases
    found = np.zeros((part.stop - part.start, phases), np.uint32)
    for bank, own, tiles in _by_bank(body, rows, part):
        words = phase_words(_with_settings(bank), side, tiles)
        if len(own) == len(found):
            return words
        found[own] = words
    return found


def _drawn(body: ProgramBody, rows: Held, part: slice, words: np.ndarray) -> np.ndarray:
    """What drivers make of phase words: those of their codes."""
    found = words.copy()
    for bank, own, _ in _by_bank(body, rows, part):
        bits = 32 if bank.spec.phase_bits is None else bank.spec.phase_bits
        if len(own) == len(found):
            return phase_codes(words, bits) << np.uint32(32 - bits)
        found[own] = phase_codes(words[own], bits) << np.uint32(32 - bits)
    return found


def _attenuations(body: ProgramBody, rows: Held, part: slice) -> np.ndarray:
    """Amplitudes that the attenuators of some rows pass, float64 (rows, n); of unknown tiles zeros."""
    found = np.zeros((part.stop - part.start, body.target.mesh.ports))
    for bank, own, tiles in _by_bank(body, rows, part):
        bits = bank.spec.attenuator_bits
        found[own] = realised_attenuation(
            attenuator_codes(_with_settings(bank).columns["attenuation"][tiles], bits), bits
        )
    return found


def _by_bank(body: ProgramBody, rows: Held, part: slice) -> Iterator[tuple[TileBank, np.ndarray, np.ndarray]]:
    """The banks of some rows: each with the places of its rows in the part, and their rows of its table."""
    banks = list(body.banks.values())
    bank = np.where(rows.tile[part] >= 0, rows.bank[part], -1)
    for index in np.unique(bank[bank >= 0]).tolist():
        own = np.flatnonzero(bank == index)
        yield banks[index], own, rows.tile[part][own]


def _with_settings(bank: TileBank) -> TileBank:
    """Raises InputError for a bank that has places in its grid and nothing else."""
    if "attenuation" not in bank.columns:
        raise InputError(
            complaint(
                "which settings change is known only with the settings",
                where=bank.spec.name,
                got=f"columns {', '.join(sorted(bank.columns))}",
                next_step='compile the program, or take a target with mesh.writes = "all"',
            )
        )
    return bank


def _changes(values: np.ndarray) -> np.ndarray:
    """Values of each row that differ from the row before, int64 (rows - 1,)."""
    return (values[1:] != values[:-1]).sum(1)
