"""What no schedule of a program can beat, and what the simplest one takes.

The bounds hold for every schedule that obeys :mod:`.check`, also for better ones than :mod:`.dealing` finds:
for every dataflow and every way to cut the vectors of its steps into blocks or, where asked, for schedules that send
the vectors of a step through each of its tiles as one stream. C cores, B buffers a core.
"""

from __future__ import annotations

import math

import numpy as np

from ..program import MatrixStep, ProductStep, ProgramBody, RecurrentStep
from ..recurrent import windows
from .critical_path import Cores, critical_path_s
from .latency import configure_s, factor_s, host_s, move_s, settings_bytes_per_s, stream_s, tile_setting_bytes
from .moves import moves
from .step_work import Held, Work, all_work, gates_s, loop_tiles, shortest_configure_s

__all__ = ["bounds", "gates_s", "loop_tiles", "lower_bound_s", "naive_s"]

SHARES = 8
"""Mixtures of the critical path with reconfiguration, see :func:`bounds`."""

ROUNDING = 1e-12


def lower_bound_s(body: ProgramBody, batch: int) -> float:
    """The largest of :func:`bounds`."""
    return max(bounds(body, batch).values())


def bounds(
    body: ProgramBody,
    batch: int,
    *,
    split: bool = True,
    resident: np.ndarray | None = None,
    turns: np.ndarray | None = None,
) -> dict[str, float]:
    """Seconds that no schedule can beat, by what they count:

    - ``core time``: all streams at the speed of their light, shared evenly by the cores, after a first configuration;
      with one buffer the first configuration of every tile as well.
    - ``reconfiguration``: some core is configured for at least ``k = ceil(tiles / C)`` tiles in turn, and streams the
      last. If none is configured more often, then of T = (k - 1) C + m tiles at least m streams after a last
      configuration are whole, of C.
    - ``memory bandwidth``: both at the speed of the memory, where its bandwidth is stated: a core's share of it carries
      the numbers of every stream and the settings of every configuration.
    - ``host``: all host ops, one after the other.
    - ``link``: all moves between host and chip, where there is a link.
    - ``critical path``: the longest path through the steps. What a matrix step takes at least from the moment that its
      inputs are there, B C of its tiles being configured then: :func:`.step_work._options`, or for whole streams
      :func:`.step_work._rounds_s`. A product's tiles all wait for the host to factorise. A recurrent step takes its
      rounds at every time step, and the gates. And between the moment that the inputs of a step can be there and the
      end of any later step on the path lies all the work of the steps between: their streams, the configurations of
      their tiles but for the B C that the cores can hold before, their host ops, their moves to the chip.

    Several cores share a stream only if each is configured for its tile, and every configuration of a copy keeps some
    core from configuring another. With n copies in all, r seconds a configuration, the path P(n) and the
    reconfiguration R of tiles without copies, no schedule beats ``max(P(n), R + n r / C)``, and so none the least of
    ``(1 - w) P(n) + w (R + n r / C)`` over all n, for any w from 0 to 1: the critical path is the best of these.

    Args:
        split: for schedules that may cut the vectors of a step into blocks; else for whole streams only.
        resident, turns: what the cores hold when the run begins, see :class:`.schedule.Schedule`; None for nothing.
    """
    held = Held.of(body, resident, turns)
    work = all_work(body, batch, split, held)
    memory, timing = body.target.memory, body.target.timing
    full = timing.reconfigure_s
    least = full if timing.update_s is None else min(full, timing.update_s)
    first = full if held.cold else least
    found = {
        "core time": _core_time(body, work, [item.window_s for item in work], full if held.cold else 0.0, least),
        "reconfiguration": _reconfiguration(body, work, first, least),
    }
    if memory.sram_bytes_per_s is not None or not math.isinf(settings_bytes_per_s(body)):
        arrive = tile_setting_bytes(body.target) * body.target.mesh.cores / settings_bytes_per_s(body)
        numbers = _core_time(body, work, [item.memory_s for item in work], arrive if held.cold else 0.0, arrive)
        found["memory bandwidth"] = max(numbers, _reconfiguration(body, work, arrive, arrive))
    found["host"] = math.fsum(item.host_s for item in work)
    if body.target.link.present:
        found["link"] = math.fsum(item.link_s for item in work)
    path, largest = _critical_path(body, work, held.cold), max(found.values())
    # a path that is one resource's work and nothing else differs from it by rounding
    found["critical path"] = largest if largest < path <= largest * (1 + ROUNDING) else path
    if split:
        return found
    # a schedule of whole streams is one of those that may cut them
    cut = bounds(body, batch, split=True, resident=resident, turns=turns)
    return {name: max(seconds, cut[name]) for name, seconds in found.items()}


def naive_s(body: ProgramBody, batch: int) -> float:
    """Seconds of the simplest schedule: one core with one setting, every tile configured and then streamed, step by
    step and, in recurrent steps, time step by time step; the host's ops and the moves between."""
    times = configure_s(body)
    crossing = moves(body, batch)
    seconds: list[float] = []
    configurations = 0
    for step in body.steps:
        cost, moved = body.costs[step.name], crossing[step.name]
        crossed = (moved.settings, moved.to_host, *(count for _, count in moved.to_chip))
        seconds += [move_s(body.target, count) for count in crossed]
        if isinstance(step, MatrixStep):
            vectors = batch * cost.vectors
            tiles = body.banks[step.bank].spec.tiles if vectors else 0
            seconds.append(tiles * stream_s(body.target_for(step.bank), vectors))
            configurations += tiles
        elif isinstance(step, ProductStep):
            tiles = batch * body.banks[step.bank].spec.tiles if cost.vectors else 0
            seconds.append(factor_s(body, step, batch))
            seconds.append(tiles * stream_s(body.target_for(step.bank), cost.vectors))
            configurations += tiles
        elif isinstance(step, RecurrentStep):
            loops, vectors = windows(body, step, batch)
            for name, tiles in zip(step.banks, loop_tiles(body, step), strict=True):
                seconds.append(loops * tiles * stream_s(body.target_for(name), vectors))
                configurations += loops * tiles
            seconds.append(loops * gates_s(body, step, batch))
        else:
            seconds.append(host_s(body.target, batch * cost.macs, batch * cost.elements))
    if configurations:
        seconds += [times.first_s, (configurations - 1) * times.later_s]
    return math.fsum(seconds)


def _core_time(body: ProgramBody, work: list[Work], streams_s: list[float], first_s: float, least_s: float) -> float:
    """All streams, by step, shared by the cores; on one buffer with the fewest configurations.

    Args:
        first_s: before the first stream of a core; 0 where cores hold tiles from before. least_s: of a configuration.
    """
    mesh = body.target.mesh
    light = math.fsum(streams_s)
    if not light:
        return 0.0
    if mesh.buffers > 1:
        return first_s + light / mesh.cores
    # U of C cores in use: U t >= light + U first_s + (tiles - U) least_s
    tiles = sum(item.configurations for item in work)
    return (light + tiles * least_s) / mesh.cores + max(first_s - least_s, 0.0)


def _reconfiguration(body: ProgramBody, work: list[Work], first_s: float, least_s: float) -> float:
    """The core that is configured most often, and what it streams after that.

    Args:
        first_s: configuration of an empty buffer; least_s: of one that holds a setting.
    """
    mesh = body.target.mesh
    some = [item for item in work if item.configurations]
    if not some:
        return 0.0
    tiles = sum(item.configurations for item in some)
    piece, stream = min(item.shortest_s for item in some), min(item.stream_s for item in some)
    turns = -(-tiles // mesh.cores)
    last = tiles - (turns - 1) * mesh.cores
    in_turn_s = Cores(mesh.cores, mesh.buffers, least_s, first_s).in_turn_s
    return min(in_turn_s(turns) + max(piece, last / mesh.cores * stream), in_turn_s(turns + 1) + piece)


def _critical_path(body: ProgramBody, work: list[Work], cold: bool) -> float:
    """The best mixture of the critical path with the configurations of copies."""
    mesh, times = body.target.mesh, configure_s(body)
    least = shortest_configure_s(body)
    first = times.first_s if cold else least
    cores = Cores(mesh.cores, mesh.buffers, least, first)
    found = critical_path_s(body, work, cores)
    light = [item for item in work if item.light_s]
    if not light:
        return found
    alone = sum(item.configurations for item in work) * least / mesh.cores + first - least
    if mesh.buffers == 1:
        alone += math.fsum(item.light_s for item in light) / mesh.cores
    else:
        alone += min(item.shortest_s for item in light)
    found = max(found, alone)
    if all(len(item.options) == 1 for item in light):
        return found
    for share in np.arange(1, SHARES) / SHARES:
        price = share / (1 - share) * least / mesh.cores
        mixed = (1 - share) * critical_path_s(body, work, cores, price) + share * alone
        found = max(found, float(mixed))
    return found
