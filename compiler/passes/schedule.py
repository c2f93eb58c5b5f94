"""Scheduling: when each tile runs on which core; and the program as a graph of banks."""

from __future__ import annotations

from typing import Any, Literal

import networkx as nx
import numpy as np

from ...runtime.errors import CompileError, complaint
from ...runtime.pricing.counts import tile_weights
from ...runtime.pricing.energy import EnergyReport
from ...runtime.program import ChipStep, HostStep, ProductStep, ProgramBody, RecurrentStep, Step
from ...runtime.scheduling.dealing import deal
from ...runtime.scheduling.plan import Plan
from ...runtime.scheduling.schedule import EventKind, Schedule
from ...runtime.walk import reads

LEVELS = ("bank", "step", "tile")


def schedule(body: ProgramBody, batch: int, plan: Plan | None = None, warm: bool = False) -> Schedule:
    """Schedule a program for a batch of samples, and check the result against the rules.

    See :mod:`lightloom.runtime.scheduling.dealing`, which the runtime uses for other batch sizes.

    Args:
        plan: dataflow and objective; the program's own if not given. warm: the run after one like it.

    Raises: InputError for a batch below 1; TargetError for a dataflow that the chip's memories are too small for;
        VerifyError if a rule is broken.
    """
    found = deal(body, batch, plan, warm)
    found.verify(body)
    return found


def dependency_graph(
    body: ProgramBody,
    schedule: Schedule | None = None,
    energy: EnergyReport | None = None,
    level: Literal["bank", "step", "tile"] = "bank",
) -> nx.DiGraph[str]:
    """The program as a directed graph; an edge goes from a result to what reads it.

    Args:
        schedule, energy: if given, nodes carry their times and joules (of the schedule's batch).
        level: ``bank``: matrix steps only, joined through the host ops between them; ``step``: every step;
            ``tile``: every step, and for each matrix step its tiles between the inputs and the step's node,
            which stands for the digital sum. For small programs and for drawing: one node a tile.
    Returns: a DiGraph whose nodes are step names (tiles: ``step[group,row,col]``) with attributes ``kind``
        (matrix, host or tile), ``path``, ``macs``, ``vectors``, ``elements`` of one sample; matrix steps have
        ``bank``, ``tiles``, ``utilization``; with a schedule ``start_s``, ``end_s``; with an energy
        ``energy_j``.
    Raises: CompileError for an unknown level.
    """
    if level not in LEVELS:
        raise CompileError(complaint("unknown graph level", got=repr(level), allowed=", ".join(LEVELS)))
    graph: nx.DiGraph[str] = nx.DiGraph(name=body.name, level=level)
    joules = energy.run.by_row() if energy else {}
    makers: dict[str, set[str]] = {}
    for index, step in enumerate(body.steps):
        sources: set[str] = set().union(*(makers.get(name, set()) for name in reads(step)))
        if isinstance(step, HostStep) and level == "bank":
            makers[step.name] = sources
            continue
        makers[step.name] = {step.name}
        graph.add_node(step.name, **_attributes(body, index, schedule, joules))
        if not isinstance(step, HostStep) and level == "tile":
            _add_tiles(graph, body, index, step, schedule, sources)
        else:
            graph.add_edges_from((source, step.name) for source in sorted(sources))
    return graph


def _attributes(body: ProgramBody, index: int, schedule: Schedule | None, joules: dict[str, float]) -> dict[str, Any]:
    step = body.steps[index]
    cost = body.costs[step.name]
    found: dict[str, Any] = {
        "kind": _kind(step),
        "path": step.path,
        "macs": cost.macs,
        "vectors": cost.vectors,
        "elements": cost.elements,
    }
    if isinstance(step, HostStep):
        found["op"] = step.op
    else:
        specs = [body.banks[name].spec for name in step.banks]
        tiles = sum(spec.tiles for spec in specs)
        cells = sum(spec.tiles * spec.ports**2 for spec in specs)
        used = sum(spec.weights for spec in specs) / cells if cells else 0.0
        found |= {"bank": step.bank, "tiles": tiles, "utilization": used}
    if schedule is not None:
        events = schedule.by_step[index]
        found |= _times(schedule, events[schedule.kind[events] != EventKind.CONFIGURE])
    if step.name in joules:
        found["energy_j"] = joules[step.name]
    return found


def _kind(step: Step) -> str:
    if isinstance(step, HostStep):
        return "host"
    if isinstance(step, ProductStep):
        return "product"
    return "recurrent" if isinstance(step, RecurrentStep) else "matrix"


def _times(schedule: Schedule, events: np.ndarray) -> dict[str, float]:
    if not len(events):
        return {}
    return {
        "start_s": float(schedule.start_s[events].min()),
        "end_s": float(schedule.end_s[events].max()),
    }


def _add_tiles(
    graph: nx.DiGraph[str],
    body: ProgramBody,
    index: int,
    step: ChipStep,
    schedule: Schedule | None,
    sources: set[str],
) -> None:
    """The tiles of a step on the chip, from its sources to its node; a loop's tiles are one node for all time steps."""
    first = 0  # tiles are counted through all banks of the step
    for label, name in zip((step.name, f"{step.name}.projection"), step.banks, strict=False):
        bank = body.banks[name]
        weights = tile_weights(bank).tolist()
        place = zip(*(bank.columns[column].tolist() for column in ("group", "row", "col")), strict=True)
        vectors = body.costs[step.name].vectors
        streams = {} if schedule is None else _streams(schedule, index)
        for tile, (group, row, col) in enumerate(place):
            node = f"{label}[{group},{row},{col}]"
            found: dict[str, Any] = {
                "kind": "tile",
                "tile": tile,
                "vectors": vectors,
                "macs": vectors * weights[tile],
            }
            events = streams.get(first + tile)
            if schedule is not None and events is not None:
                found |= {"core": int(schedule.core[events[0]]), **_times(schedule, events)}
            graph.add_node(node, **found)
            graph.add_edges_from((source, node) for source in sorted(sources))
            graph.add_edge(node, step.name)
        first += bank.spec.tiles


def _streams(schedule: Schedule, index: int) -> dict[int, np.ndarray]:
    """The streams of a step by tile."""
    rows = schedule.by_step[index]
    rows = rows[schedule.kind[rows] == EventKind.STREAM]
    rows = rows[np.argsort(schedule.tile[rows], kind="stable")]
    tiles, starts = np.unique(schedule.tile[rows], return_index=True)
    return dict(zip(tiles.tolist(), np.split(rows, starts[1:]), strict=True)) if len(tiles) else {}
