"""Rules of the steps: the right events of each, of the right length, and what a dataflow asks of a matrix step."""

from __future__ import annotations

import numpy as np

from ..errors import complaint
from ..program import HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep
from ..widths import HOST_BYTES, number_bytes
from .check_cores import lengths
from .check_loops import loop, product
from .latency import host_s, stream_s
from .plan import DATAFLOWS, StepPlan
from .schedule import EventKind, Schedule


def steps(schedule: Schedule, body: ProgramBody) -> list[str]:
    """The rules of every step."""
    faults: list[str] = []
    others = sorted(set(schedule.plans) - {step.name for step in body.matrix_steps})
    if others:
        faults.append(complaint("a plan for no matrix step", got=", ".join(others)))
    places = _places_among_streams(schedule)
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        events = events[schedule.kind[events] != EventKind.MOVE]
        if isinstance(step, RecurrentStep):
            faults += loop(schedule, body, step, events)
        elif isinstance(step, ProductStep):
            faults += product(schedule, body, step, events)
        elif isinstance(step, MatrixStep):
            faults += _matrix(schedule, body, step, events, places)
        else:
            faults += _host(schedule, body, step, events)
    return faults


def _host(schedule: Schedule, body: ProgramBody, step: HostStep, events: np.ndarray) -> list[str]:
    if schedule.kind[events].tolist() != [EventKind.HOST]:
        return [complaint("a host step is one host event", where=step.name, got=f"{len(events)} events")]
    cost = body.costs[step.name]
    return lengths(schedule, events, host_s(body.target, schedule.batch * cost.macs, schedule.batch * cost.elements))


def _matrix(
    schedule: Schedule, body: ProgramBody, step: MatrixStep, events: np.ndarray, places: np.ndarray
) -> list[str]:
    """Every block of vectors once through every tile; chains of tiles where the dataflow asks for them."""
    vectors = schedule.batch * body.costs[step.name].vectors
    tiles = body.banks[step.bank].spec.tiles if vectors else 0
    kinds = schedule.kind[events]
    if (kinds == EventKind.HOST).any():
        return [complaint("a matrix step on the host", where=step.name)]
    wrong = events[(schedule.tile[events] < 0) | (schedule.tile[events] >= tiles)]
    streams = events[kinds == EventKind.STREAM]
    if len(wrong):
        return [
            complaint(
                "no such tile",
                where=f"event {wrong[0]}, step {step.name}",
                got=int(schedule.tile[wrong[0]]),
                allowed=f"0 to {tiles - 1}" if tiles else "none",
            )
        ]
    if not tiles:
        return []
    # a step without a plan is weight-stationary, its vectors in one block
    plan = schedule.plans.get(step.name, StepPlan("weight", vectors))
    if plan.block < 1:
        return [complaint("a plan of empty blocks", where=step.name, got=plan.block, allowed="one vector or more")]
    if plan.dataflow not in DATAFLOWS:
        return [complaint("no such dataflow", where=step.name, got=plan.dataflow, allowed=", ".join(DATAFLOWS))]
    block = min(plan.block, vectors)
    blocks = plan.blocks(vectors)
    first, sent = schedule.first[streams], schedule.vectors[streams]
    expected = np.minimum(block, vectors - first)
    wrong = np.flatnonzero((first < 0) | (first >= vectors) | (first % block != 0) | (sent != expected))
    if len(wrong):
        row = wrong[0]
        return [
            complaint(
                "a stream of the wrong vectors",
                where=f"event {streams[row]}, step {step.name}",
                got=f"{sent[row]} from {first[row]}",
                allowed=f"blocks of {block} of {vectors}",
            )
        ]
    items = schedule.tile[streams].astype(np.int64) * blocks + first // block
    off = _other_than_once(items, tiles * blocks)
    if off is not None:
        return [
            complaint(
                "a block of vectors that a tile does not take once",
                where=f"step {step.name}, tile {off // blocks}, block {off % blocks}",
                got=f"{int((items == off).sum())} streams",
                allowed="one",
            )
        ]
    target = body.target_for(step.bank)
    short = vectors - (blocks - 1) * block
    seconds = np.where(sent == block, stream_s(target, block), stream_s(target, short))
    faults = lengths(schedule, streams, seconds)
    if plan.dataflow != "weight":
        faults += _capacity(body, step, plan, block)
        faults += _chains(schedule, body, step, plan, streams, items, blocks, places)
    return faults


def _other_than_once(items: np.ndarray, count: int) -> int | None:
    """The first of ``count`` items that is not there exactly once; None where all are."""
    found = np.sort(items)
    off = np.flatnonzero(found != np.arange(len(found)))
    if len(off):
        return int(min(found[off[0]], off[0]))
    return None if len(found) == count else len(found)


def _capacity(body: ProgramBody, step: MatrixStep, plan: StepPlan, block: int) -> list[str]:
    """A block's sums, or its inputs, fit beside the core."""
    spec, memory = body.banks[step.bank].spec, body.target.memory
    if plan.dataflow == "output":
        name, room = "memory.accumulator_bytes", memory.accumulator_bytes
        wanted = block * min(spec.ports, spec.rows) * HOST_BYTES
    else:
        name, room = "memory.input_buffer_bytes", memory.input_buffer_bytes
        wanted = block * min(spec.ports, spec.cols) * number_bytes(body.target_for(step.bank).encoding.dac_bits)
    if room is not None and wanted <= room:
        return []
    return [
        complaint(
            f"a block of {block} vectors, {plan.dataflow}-stationary, does not fit into {name}",
            where=step.name,
            got=f"{wanted} bytes",
            allowed="none, as the target states none" if room is None else f"up to {room} bytes",
        )
    ]


def _chains(
    schedule: Schedule,
    body: ProgramBody,
    step: MatrixStep,
    plan: StepPlan,
    streams: np.ndarray,
    items: np.ndarray,
    blocks: int,
    places: np.ndarray,
) -> list[str]:
    """A block goes through all tiles of a grid row (output) or column (input) on one core, in order, without another
    stream of that core between."""
    columns = body.banks[step.bank].columns
    group, line = (columns[name].astype(np.int64) for name in ("group", "row" if plan.dataflow == "output" else "col"))
    chains = group * (int(line.max()) + 1) + line
    tile = schedule.tile[streams].astype(np.int64)
    # a bank's table is sorted: along a grid row as along a grid column, tile numbers ascend
    order = np.lexsort((tile, chains[tile] * blocks + items % blocks))
    rows = streams[order]
    chain = (chains[tile] * blocks + items % blocks)[order]
    same = chain[1:] == chain[:-1]
    apart = same & (schedule.core[rows][1:] != schedule.core[rows][:-1])
    step_on = np.diff(places[rows])
    for what, broken in (
        ("on two cores", apart),
        ("in the wrong order of tiles", same & (step_on < 0)),
        ("interrupted by another stream of its core", same & (step_on != 1)),
    ):
        at = np.flatnonzero(broken)
        if len(at):
            event = rows[at[0] + 1]
            return [
                complaint(
                    f"a block's way through a grid {'row' if plan.dataflow == 'output' else 'column'} {what}",
                    where=f"event {event}, step {step.name}, {plan.dataflow}-stationary",
                    got=f"tile {schedule.tile[event]} after tile {schedule.tile[rows[at[0]]]}",
                )
            ]
    return []


def _places_among_streams(schedule: Schedule) -> np.ndarray:
    """Of each stream, its place among all streams, core by core and in start order; int64, 0 for other events."""
    streams = np.flatnonzero(schedule.kind == EventKind.STREAM)
    order = streams[np.argsort(schedule.core[streams], kind="stable")]
    places = np.zeros(len(schedule), np.int64)
    places[order] = np.arange(len(order))
    return places
