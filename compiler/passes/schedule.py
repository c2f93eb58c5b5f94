"""Scheduling: when each tile runs on which core; and the program as a graph of banks."""

from __future__ import annotations

from typing import Any, Literal

import networkx as nx
import numpy as np

from ...runtime.counts import tile_weights
from ...runtime.dealing import deal
from ...runtime.energy import EnergyReport
from ...runtime.errors import CompileError, complaint
from ...runtime.program import MatrixStep, ProgramBody
from ...runtime.schedule import EventKind, Schedule
from ...runtime.walk import reads

LEVELS = ("bank", "step", "tile")


def schedule(body: ProgramBody, batch: int) -> Schedule:
    """Schedule a program for a batch of samples, and check the result against the rules.

    Weight-stationary: see :mod:`lightloom.runtime.dealing`, which the runtime uses for other batch sizes.

    Raises: InputError for a batch below 1; VerifyError if a rule is broken.
    """
    found = deal(body, batch)
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
        if not isinstance(step, MatrixStep) and level == "bank":
            makers[step.name] = sources
            continue
        makers[step.name] = {step.name}
        graph.add_node(step.name, **_attributes(body, index, schedule, joules))
        if isinstance(step, MatrixStep) and level == "tile":
            _add_tiles(graph, body, index, step, schedule, sources)
        else:
            graph.add_edges_from((source, step.name) for source in sorted(sources))
    return graph


def _attributes(body: ProgramBody, index: int, schedule: Schedule | None, joules: dict[str, float]) -> dict[str, Any]:
    step = body.steps[index]
    cost = body.costs[step.name]
    found: dict[str, Any] = {
        "kind": "matrix" if isinstance(step, MatrixStep) else "host",
        "path": step.path,
        "macs": cost.macs,
        "vectors": cost.vectors,
        "elements": cost.elements,
    }
    if isinstance(step, MatrixStep):
        spec = body.banks[step.bank].spec
        found |= {"bank": step.bank, "tiles": spec.tiles, "utilization": spec.utilization}
    else:
        found["op"] = step.op
    if schedule is not None:
        events = schedule.by_step[index]
        found |= _times(schedule, events[schedule.kind[events] != EventKind.CONFIGURE])
    if step.name in joules:
        found["energy_j"] = joules[step.name]
    return found


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
    step: MatrixStep,
    schedule: Schedule | None,
    sources: set[str],
) -> None:
    """The tiles of a matrix step, from its sources to its node."""
    bank = body.banks[step.bank]
    events: dict[int, int] = {}
    if schedule is not None:
        rows = schedule.by_step[index]
        streams = rows[schedule.kind[rows] == EventKind.STREAM]
        events = dict(zip(schedule.tile[streams].tolist(), streams.tolist(), strict=True))
    weights = tile_weights(bank).tolist()
    place = zip(*(bank.columns[name].tolist() for name in ("group", "row", "col")), strict=True)
    vectors = body.costs[step.name].vectors
    for tile, (group, row, col) in enumerate(place):
        name = f"{step.name}[{group},{row},{col}]"
        found: dict[str, Any] = {
            "kind": "tile",
            "tile": tile,
            "vectors": vectors,
            "macs": vectors * weights[tile],
        }
        if schedule is not None and tile in events:
            found |= {"core": int(schedule.core[events[tile]]), **_times(schedule, np.array([events[tile]]))}
        graph.add_node(name, **found)
        graph.add_edges_from((source, name) for source in sorted(sources))
        graph.add_edge(name, step.name)
