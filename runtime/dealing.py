"""Weight-stationary scheduling: the tiles of a matrix are dealt to the cores, then all vectors stream.

A core that takes a tile is configured for it (unless it holds it already), streams every vector of the
batch, and takes the next tile. A tile's weights depend on no data, so a core may be configured while the
step's inputs are still being computed, as late as possible. Steps are dealt in program order; a step
starts when its inputs are there; independent steps share the cores. Host ops run one at a time. The loops of
recurrent steps are dealt by :mod:`.recurrent_dealing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .errors import InputError, complaint
from .latency import host_s, stream_s
from .products import factor_s
from .program import MatrixStep, ProductStep, ProgramBody, RecurrentStep
from .recurrent import windows
from .recurrent_dealing import Events, Host, Places, deal_loop
from .schedule import COLUMNS, EventKind, Schedule
from .walk import reads


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
    cores = _Cores(body.target.mesh.cores, body.target.timing.reconfigure_s)
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
    columns = {
        name: np.concatenate([part[name] for part in parts]).astype(dtype) if parts else np.empty(0, dtype)
        for name, dtype in COLUMNS.items()
    }
    # Stable: events of one instant keep program order, in which a core's events never go backwards.
    order = np.argsort(columns["start_s"], kind="stable")
    makespan = float(columns["end_s"].max(initial=0.0))
    return Schedule(
        steps=tuple(step.name for step in body.steps),
        batch=batch,
        makespan_s=makespan,
        # The bound is a sum in another order: it may exceed an optimal makespan by rounding alone.
        lower_bound_s=min(lower_bound_s(body, batch), makespan),
        **{name: column[order] for name, column in columns.items()},
    )


def _product(
    body: ProgramBody, step: ProductStep, batch: int, ready_s: float, cores: _Cores, host: Host, bank: int
) -> tuple[Events, float]:
    """The events of a product of two computed values: factorising on the host, then every sample's tiles, all new."""
    seconds = factor_s(body, step, batch)
    start = host.append(ready_s, seconds)
    vectors = body.costs[step.name].vectors
    tiles = batch * body.banks[step.bank].spec.tiles if vectors else 0
    factor = _event(EventKind.HOST, start, start + seconds)
    # weights that depend on data: no core can be configured before the host is done
    configured = start + seconds + cores.reconfigure_s
    events = cores.run(bank, tiles, configured, stream_s(body.target_for(step.bank), vectors), fresh=True)
    events["vectors"] = np.where(events["kind"] == EventKind.STREAM, vectors, 0)
    joined = {name: np.concatenate([factor[name], events[name]]) for name in events}
    return joined, float(joined["end_s"].max())


def _loop(
    body: ProgramBody,
    step: RecurrentStep,
    batch: int,
    ready_s: float,
    cores: _Cores,
    host: Host,
    banks: dict[str, int],
) -> tuple[Events, float]:
    """The events of a recurrent step, and when it is done."""
    times, vectors = windows(body, step, batch)
    places = Places.of(loop_tiles(body, step), cores.count)
    table = np.concatenate([np.full(body.banks[name].spec.tiles, banks[name]) for name in step.banks])
    index = np.concatenate([np.arange(body.banks[name].spec.tiles) for name in step.banks])
    order, held = cores.places(table, index)
    parts, done = deal_loop(
        places,
        order,
        held,
        cores.free_s,
        host,
        ready_s=ready_s,
        times=times,
        reconfigure_s=cores.reconfigure_s,
        stream_s=[stream_s(body.target_for(name), vectors) for name in step.banks],
        gates_s=gates_s(body, step, batch),
        event=_columns,
    )
    keeps = held >= 0
    cores.bank[order[keeps]], cores.tile[order[keeps]] = table[held[keeps]], index[held[keeps]]
    nothing = _columns(EventKind.STREAM, *(np.empty(0, np.int64),) * 2, *(np.empty(0),) * 2)
    events = {name: np.concatenate([nothing[name], *(part[name] for part in parts)]) for name in nothing}
    events["vectors"] = np.where(events["kind"] == EventKind.STREAM, vectors, 0)
    return events, done


def loop_tiles(body: ProgramBody, step: RecurrentStep) -> tuple[int, ...]:
    """Tiles of the phases of a recurrent step's time steps: of the hidden matrix, then of the projection."""
    return tuple(body.banks[name].spec.tiles for name in step.banks)


def gates_s(body: ProgramBody, step: RecurrentStep, batch: int) -> float:
    """Seconds that the host takes for the gates of one time step of a batch."""
    times, _ = windows(body, step, batch)
    return host_s(body.target, 0, batch * body.costs[step.name].elements // times) if times else 0.0


def lower_bound_s(body: ProgramBody, batch: int) -> float:
    """Time that no weight-stationary schedule on this chip can beat: the largest of

    - the critical path, where a matrix of T tiles on C cores takes at least ``ceil(T / C)`` streams and
      the configurations between them on some core, and the first stream waits for a configuration; a
      recurrent step takes this for each of its matrices and the gates at every time step, and a product of two
      computed values, whose tiles all wait for it, the factorisations;
    - all streams and the first configuration of every tile, shared evenly by the cores;
    - all host ops, one after the other.
    """
    mesh, reconfigure = body.target.mesh, body.target.timing.reconfigure_s
    done: dict[str, float] = {}
    chip = host = 0.0
    seen: set[str] = set()
    for step in body.steps:
        ready = max((done.get(name, 0.0) for name in reads(step)), default=0.0)
        cost = body.costs[step.name]
        if isinstance(step, MatrixStep):
            tiles = body.banks[step.bank].spec.tiles if batch * cost.vectors else 0
            if tiles:
                stream = stream_s(body.target_for(step.bank), batch * cost.vectors)
                rounds = -(-tiles // mesh.cores)
                ready = max(ready, reconfigure) + rounds * stream + (rounds - 1) * reconfigure
                chip += tiles * stream + (0.0 if step.bank in seen else tiles * reconfigure)
                seen.add(step.bank)
            done[step.name] = ready
        elif isinstance(step, ProductStep):
            factor = factor_s(body, step, batch)
            host += factor
            tiles = batch * body.banks[step.bank].spec.tiles if cost.vectors else 0
            period = stream_s(body.target_for(step.bank), cost.vectors) + reconfigure
            chip += tiles * period
            done[step.name] = ready + factor + -(-tiles // mesh.cores) * period
        elif isinstance(step, RecurrentStep):
            times, vectors = windows(body, step, batch)
            gates = gates_s(body, step, batch)
            period = gates
            for name, tiles in zip(step.banks, loop_tiles(body, step), strict=True):
                stream = stream_s(body.target_for(name), vectors)
                rounds = -(-tiles // mesh.cores)
                period += rounds * stream + max(rounds - 1, 0) * reconfigure
                chip += times * tiles * stream + (0.0 if name in seen or not times else tiles * reconfigure)
                seen.add(name)
            short = max(sum(loop_tiles(body, step)) - mesh.cores, 0)  # tiles that cannot stay from step to step
            chip += max(times - 1, 0) * short * reconfigure
            hidden = body.banks[step.bank].spec.tiles
            done[step.name] = (max(ready, reconfigure) if hidden and times else ready) + times * period
            host += times * gates
        else:
            seconds = host_s(body.target, batch * cost.macs, batch * cost.elements)
            host += seconds
            done[step.name] = ready + seconds
    return max(max(done.values(), default=0.0), chip / mesh.cores, host)


@dataclass
class _Cores:
    """The cores while they are dealt to: when each is free, and which tile it holds."""

    count: int
    reconfigure_s: float
    free_s: np.ndarray = field(init=False)
    bank: np.ndarray = field(init=False)
    tile: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.free_s = np.zeros(self.count)
        self.bank = np.full(self.count, -1)
        self.tile = np.full(self.count, -1)

    def places(self, bank: np.ndarray, tile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cores that a loop's tiles (K,) are dealt to in turn, the earliest free first, and what each holds.

        With a core for every tile, a core that holds one of them keeps it. Returns (order, held), see
        :func:`.recurrent_dealing.deal_loop`.
        """
        order = np.argsort(self.free_s, kind="stable")
        held = np.full(self.count, -1)
        if len(tile) > self.count:
            return order, held
        for place, (wanted, row) in enumerate(zip(bank.tolist(), tile.tolist(), strict=True)):
            holders = np.flatnonzero((self.bank == wanted) & (self.tile == row))
            if len(holders):
                here = int(np.flatnonzero(order == holders[0])[0])
                # an earlier tile keeps its holder: places before this one are settled
                if here >= place:
                    order[place], order[here] = order[here], order[place]
                    held[place] = place
        return order, held

    def run(self, bank: int, tiles: int, ready_s: float, stream_s: float, *, fresh: bool = False) -> Events:
        """Deal a bank's tiles: those that a core holds stay on it, the others go where they start first.

        ``fresh``: the tiles hold new weights, whatever a core holds.
        """
        known = tiles and not fresh
        holders = np.flatnonzero((self.bank == bank) & (self.tile < tiles)) if known else np.empty(0, np.int64)
        kept = self.tile[holders]
        start = np.maximum(self.free_s[holders], ready_s)
        self.free_s[holders] = start + stream_s
        held = _columns(EventKind.STREAM, kept, holders, start, start + stream_s)

        rest = np.ones(tiles, bool)
        rest[kept] = False
        todo = np.flatnonzero(rest)
        if not len(todo):
            return held
        period = self.reconfigure_s + stream_s
        first = np.maximum(self.free_s, ready_s - self.reconfigure_s)
        core, turn = _slots(first, period, len(todo))
        begin = first[core] + turn * period
        end = first[core] + (turn + 1) * period
        configured = begin + self.reconfigure_s
        # Rounding may put `configured` a hair before the inputs are there.
        configure = _columns(EventKind.CONFIGURE, todo, core, begin, configured)
        stream = _columns(EventKind.STREAM, todo, core, np.maximum(configured, ready_s), end)
        # Slots come in start order, so the last writer of a core is its last tile.
        self.free_s[core], self.bank[core], self.tile[core] = end, bank, todo
        pairs = {name: np.stack([configure[name], stream[name]], 1).ravel() for name in configure}
        return {name: np.concatenate([held[name], pairs[name]]) for name in held}


def _slots(first: np.ndarray, period: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` earliest slots of cores that are free from ``first`` and take a job every ``period``.

    Returns (core, turn), in order of start, ties to the lower core.
    """
    if period <= 0:
        index = np.arange(count)
        return index % len(first), index // len(first)
    low, high = float(first.min()), float(first.min()) + count * period
    # Bisect the level that `count` slots start below: cores that are busy until later take none.
    for _ in range(60):
        level = (low + high) / 2
        enough = np.floor((level - first[first <= level]) / period + 1).sum() >= count
        low, high = (low, level) if enough else (level, high)
    turns = np.clip(np.floor((high - first) / period) + 2, 0, count).astype(np.int64)
    core = np.repeat(np.arange(len(first)), turns)
    turn = np.arange(len(core)) - np.repeat(np.cumsum(turns) - turns, turns)
    order = np.lexsort((core, first[core] + turn * period))[:count]
    return core[order], turn[order]


def _columns(kind: EventKind, tile: np.ndarray, core: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> Events:
    return {
        "kind": np.full(len(tile), kind),
        "tile": tile,
        "core": core,
        "start_s": start_s,
        "end_s": end_s,
    }


def _event(kind: EventKind, start_s: float, end_s: float) -> Events:
    nowhere = np.array([-1])
    return {
        **_columns(kind, nowhere, nowhere, np.array([start_s]), np.array([end_s])),
        "vectors": np.array([0]),
    }
