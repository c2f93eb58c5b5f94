"""How far phases move when cores are configured for one tile after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .banks import phase_words
from .fixedpoint import phase_codes
from .looping import bank_and_row
from .program import HostStep, ProductStep, ProgramBody, RecurrentStep
from .schedule import EventKind, Schedule

CHUNK = 256


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
    """How far the phases of both meshes move over a scheduled run."""
    names = list(body.banks)
    turns = 0.0
    moved = phases = 0
    for chain in chains(body, schedule):
        for begin in range(0, len(chain) - 1, CHUNK):
            part = chain[begin : begin + CHUNK + 1]
            for side in ("left", "right"):
                words = np.concatenate(
                    [phase_words(body.banks[names[bank]], side, slice(tile, tile + 1)) for bank, tile in part.tolist()]
                )
                step = np.diff(words.astype(np.int64), axis=0) & 0xFFFFFFFF
                turns += float(np.minimum(step, (1 << 32) - step).sum()) / 2.0**32
                moved += _changed(words, body.target.mesh.phase_bits)
                phases += step.size
    return Movement(2 * np.pi * turns, moved, phases)


def chains(body: ProgramBody, schedule: Schedule) -> Iterator[np.ndarray]:
    """For every core the tiles that it is configured for, in order: int64 (configurations, 2), bank and table row.

    The buffers of a core are set in turn, each with its own phases: one chain each. Tiles whose settings only a run
    knows are left out.
    """
    rows = np.flatnonzero(schedule.kind == EventKind.CONFIGURE)
    place = _tiles(body, schedule, rows)
    for core in np.unique(schedule.core[rows]):
        own = place[schedule.core[rows] == core]
        for buffer in range(schedule.buffers):
            chain = own[buffer :: schedule.buffers]
            yield chain[chain[:, 1] >= 0]


def _tiles(body: ProgramBody, schedule: Schedule, rows: np.ndarray) -> np.ndarray:
    """Bank and table row of configure events."""
    banks = {name: index for index, name in enumerate(body.banks)}
    found = np.stack([np.zeros(len(rows), np.int64), schedule.tile[rows].astype(np.int64)], 1)
    for index in np.unique(schedule.step[rows]):
        step = body.steps[int(index)]
        own = schedule.step[rows] == index
        if isinstance(step, RecurrentStep):
            pairs = [bank_and_row(body, step, int(tile)) for tile in found[own, 1]]
            found[own] = [(banks[name], row) for name, row in pairs]
        elif isinstance(step, ProductStep):
            found[own] = (banks[step.bank], -1)
        elif not isinstance(step, HostStep):
            found[own, 0] = banks[step.bank]
    return found


def _changed(words: np.ndarray, bits: int | None) -> int:
    """Codes that differ from row to row."""
    codes = phase_codes(words, bits)
    return int((codes[1:] != codes[:-1]).sum())
