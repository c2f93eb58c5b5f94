"""What every step of a program asks of cores, host and link: the terms of :mod:`.bounds` and :mod:`.critical_path`.

C cores, B buffers a core, r seconds of the shortest configuration. A step has T tiles, V vectors go through each of
them, S seconds as one stream, p seconds for a single vector.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..program import MatrixStep, ProductStep, ProgramBody, RecurrentStep, Step
from ..recurrent import windows
from ..targets.schema import Target
from .latency import configure_s, factor_s, host_s, move_s, stream_s, vector_bytes
from .moves import loop_move_s, moves

GRID = 16
"""Numbers of copies, between none and one for each core, for which a step's time is bounded apart."""


def loop_tiles(body: ProgramBody, step: RecurrentStep) -> tuple[int, ...]:
    """Tiles of the phases of a recurrent step's time steps: of the hidden matrix, then of the projection."""
    return tuple(body.banks[name].spec.tiles for name in step.banks)


def gates_s(body: ProgramBody, step: RecurrentStep, batch: int) -> float:
    """Seconds of the gates of one time step of a batch: on the host, and over the link to its matrices and back."""
    times, _ = windows(body, step, batch)
    if not times:
        return 0.0
    return host_s(body.target, 0, batch * body.costs[step.name].elements // times) + loop_move_s(body, step, batch)


@dataclass(frozen=True)
class Held:
    """What the cores hold when a run begins, by bank: different tiles, and buffers that hold one of them.

    ``cold``: no core has been configured before.
    """

    tiles: dict[str, int] = field(default_factory=dict[str, int])
    buffers: dict[str, int] = field(default_factory=dict[str, int])
    cold: bool = True

    @classmethod
    def of(cls, body: ProgramBody, resident: np.ndarray | None, turns: np.ndarray | None) -> Held:
        """From the arrays of :class:`.schedule.Schedule`, empty or None for a cold start."""
        if resident is None or turns is None or not turns.any():
            return cls()
        tiles: dict[str, int] = {}
        buffers: dict[str, int] = {}
        first = 0
        for name, bank in body.banks.items():
            own = resident[(resident >= first) & (resident < first + bank.spec.tiles)]
            tiles[name], buffers[name] = len(np.unique(own)), len(own)
            first += bank.spec.tiles
        return cls(tiles, buffers, False)


@dataclass(frozen=True, slots=True)
class Option:
    """A way to hold a step's tiles: configurations beyond the fewest, and the least seconds that its streams take."""

    copies: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """What a step asks for.

    ``light_s``: all its streams; ``window_s``, ``memory_s``: what they would take if only the light, or only the
    memory, kept them; ``stream_s``: the shortest whole one of them; ``shortest_s``: the shortest piece of one;
    ``static``: tiles that must be configured once, at any time; ``whole``: whether these are all of its tiles;
    ``dynamic``: configurations that must come after its inputs; ``host_s``: of the host; ``factor_s``: the part of it
    that no stream can begin before; ``options``: from its inputs, or its factors, to its end; ``in_s``: moves to the
    chip, each value with its seconds; ``settings_s``: of the move of a product's settings; ``out_s``: of its result's.
    """

    light_s: float = 0.0
    window_s: float = 0.0
    memory_s: float = 0.0
    stream_s: float = 0.0
    shortest_s: float = 0.0
    static: int = 0
    whole: bool = False
    dynamic: int = 0
    host_s: float = 0.0
    factor_s: float = 0.0
    options: tuple[Option, ...] = (Option(0, 0.0),)
    in_s: tuple[tuple[str, float], ...] = ()
    settings_s: float = 0.0
    out_s: float = 0.0

    @property
    def configurations(self) -> int:
        """The fewest that it needs."""
        return self.static + self.dynamic

    @property
    def link_s(self) -> float:
        """All its moves."""
        return sum(seconds for _, seconds in self.in_s) + self.settings_s + self.out_s

    def path_s(self, price_s: float) -> float:
        """Seconds from its inputs to its end, with ``price_s`` more for every copy of a tile."""
        return min(option.seconds + option.copies * price_s for option in self.options)


def all_work(body: ProgramBody, batch: int, split: bool, held: Held) -> list[Work]:
    """The work of every step; ``split``: whether the vectors of a matrix step may be cut into blocks."""
    seen: set[str] = set()  # banks whose tiles an earlier step may have left on the cores
    crossing = moves(body, batch)
    found: list[Work] = []
    for step in body.steps:
        moved = crossing[step.name]
        item = replace(
            _work(body, step, batch, split, held, seen),
            in_s=tuple((name, move_s(body.target, count)) for name, count in moved.to_chip),
            settings_s=move_s(body.target, moved.settings),
            out_s=move_s(body.target, moved.to_host),
        )
        found.append(item)
        if isinstance(step, MatrixStep | RecurrentStep) and item.light_s:
            seen.update(step.banks)
    return found


def _work(body: ProgramBody, step: Step, batch: int, split: bool, held: Held, seen: set[str]) -> Work:
    cost = body.costs[step.name]
    if isinstance(step, MatrixStep):
        return _matrix(body, step, batch * cost.vectors, split, held, step.bank in seen)
    if isinstance(step, ProductStep):
        return _product(body, step, batch)
    if isinstance(step, RecurrentStep):
        return _loop(body, step, batch, held, seen)
    seconds = host_s(body.target, batch * cost.macs, batch * cost.elements)
    return Work(host_s=seconds, options=(Option(0, seconds),))


def _matrix(body: ProgramBody, step: MatrixStep, vectors: int, split: bool, held: Held, seen: bool) -> Work:
    tiles = body.banks[step.bank].spec.tiles if vectors else 0
    if not tiles:
        return Work()
    target = body.target_for(step.bank)
    stream = stream_s(target, vectors)
    static = 0 if seen else tiles - held.tiles.get(step.bank, 0)
    found = Work(
        tiles * stream,
        tiles * _window_s(target, vectors),
        tiles * _memory_s(target, vectors),
        stream,
        stream,
        static,
        static == tiles,
    )
    if not split or vectors == 1:
        return replace(found, options=(Option(0, _rounds_s(body, tiles, stream)),))
    # copies that an earlier step, or an earlier run, may have left cost no configuration
    free = tiles * vectors if seen else held.buffers.get(step.bank, 0) - held.tiles.get(step.bank, 0)
    return replace(found, shortest_s=stream_s(target, 1), options=_options(body, target, tiles, vectors, free))


def _product(body: ProgramBody, step: ProductStep, batch: int) -> Work:
    mesh, reconfigure = body.target.mesh, shortest_configure_s(body)
    factor = factor_s(body, step, batch)
    vectors = body.costs[step.name].vectors
    tiles = batch * body.banks[step.bank].spec.tiles if vectors else 0
    target = body.target_for(step.bank)
    stream = stream_s(target, vectors)
    period = stream + reconfigure if mesh.buffers == 1 else max(stream, reconfigure)
    path = reconfigure + stream + (-(-tiles // mesh.cores) - 1) * period if tiles else 0.0
    return Work(
        tiles * stream,
        tiles * _window_s(target, vectors),
        tiles * _memory_s(target, vectors),
        stream,
        stream,
        dynamic=tiles,
        host_s=factor,
        factor_s=factor,
        options=(Option(0, path),),
    )


def _loop(body: ProgramBody, step: RecurrentStep, batch: int, held: Held, seen: set[str]) -> Work:
    mesh = body.target.mesh
    times, vectors = windows(body, step, batch)
    if not times:
        return Work()
    gates = gates_s(body, step, batch)
    parts = [
        (name, body.target_for(name), tiles) for name, tiles in zip(step.banks, loop_tiles(body, step), strict=True)
    ]
    period = gates + sum(_rounds_s(body, tiles, stream_s(target, vectors)) for _, target, tiles in parts)
    count = sum(tiles for _, _, tiles in parts)
    static = sum(tiles - held.tiles.get(name, 0) for name, _, tiles in parts if name not in seen)
    short = max(count - mesh.buffers * mesh.cores, 0)  # tiles that cannot stay from time step to time step
    stream = min((stream_s(target, vectors) for _, target, tiles in parts if tiles), default=0.0)
    return Work(
        times * sum(tiles * stream_s(target, vectors) for _, target, tiles in parts),
        times * sum(tiles * _window_s(target, vectors) for _, target, tiles in parts),
        times * sum(tiles * _memory_s(target, vectors) for _, target, tiles in parts),
        stream,
        stream,
        static,
        0 < static == count,
        (times - 1) * short,
        times * gates,
        options=(Option(0, times * period),),
    )


def shortest_configure_s(body: ProgramBody) -> float:
    """Seconds that every configuration takes at least."""
    times = configure_s(body)
    return min(times.first_s, times.later_s)


def _window_s(target: Target, vectors: int) -> float:
    """A stream with a memory that always keeps up."""
    shots = -(-vectors * target.encoding.shots // target.encoding.lanes)
    return target.timing.pipeline_latency_s + shots * target.timing.window_s if vectors else 0.0


def _memory_s(target: Target, vectors: int) -> float:
    """A stream with light that always keeps up; 0 where the memory's bandwidth is not stated."""
    rate = target.memory.sram_bytes_per_s
    if rate is None or not vectors:
        return 0.0
    return target.timing.pipeline_latency_s + vectors * vector_bytes(target) * target.mesh.cores / rate


def _rounds_s(body: ProgramBody, tiles: int, stream: float) -> float:
    """Seconds that ``tiles`` whole streams take on the core that has the most of them, which holds what it can at the
    beginning."""
    mesh, reconfigure = body.target.mesh, shortest_configure_s(body)
    rounds = -(-tiles // mesh.cores)
    if mesh.buffers == 1:
        return rounds * stream + max(rounds - 1, 0) * reconfigure
    return min(rounds, mesh.buffers) * stream + max(rounds - mesh.buffers, 0) * max(stream, reconfigure)


def _options(body: ProgramBody, target: Target, tiles: int, vectors: int, free: int) -> tuple[Option, ...]:
    """What a step takes whose vectors may be cut into blocks, the same for every tile, by the copies of its tiles.

    Let k = ceil(T / C), T = (k - 1) C + m, and let the tiles be configured T + e times for the step in all.

    - Without copies, a tile's blocks take one core at least as long as a whole stream.
    - Else some tile has ``ceil((T + e) / T)`` cores or more, and so blocks; every block of every tile waits for its
      first result. All light, and these waits, are shared by C cores.
    - Some tile has at most ``floor((T + e) / T)`` cores, which share its V vectors.
    - If no core is configured more than k times, at least m + e of them are k times, and all but B of these times after
      the inputs are there. What they stream before the first of these, and after the last, is whole tiles but for e:
      on the average ``2 - e / (m + e)`` streams or more, with one buffer ``k - e / (m + e)``, by no configuration
      hidden; e <= C - m. Otherwise, or if a core holds fewer than B of them when the inputs come, one more
      configuration lies between.

    Args:
        free: copies that cost no configuration.
    """
    mesh, reconfigure = body.target.mesh, shortest_configure_s(body)
    cores, buffers = mesh.cores, mesh.buffers
    stream, piece, latency = stream_s(target, vectors), stream_s(target, 1), target.timing.pipeline_latency_s
    rounds = -(-tiles // cores)
    last = tiles - (rounds - 1) * cores
    shots = tiles * -(-vectors * target.encoding.shots // target.encoding.lanes)
    light = latency + -(-shots // cores) * target.timing.window_s
    ends = rounds if buffers == 1 else min(rounds, buffers)
    more = (rounds + 1 - buffers) * reconfigure + piece * (rounds if buffers == 1 else 1)

    def seconds(fewest: int, most: int) -> float:
        """With so many copies, one or more."""
        blocks = max(-(-(tiles + fewest) // tiles), 2)
        shared = tiles * (stream - latency + blocks * latency) / cores
        found = max(shared, light, piece, stream_s(target, -(-vectors // ((tiles + most) // tiles))))
        if rounds < buffers:
            return found
        some = min(most, cores - last)
        ordered = (rounds - buffers) * reconfigure + (ends - some / (last + some)) * stream
        return max(found, min(ordered, more))

    step = max((cores - last) // GRID, 1)
    edges = sorted({1, *range(1, cores - last + 1, step), *range(tiles, cores + tiles, tiles)})
    found = [Option(0, _rounds_s(body, tiles, stream))]
    for copies, after in zip(edges, [*edges[1:], tiles * vectors], strict=True):
        item = Option(max(copies - free, 0), seconds(copies, max(after - 1, copies)))
        if item.seconds < found[-1].seconds:
            found.append(item)
    return tuple(found)
