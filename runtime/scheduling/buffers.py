"""What the buffers of the cores hold over a scheduled run: one row a configuration, buffer by buffer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..program import ChipStep, HostStep, ProductStep, ProgramBody
from .schedule import EventKind, Schedule

UNKNOWN = -1
"""Table row of a tile whose settings only a run knows."""


@dataclass(frozen=True)
class Held:
    """Settings in the buffers, in columns of K rows: buffer by buffer, and there in the order of the run.

    - ``event`` int64: the schedule's row that configures them; -1 where they are there when the run begins.
    - ``lane`` int64: the buffer, ``core * buffers + number``.
    - ``bank``, ``tile`` int64: number of the bank in ``body.banks``, and row of its table; tile :data:`UNKNOWN` for
      products of computed values.
    - ``follows`` bool: whether the row before is what the same buffer held before.
    """

    event: np.ndarray
    lane: np.ndarray
    bank: np.ndarray
    tile: np.ndarray

    @property
    def follows(self) -> np.ndarray:
        """Whether the row before is of the same buffer, bool (K,)."""
        return np.diff(self.lane, prepend=-1) == 0

    def __len__(self) -> int:
        return len(self.event)


def held(body: ProgramBody, schedule: Schedule) -> Held:
    """What the buffers hold over a run: a core's k-th configuration, earlier runs counted, goes into k mod buffers."""
    buffers = schedule.buffers
    rows = np.flatnonzero(schedule.kind == EventKind.CONFIGURE)
    core = schedule.core[rows].astype(np.int64)
    by_core = sorted_by(core)
    turn = np.empty(len(rows), np.int64)
    turn[by_core] = np.arange(len(rows)) - np.searchsorted(core[by_core], core[by_core])
    if len(schedule.turns):
        turn += schedule.turns[core]
    bank, tile = _places(body, schedule)
    there, number = np.nonzero(schedule.resident >= 0)
    before_bank, before_tile = _of_program(body, schedule.resident[there, number])
    event = np.concatenate([np.full(len(there), -1), rows])
    lane = np.concatenate([there * buffers + number, core * buffers + turn % buffers])
    order = sorted_by(lane)
    return Held(
        event[order],
        lane[order],
        np.concatenate([before_bank, bank[rows]])[order],
        np.concatenate([before_tile, tile[rows]])[order],
    )


def bank_rows(
    body: ProgramBody, schedule: Schedule, step: ChipStep, events: np.ndarray
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Of each bank of a step: its configurations and streams among ``events`` (E,), and their rows of its table.

    The tiles of a recurrent step are counted through its banks; those of a product from sample to sample.
    """
    events = events[schedule.kind[events] <= EventKind.STREAM]
    tile = schedule.tile[events].astype(np.int64)
    if len(step.banks) == 1:
        tiles = max(body.banks[step.bank].spec.tiles, 1)
        return [(step.bank, events, tile % tiles if isinstance(step, ProductStep) else tile)]
    found: list[tuple[str, np.ndarray, np.ndarray]] = []
    first = 0
    for name in step.banks:
        tiles = body.banks[name].spec.tiles
        own = (tile >= first) & (tile < first + tiles)
        found.append((name, events[own], tile[own] - first))
        first += tiles
    return found


def sorted_by(lane: np.ndarray) -> np.ndarray:
    """Rows in the order of small whole numbers, equal ones as they come: int64 (rows,)."""
    # numpy sorts 16-bit numbers by counting, in a tenth of the time
    small = len(lane) and lane.min() >= -(1 << 15) and lane.max() < 1 << 15
    return np.argsort(lane.astype(np.int16) if small else lane, kind="stable")


def _places(body: ProgramBody, schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """Bank and table row of every configuration and stream of a schedule; rows of products are unknown."""
    banks = {name: index for index, name in enumerate(body.banks)}
    bank, tile = np.full(len(schedule), UNKNOWN, np.int64), np.full(len(schedule), UNKNOWN, np.int64)
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        if isinstance(step, HostStep):
            continue
        for name, own, rows in bank_rows(body, schedule, step, events):
            bank[own] = banks[name]
            tile[own] = UNKNOWN if isinstance(step, ProductStep) else rows
    return bank, tile


def _of_program(body: ProgramBody, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bank and table row of tiles counted through all banks of a program."""
    first = np.cumsum([0, *(bank.spec.tiles for bank in body.banks.values())])
    bank = np.searchsorted(first, tiles, side="right") - 1
    return bank, tiles - first[bank]
