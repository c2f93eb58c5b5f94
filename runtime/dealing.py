"""Weight-stationary scheduling: the tiles of a matrix are dealt to the cores, then all vectors stream.

A core that takes a tile is configured for it (unless it holds it already), streams every vector of the
batch, and takes the next tile. A tile's weights depend on no data: a core with one buffer is configured while the
step's inputs are still being computed, as late as possible; a core with two is configured as early as a buffer is
free, also while light runs through the other. Steps are dealt in program order; a step starts when its inputs are
there; independent steps share the cores. Host ops run one at a time. The loops of recurrent steps are dealt by
:mod:`.recurrent_dealing`, one setting a core at a time. Which core takes a tile: :mod:`.cores`; what no schedule can
beat: :mod:`.bounds`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bounds import bounds, gates_s, loop_tiles, lower_bound_s, naive_s
from .cores import Cores, columns
from .errors import InputError, complaint
from .latency import host_s, stream_s
from .products import factor_s
from .program import MatrixStep, ProductStep, ProgramBody, RecurrentStep
from .recurrent import windows
from .recurrent_dealing import Events, Host, Places, deal_loop
from .schedule import COLUMNS, EventKind, Schedule
from .walk import reads

__all__ = ["deal", "gates_s", "loop_tiles", "lower_bound_s"]


def deal(body: ProgramBody, batch: int) -> Schedule:
    """Schedule a program for a batch of samples on its target's cores.

    Args:
        body: the program; its ``costs`` say how many vectors and elements a sample asks of each step.
        batch: samples, at least 1.
    Returns: the schedule. The same arguments give the same schedule.
    Raises: InputError for a batch below 1.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(complaint("a schedule needs a batch", got=repr(batch), allowed="1 sample or more"))
    mesh = body.target.mesh
    cores = Cores(mesh.cores, body.target.timing.reconfigure_s, mesh.buffers)
    done: dict[str, float] = {}
    host = Host()
    parts: list[Events] = []
    banks = {name: index for index, name in enumerate(body.banks)}
    for index, step in enumerate(body.steps):
        ready = max((done.get(name, 0.0) for name in reads(step)), default=0.0)
        cost = body.costs[step.name]
        if isinstance(step, MatrixStep):
            vectors = batch * cost.vectors
            tiles = body.banks[step.bank].spec.tiles if vectors else 0
            events = cores.run(banks[step.bank], tiles, ready, stream_s(body.target_for(step.bank), vectors))
            events["vectors"] = np.where(events["kind"] == EventKind.STREAM, vectors, 0)
            done[step.name] = float(events["end_s"].max(initial=ready))
        elif isinstance(step, ProductStep):
            events, done[step.name] = _product(body, step, batch, ready, cores, host, banks[step.bank])
        elif isinstance(step, RecurrentStep):
            events, done[step.name] = _loop(body, step, batch, ready, cores, host, banks)
        else:
            seconds = host_s(body.target, batch * cost.macs, batch * cost.elements)
            start = host.append(ready, seconds)
            done[step.name] = start + seconds
            events = _event(EventKind.HOST, start, done[step.name])
        events["step"] = np.full(len(events["kind"]), index)
        parts.append(events)
    for part in parts:
        part.setdefault("first", np.zeros(len(part["kind"])))
    table: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]).astype(dtype) if parts else np.empty(0, dtype)
        for name, dtype in COLUMNS.items()
    }
    # Stable: events of one instant keep program order, in which a core's events never go backwards.
    order = np.argsort(table["start_s"], kind="stable")
    makespan = float(table["end_s"].max(initial=0.0))
    # The bounds are sums in another order: they may exceed an optimal makespan by rounding alone.
    found = {name: min(seconds, makespan) for name, seconds in bounds(body, batch).items()}
    return Schedule(
        steps=tuple(step.name for step in body.steps),
        batch=batch,
        makespan_s=makespan,
        lower_bound_s=max(found.values()),
        bounds=found,
        naive_s=naive_s(body, batch),
        buffers=mesh.buffers,
        **{name: column[order] for name, column in table.items()},
    )


def _product(
    body: ProgramBody, step: ProductStep, batch: int, ready_s: float, cores: Cores, host: Host, bank: int
) -> tuple[Events, float]:
    """The events of a product of two computed values: factorising on the host, then every sample's tiles, all new."""
    seconds = factor_s(body, step, batch)
    start = host.append(ready_s, seconds)
    vectors = body.costs[step.name].vectors
    tiles = batch * body.banks[step.bank].spec.tiles if vectors else 0
    factor = _event(EventKind.HOST, start, start + seconds)
    # weights that depend on data: no core can be configured before the host is done
    there = start + seconds
    events = cores.run(bank, tiles, there, stream_s(body.target_for(step.bank), vectors), weights_s=there)
    events["vectors"] = np.where(events["kind"] == EventKind.STREAM, vectors, 0)
    joined = {name: np.concatenate([factor[name], events[name]]) for name in events}
    return joined, float(joined["end_s"].max())


def _loop(
    body: ProgramBody,
    step: RecurrentStep,
    batch: int,
    ready_s: float,
    cores: Cores,
    host: Host,
    banks: dict[str, int],
) -> tuple[Events, float]:
    """The events of a recurrent step, and when it is done."""
    times, vectors = windows(body, step, batch)
    places = Places.of(loop_tiles(body, step), cores.count)
    table = np.concatenate([np.full(body.banks[name].spec.tiles, banks[name]) for name in step.banks])
    index = np.concatenate([np.arange(body.banks[name].spec.tiles) for name in step.banks])
    order, held = cores.places(table, index)
    free_s = cores.free_s
    parts, done = deal_loop(
        places,
        order,
        held,
        free_s,
        host,
        ready_s=ready_s,
        times=times,
        reconfigure_s=cores.reconfigure_s,
        stream_s=[stream_s(body.target_for(name), vectors) for name in step.banks],
        gates_s=gates_s(body, step, batch),
        event=columns,
    )
    nothing = columns(EventKind.STREAM, *(np.empty(0, np.int64),) * 2, *(np.empty(0),) * 2)
    events = {name: np.concatenate([nothing[name], *(part[name] for part in parts)]) for name in nothing}
    cores.looped(events, free_s, table, index)
    events["vectors"] = np.where(events["kind"] == EventKind.STREAM, vectors, 0)
    return events, done


def _event(kind: EventKind, start_s: float, end_s: float) -> Events:
    nowhere = np.array([-1])
    return {
        **columns(kind, nowhere, nowhere, np.array([start_s]), np.array([end_s])),
        "vectors": np.zeros(1),
    }
