"""Lower bounds against every order and place of a few tiles, and against schedules of branching programs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime import targets
from lightloom.runtime.bounds import bounds, naive_s
from lightloom.runtime.dealing import deal
from lightloom.runtime.latency import host_s, stream_s
from lightloom.runtime.program import HostStep, MatrixStep, ProgramBody, StepCost
from lightloom.runtime.walk import reads

from .bodies import bank, host, matrix, program

MZI16 = targets.get("mzi16").with_(
    timing={"window_s": 1.0, "pipeline_latency_s": 0.0}, energy={"host_ops_per_s": 1.0}
)  # fmt: skip


def branching(target: Any, layers: list[tuple[str, int, int, tuple[int, ...]]]) -> ProgramBody:
    """Steps of (kind, tiles, vectors or elements, how many steps back its sources are)."""
    banks, steps, costs = [], [], {}
    for index, (kind, tiles, size, back) in enumerate(layers):
        sources = sorted({f"s{index - far}" for far in back if 0 < far <= index}) or ["x"]
        name = f"s{index}"
        if kind == "host":
            steps.append(host(name, *sources))
            costs[name] = StepCost(0, 0, size)
        else:
            # a matrix step reads one value; a bias stands for the second
            banks.append(bank(f"w{index}", target, 16, 16 * tiles))
            steps.append(matrix(name, f"w{index}", sources[0], sources[1] if len(sources) > 1 else None))
            costs[name] = StepCost(1, size, 16)
    return program(target, banks, steps, costs)


def orders(labels: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every different order of labels."""
    if not labels:
        yield ()
    for label in sorted(set(labels)):
        rest = list(labels)
        rest.remove(label)
        for tail in orders(tuple(rest)):
            yield (label, *tail)


def makespan_s(body: ProgramBody, queues: list[list[int]]) -> float:
    """When a program ends whose cores take their tiles (by step) in this order, each as early as it can; inf where
    the cores wait for each other."""
    reconfigure, buffers = body.target.timing.reconfigure_s, body.target.mesh.buffers
    done: dict[str, float] = {}
    left = {index: sum(queue.count(index) for queue in queues) for index in range(len(body.steps))}
    latest = dict.fromkeys(left, 0.0)
    at, configured = [0] * len(queues), [0.0] * len(queues)
    ends: list[list[float]] = [[] for _ in queues]
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
            stream = stream_s(body.target, body.costs[step.name].vectors)
            for core, queue in enumerate(queues):
                while at[core] < len(queue) and queue[at[core]] == index:
                    turn = at[core]
                    free = ends[core][turn - buffers] if turn >= buffers else 0.0
                    configured[core] = max(configured[core], free) + reconfigure
                    before = ends[core][-1] if ends[core] else 0.0
                    ends[core].append(max(configured[core], before, ready) + stream)
                    latest[index] = max(latest[index], ends[core][-1])
                    at[core] += 1
                    left[index] -= 1
                    moved = True
            if not left[index]:
                done[step.name] = max(latest[index], ready)
                moved = True
    return max(done.values()) if len(done) == len(body.steps) else float("inf")


def best_s(body: ProgramBody) -> float:
    """The shortest of all orders and places of the tiles."""
    tiles = tuple(
        index
        for index, step in enumerate(body.steps)
        if isinstance(step, MatrixStep)
        for _ in range(body.banks[step.bank].spec.tiles)
    )
    found = float("inf")
    cores = body.target.mesh.cores
    for order in orders(tiles):
        for places in product(range(cores), repeat=len(order)):
            queues = [
                [step for step, place in zip(order, places, strict=True) if place == core] for core in range(cores)
            ]
            found = min(found, makespan_s(body, queues))
    return found


CASES = [
    [("chip", 3, 4, ()), ("host", 0, 5, (1,)), ("chip", 2, 1, (1,))],
    [("host", 0, 30, ()), ("chip", 5, 2, (1,))],
    [("chip", 2, 12, ()), ("chip", 1, 3, ()), ("host", 0, 7, (1, 2)), ("chip", 2, 2, (1,))],
    [("chip", 1, 9, ()), ("chip", 2, 1, (1,)), ("chip", 2, 11, (2,)), ("host", 0, 1, (1, 2))],
    [("host", 0, 12, ()), ("chip", 1, 2, (1,)), ("chip", 2, 3, (2,)), ("chip", 2, 1, (3,)), ("host", 0, 9, (1, 2, 3))],
]


@pytest.mark.parametrize("layers", CASES)
@pytest.mark.parametrize("buffers", [1, 2])
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("reconfigure_s", [0.5, 6.0])
def test_no_order_of_the_tiles_beats_the_bounds(layers: Any, buffers: int, cores: int, reconfigure_s: float) -> None:
    body = branching(
        MZI16.with_({"mesh.cores": cores, "mesh.buffers": buffers, "timing.reconfigure_s": reconfigure_s}), layers
    )
    best = best_s(body)
    for name, seconds in bounds(body, 1).items():
        assert seconds <= best * (1 + 1e-12), name
    schedule = deal(body, 1)
    assert best * (1 - 1e-12) <= schedule.makespan_s <= 1.35 * best
    assert best <= naive_s(body, 1) * (1 + 1e-12)


kinds = st.sampled_from(["chip", "chip", "host"])
backs = st.lists(st.integers(1, 4), max_size=2).map(tuple)
graphs = st.lists(st.tuples(kinds, st.integers(1, 9), st.integers(0, 20), backs), min_size=1, max_size=9)


@settings(deadline=None, max_examples=150)
@given(graphs, st.integers(1, 4), st.integers(1, 2), st.sampled_from([0.0, 0.7, 5.0, 40.0]), st.integers(1, 3))
def test_no_schedule_of_a_branching_program_beats_the_bounds(
    layers: Any, cores: int, buffers: int, reconfigure_s: float, batch: int
) -> None:
    body = branching(
        MZI16.with_({"mesh.cores": cores, "mesh.buffers": buffers, "timing.reconfigure_s": reconfigure_s}), layers
    )
    schedule = deal(body, batch)
    schedule.verify(body)
    for name, seconds in bounds(body, batch).items():
        assert seconds <= schedule.makespan_s * (1 + 1e-12), name
    assert schedule.lower_bound_s == max(schedule.bounds.values())
    assert np.isclose(schedule.naive_s, naive_s(body, batch))
