"""Small programs that branch, and the shortest of all their schedules: every order, place and cut of their streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from lightloom.runtime.program import (
    HostStep,
    MatrixStep,
    ProductStep,
    ProgramBody,
    RecurrentStep,
    Step,
    StepCost,
    TileBank,
)
from lightloom.runtime.scheduling.latency import configure_s, host_s, stream_s
from lightloom.runtime.values import TensorType, TupleType
from lightloom.runtime.walk import reads

from .bodies import TYPE, bank, host, matrix, program

Item = tuple[int, int, int]
"""Step, tile and vectors of a stream."""

Layers = list[tuple[str, int, int, tuple[int, ...]]]


def branching(target: Any, layers: Layers) -> ProgramBody:
    """Steps of (kind, tiles, vectors or elements, how many steps back its sources are).

    ``chip``: tiles of one grid row; ``square``: of a grid of two rows; ``again``: the bank of the last matrix step;
    ``product``: of the first source and the last; ``loop``: of ``vectors`` time steps.
    """
    ports = target.mesh.ports
    banks: list[TileBank] = []
    steps: list[Step] = []
    costs: dict[str, StepCost] = {}
    last = None
    for index, (kind, tiles, size, back) in enumerate(layers):
        sources = sorted({f"s{index - far}" for far in back if 0 < far <= index}) or ["x"]
        name = f"s{index}"
        if kind == "host":
            steps.append(host(name, *sources))
            costs[name] = StepCost(0, 0, size)
            continue
        if kind != "again" or last is None:
            rows = 2 if kind == "square" else 1
            made = bank(f"w{index}", target, ports * rows, ports * -(-tiles // rows))
            if kind == "product":
                made = TileBank(replace(made.spec, dynamic=True), made.columns)
            elif kind != "loop":
                last = made.spec.name
            banks.append(made)
        if kind == "product":
            steps.append(ProductStep(name, banks[-1].spec.name, sources[0], sources[-1], TYPE, name, "a test says so"))
            costs[name] = StepCost(1, size, 3 * tiles)
        elif kind == "loop":
            steps.append(loop(name, banks[-1].spec.name, sources[0], size))
            costs[name] = StepCost(1, size, size * 4)
        else:
            # a matrix step reads one value; a bias stands for the second
            steps.append(matrix(name, str(last), sources[0], sources[1] if len(sources) > 1 else None))
            costs[name] = StepCost(1, size, ports)
    return program(target, banks, steps, costs)


def loop(name: str, bank_name: str, source: str, times: int) -> RecurrentStep:
    """A recurrent step without a projection, of so many time steps."""
    shape = ("s0", times, 1)
    kind = TupleType((TensorType("f32", shape), TensorType("f32", ("s0", 1))))
    return RecurrentStep(name, "rnn_tanh", bank_name, None, source, ("h0",), None, False, kind, name, "a test says so")


def orders(items: tuple[Item, ...], seen: frozenset[tuple[int, int]] = frozenset()) -> Iterator[tuple[Item, ...]]:
    """Every order of streams, the tiles of a step being alike: they first come in the order of their numbers."""
    if not items:
        yield ()
    for item in sorted(set(items)):
        step, tile, _ = item
        if tile and (step, tile) not in seen and (step, tile - 1) not in seen:
            continue
        rest = list(items)
        rest.remove(item)
        for tail in orders(tuple(rest), seen | {(step, tile)}):
            yield (item, *tail)


def makespan_s(body: ProgramBody, queues: list[list[Item]]) -> float:
    """When a program ends whose cores stream this in this order, each as early as it can; inf where the cores wait for
    each other."""
    times, buffers = configure_s(body), body.target.mesh.buffers
    done: dict[str, float] = {}
    left = {index: sum(item[0] == index for queue in queues for item in queue) for index in range(len(body.steps))}
    latest = dict.fromkeys(left, 0.0)
    at = [0] * len(queues)
    drivers, light = [0.0] * len(queues), [0.0] * len(queues)
    held: list[list[list[Any]]] = [[] for _ in queues]  # of each core, its settings in turn: label, since, until
    host_free = 0.0
    moved = True
    while moved:
        moved = False
        for index, step in enumerate(body.steps):
            known = all(name in done for name in reads(step) if name in body.costs)
            if step.name in done or not known:
                continue
            ready = max((done[name] for name in reads(step) if name in done), default=0.0)
            if isinstance(step, HostStep):
                host_free = max(host_free, ready) + host_s(body.target, 0, body.costs[step.name].elements)
                done[step.name] = host_free
                moved = True
                continue
            for core, queue in enumerate(queues):
                while at[core] < len(queue) and queue[at[core]][0] == index:
                    _, tile, vectors = queue[at[core]]
                    label = (step.bank, tile)
                    own = held[core]
                    setting = next((item for item in own[-buffers:] if item[0] == label), None)
                    if setting is None:
                        turn = len(own)
                        free = own[turn - buffers][2] if turn >= buffers else 0.0
                        begin = max(drivers[core], free)
                        drivers[core] = begin + (times.first_s if turn < buffers else times.later_s)
                        setting = [label, drivers[core], drivers[core]]
                        own.append(setting)
                    light[core] = max(setting[1], light[core], ready) + stream_s(body.target, vectors)
                    setting[2] = light[core]
                    latest[index] = max(latest[index], light[core])
                    at[core] += 1
                    left[index] -= 1
                    moved = True
            if not left[index]:
                done[step.name] = max(latest[index], ready)
                moved = True
    return max(done.values()) if len(done) == len(body.steps) else float("inf")


def best_s(body: ProgramBody, *, split: bool) -> float:
    """The shortest of all orders and places of the streams; ``split``: and of all ways to cut each step's vectors into
    blocks."""
    steps = [(index, step) for index, step in enumerate(body.steps) if isinstance(step, MatrixStep)]
    counts = [body.costs[step.name].vectors for _, step in steps]
    cores = body.target.mesh.cores
    found = float("inf")
    for blocks in product(*(range(1 if split else count, count + 1) for count in counts)):
        items = [
            (index, tile, min(block, count - first))
            for (index, step), count, block in zip(steps, counts, blocks, strict=True)
            for tile in range(body.banks[step.bank].spec.tiles)
            for first in range(0, count, block)
        ]
        for order in orders(tuple(items)):
            for places in product(range(cores), repeat=len(order)):
                if places and places[0]:
                    break  # cores are alike
                queues: list[list[Item]] = [[] for _ in range(cores)]
                for item, place in zip(order, places, strict=True):
                    queues[place].append(item)
                found = min(found, makespan_s(body, queues))
    return found
