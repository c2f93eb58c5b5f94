"""What no schedule of a program can beat, and what the simplest one takes.

All bounds hold for every weight-stationary schedule that obeys :mod:`.schedule_check`, also for better ones than
:mod:`.dealing` finds. C cores, B buffers a core, r seconds a configuration; a step has T tiles of S seconds a stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .latency import host_s, stream_s
from .moves import loop_move_s
from .products import factor_s
from .program import HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep, Step
from .recurrent import windows
from .walk import reads

STEPS = 4096
"""Steps up to which work is also bounded before every step, not only over the whole program: n^2 bits of memory."""


def loop_tiles(body: ProgramBody, step: RecurrentStep) -> tuple[int, ...]:
    """Tiles of the phases of a recurrent step's time steps: of the hidden matrix, then of the projection."""
    return tuple(body.banks[name].spec.tiles for name in step.banks)


def gates_s(body: ProgramBody, step: RecurrentStep, batch: int) -> float:
    """Seconds of the gates of one time step of a batch: on the host, and over the link to its matrices and back."""
    times, _ = windows(body, step, batch)
    if not times:
        return 0.0
    return host_s(body.target, 0, batch * body.costs[step.name].elements // times) + loop_move_s(body, step, batch)


def lower_bound_s(body: ProgramBody, batch: int) -> float:
    """The largest of :func:`bounds`."""
    return max(bounds(body, batch).values())


def bounds(body: ProgramBody, batch: int) -> dict[str, float]:
    """Seconds that no schedule can beat, by what they count:

    - ``core time``: all streams, shared evenly by the cores, after a first configuration; with one buffer the first
      configuration of every tile as well.
    - ``reconfiguration``: some core is configured for at least ``ceil(tiles / C)`` tiles in turn, and streams the last.
    - ``host``: all host ops, one after the other.
    - ``critical path``: the longest path through the steps. A matrix step takes on some core at least
      ``k = ceil(T / C)`` streams, of which B may be configured before its inputs are there: ``k S + (k - 1) r`` with
      one buffer, ``min(k, B) S + max(k - B, 0) max(S, r)`` with more. A product's tiles all wait for the host to
      factorise. A recurrent step takes this at every time step, and the gates. And between the moment that the inputs
      of a step can be there and the end of any later step on the path lies all the work of the steps between: their
      streams, the configurations of their tiles but for the B C that the cores can hold before, their host ops.
    """
    work = _all_work(body, batch)
    cores, reconfigure = body.target.mesh.cores, body.target.timing.reconfigure_s
    buffers = body.target.mesh.buffers
    tiles = sum(item.static + item.dynamic for item in work)
    light = math.fsum(item.light_s for item in work)
    first = reconfigure if light else 0.0
    core = (light + tiles * reconfigure) / cores if buffers == 1 else first + light / cores
    streams = [item.shortest_s for item in work if item.static + item.dynamic]
    return {
        "core time": core,
        "reconfiguration": -(-tiles // cores) * reconfigure + min(streams, default=0.0),
        "critical path": _path(body, work),
        "host": math.fsum(item.host_s for item in work),
    }


def naive_s(body: ProgramBody, batch: int) -> float:
    """Seconds of the simplest schedule: one core with one setting, every tile configured and then streamed, step by
    step and, in recurrent steps, time step by time step; the host's ops between."""
    reconfigure = body.target.timing.reconfigure_s
    seconds: list[float] = []
    for step in body.steps:
        cost = body.costs[step.name]
        if isinstance(step, MatrixStep):
            vectors = batch * cost.vectors
            tiles = body.banks[step.bank].spec.tiles if vectors else 0
            seconds.append(tiles * (reconfigure + stream_s(body.target_for(step.bank), vectors)))
        elif isinstance(step, ProductStep):
            tiles = batch * body.banks[step.bank].spec.tiles if cost.vectors else 0
            seconds.append(factor_s(body, step, batch))
            seconds.append(tiles * (reconfigure + stream_s(body.target_for(step.bank), cost.vectors)))
        elif isinstance(step, RecurrentStep):
            times, vectors = windows(body, step, batch)
            for name, tiles in zip(step.banks, loop_tiles(body, step), strict=True):
                seconds.append(times * tiles * (reconfigure + stream_s(body.target_for(name), vectors)))
            seconds.append(times * gates_s(body, step, batch))
        else:
            seconds.append(host_s(body.target, batch * cost.macs, batch * cost.elements))
    return math.fsum(seconds)


@dataclass(frozen=True, slots=True)
class _Work:
    """What a step asks for.

    ``light_s``: all its streams; ``shortest_s``: one of them; ``static``: tiles that must be configured once, at any
    time; ``dynamic``: configurations that must come after its inputs; ``host_s``: of the host; ``factor_s``: the part
    of it that no stream can begin before; ``path_s``: from its inputs, or its factors, to its end.
    """

    light_s: float = 0.0
    shortest_s: float = 0.0
    static: int = 0
    dynamic: int = 0
    host_s: float = 0.0
    factor_s: float = 0.0
    path_s: float = 0.0


def _all_work(body: ProgramBody, batch: int) -> list[_Work]:
    """The work of every step."""
    seen: set[str] = set()  # banks whose tiles an earlier step may have left on the cores
    found: list[_Work] = []
    for step in body.steps:
        found.append(_work(body, step, batch, seen))
        if not isinstance(step, HostStep) and found[-1].light_s:
            seen.update(step.banks)
    return found


def _work(body: ProgramBody, step: Step, batch: int, seen: set[str]) -> _Work:
    cost = body.costs[step.name]
    mesh, reconfigure = body.target.mesh, body.target.timing.reconfigure_s
    if isinstance(step, MatrixStep):
        vectors = batch * cost.vectors
        tiles = body.banks[step.bank].spec.tiles if vectors else 0
        if not tiles:
            return _Work()
        stream = stream_s(body.target_for(step.bank), vectors)
        static = 0 if step.bank in seen else tiles
        return _Work(tiles * stream, stream, static, path_s=_rounds(body, tiles, stream))
    if isinstance(step, ProductStep):
        factor = factor_s(body, step, batch)
        tiles = batch * body.banks[step.bank].spec.tiles if cost.vectors else 0
        stream = stream_s(body.target_for(step.bank), cost.vectors)
        rounds = -(-tiles // mesh.cores)
        period = stream + reconfigure if mesh.buffers == 1 else max(stream, reconfigure)
        path = reconfigure + stream + (rounds - 1) * period if tiles else 0.0
        return _Work(tiles * stream, stream, 0, tiles, factor, factor, path)
    if isinstance(step, RecurrentStep):
        times, vectors = windows(body, step, batch)
        gates = gates_s(body, step, batch)
        counts = loop_tiles(body, step)
        if not times:
            return _Work()
        streams = [stream_s(body.target_for(name), vectors) for name in step.banks]
        pairs = list(zip(counts, streams, strict=True))
        period = gates + sum(_rounds(body, tiles, stream) for tiles, stream in pairs)
        static = sum(tiles for name, tiles in zip(step.banks, counts, strict=True) if name not in seen)
        short = max(sum(counts) - mesh.buffers * mesh.cores, 0)  # tiles that cannot stay from step to step
        light = times * sum(tiles * stream for tiles, stream in pairs)
        shortest = min((stream for tiles, stream in pairs if tiles), default=0.0)
        return _Work(light, shortest, static, (times - 1) * short, times * gates, 0.0, times * period)
    seconds = host_s(body.target, batch * cost.macs, batch * cost.elements)
    return _Work(host_s=seconds, path_s=seconds)


def _rounds(body: ProgramBody, tiles: int, stream: float) -> float:
    """Seconds that ``tiles`` streams take on the core that has the most of them, those that it can hold configured."""
    mesh, reconfigure = body.target.mesh, body.target.timing.reconfigure_s
    rounds = -(-tiles // mesh.cores)
    if mesh.buffers == 1:
        return rounds * stream + max(rounds - 1, 0) * reconfigure
    return min(rounds, mesh.buffers) * stream + max(rounds - mesh.buffers, 0) * max(stream, reconfigure)


def _path(body: ProgramBody, work: list[_Work]) -> float:
    """The critical path, see :func:`bounds`."""
    mesh, reconfigure = body.target.mesh, body.target.timing.reconfigure_s
    count = len(work)
    within = count <= STEPS
    place = {step.name: index for index, step in enumerate(body.steps)}
    before = np.zeros((count, count) if within else (0, 0), bool)  # [j, i]: step i is j or comes before it
    start = np.zeros(count)  # when its streams or its host op can begin at the earliest
    asked = np.zeros(count)  # when its inputs can be there
    end = np.zeros(count)
    table = _Table.of(work, mesh.cores, mesh.buffers, reconfigure)
    for index, (step, item) in enumerate(zip(body.steps, work, strict=True)):
        sources = [place[name] for name in reads(step) if name in place]
        asked[index] = max((end[source] for source in sources), default=0.0)
        if within and sources:
            before[index] = before[sources].any(0)
            if len(sources) > 1:  # branches that meet here share the cores
                asked[index] = max(asked[index], table.end_s(np.flatnonzero(before[index]), start, asked))
        start[index] = asked[index] + item.factor_s
        if item.static and not item.dynamic:
            start[index] = max(start[index], reconfigure)
        end[index] = start[index] + item.path_s
        if within:
            before[index, index] = True
            if item.path_s:
                end[index] = max(end[index], table.end_s(np.flatnonzero(before[index]), start, asked))
    everything = np.arange(count)
    return max(float(end.max(initial=0.0)), table.end_s(everything, start, asked) if count else 0.0)


@dataclass(frozen=True)
class _Table:
    """Work by step, in columns: see :class:`_Work`."""

    cores: int
    buffers: int
    reconfigure_s: float
    light_s: np.ndarray
    shortest_s: np.ndarray
    static: np.ndarray
    dynamic: np.ndarray
    host_s: np.ndarray

    @classmethod
    def of(cls, work: list[_Work], cores: int, buffers: int, reconfigure_s: float) -> _Table:
        names = ("light_s", "shortest_s", "static", "dynamic", "host_s")
        found = {name: np.array([getattr(item, name) for item in work]) for name in names}
        return cls(cores, buffers, reconfigure_s, **found)

    def end_s(self, steps: np.ndarray, start_s: np.ndarray, asked_s: np.ndarray) -> float:
        """When ``steps`` (K,) can all be done, given when each can start (its host ops: when its inputs are there)."""
        host = steps[self.host_s[steps] > 0]
        host = host[np.argsort(-asked_s[host], kind="stable")]
        found = float((asked_s[host] + np.cumsum(self.host_s[host])).max(initial=0.0))
        chip = steps[self.light_s[steps] > 0]
        if not len(chip):
            return found
        # from the latest on: what can only begin then lies between then and the end
        chip = chip[np.argsort(-start_s[chip], kind="stable")]
        since, light = start_s[chip], np.cumsum(self.light_s[chip])
        shortest = np.minimum.accumulate(self.shortest_s[chip])
        static, dynamic = np.cumsum(self.static[chip]), np.cumsum(self.dynamic[chip])
        late = np.maximum(static - self.buffers * self.cores, 0)  # configurations that must begin after `since`
        after = late + dynamic
        turns = -(-after // self.cores)
        # a core whose buffers are all set must stream a tile before it is configured anew
        wait = np.where(late > 0, np.minimum(shortest, self.reconfigure_s), 0.0)
        settings = np.where(turns > 0, wait + turns * self.reconfigure_s + shortest, 0.0)
        both = light + after * self.reconfigure_s if self.buffers == 1 else light
        whole = -(-int(static[-1] + dynamic[-1]) // self.cores) * self.reconfigure_s
        return max(
            found,
            float((since + np.maximum(settings, both / self.cores)).max()),
            whole + float(shortest[-1]) if whole else 0.0,
        )
