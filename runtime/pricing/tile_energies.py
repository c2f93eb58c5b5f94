"""Joules of every tile of a scheduled run: what configuring it and streaming through it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program import HostStep, ProgramBody
from ..scheduling.buffers import bank_rows
from ..scheduling.latency import spills
from ..scheduling.schedule import EventKind, Schedule
from .counts import active_cols, active_rows, chain_ends, configure_counts, dataflow_of, settings_written, stream_counts
from .energy import price
from .events import own_configure_s
from .holding import hold


def tile_energies(body: ProgramBody, schedule: Schedule) -> dict[str, np.ndarray]:
    """Joules of the tiles of each bank over a scheduled run, float64 (T,) by bank, both kinds of events together.

    Together they are the run's energy but for what belongs to no tile: idle cores, host ops, moves over the link, and
    the biases and gates behind a step's results. Of products of two computed values, a row has all samples' tiles.

    Raises InputError for a program without settings on a target that prices or writes them as they are.
    """
    kept = hold(body, schedule)
    light = schedule.kind == EventKind.STREAM
    core_s = own_configure_s(schedule) + np.where(light, schedule.end_s - schedule.start_s, 0.0)
    changes = settings_written(body, schedule)
    from_dram = spills(body)
    found = {name: np.zeros(bank.spec.tiles) for name, bank in body.banks.items()}
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        if isinstance(step, HostStep):
            continue
        dataflow = dataflow_of(schedule, step.name)
        for name, own, rows in bank_rows(body, schedule, step, events):
            bank, sent = body.banks[name], light[own]

            def of_tile(values: np.ndarray, rows: np.ndarray = rows, tiles: int = bank.spec.tiles) -> Any:
                return np.bincount(rows, values, minlength=tiles)

            written = None if changes is None else of_tile(changes[own])
            vectors = of_tile(np.where(sent, schedule.vectors[own], 0))
            configured = configure_counts(bank.spec, of_tile(~sent), written=written, from_dram=from_dram)
            target = body.target_for(name)
            streamed = stream_counts(
                target,
                vectors,
                vectors * active_rows(bank),
                vectors * active_cols(bank),
                dataflow,
                vectors * chain_ends(bank, dataflow),
            )
            items = price(
                target, configured + streamed, hold_j=of_tile(kept.event_j[own]), control_s=of_tile(core_s[own])
            )
            found[name] += sum(items.values())
    return found
