"""Dealing the steps of a program, each in the way that its plan says: see :mod:`.dealing`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..program import HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep
from ..recurrent import windows
from ..walk import reads
from .bounds import gates_s, loop_tiles
from .cores import Cores, Cut, Events, columns, joined
from .latency import configure_s, factor_s, host_s, move_s, stream_s
from .moves import StepMoves, moves
from .plan import StepPlan
from .recurrent_dealing import Host, Places, deal_loop
from .schedule import COLUMNS, HOST_LANE, LINK_LANE, EventKind

TO_CHIP, TO_HOST = 0, 1
"""``tile`` of a move."""


@dataclass(frozen=True, eq=False)
class Start:
    """What the cores hold when a run begins, see :class:`.schedule.Schedule`: int64 (cores, buffers), (cores,)."""

    resident: np.ndarray
    turns: np.ndarray


@dataclass(frozen=True, eq=False)
class Dealt:
    """A run as it was dealt: events by column, in the order of dealing; when it ends; what the cores hold then."""

    parts: list[Events]
    makespan_s: float
    end: Start

    @property
    def events(self) -> int:
        """How many."""
        return sum(len(part["kind"]) for part in self.parts)

    def table(self) -> dict[str, np.ndarray]:
        """The columns of a schedule, in start order."""
        # Stable: events of one instant keep program order, in which a core's events never go backwards.
        found: dict[str, Any] = {
            name: np.concatenate([part[name] for part in self.parts]).astype(dtype, copy=False)
            if self.parts
            else np.empty(0, dtype)
            for name, dtype in COLUMNS.items()
        }
        order = np.argsort(found["start_s"], kind="stable")
        return {name: column[order] for name, column in found.items()}


def cut(body: ProgramBody, step: MatrixStep, plan: StepPlan, batch: int) -> Cut:
    """The blocks of a matrix step's vectors, at least one of them."""
    vectors = batch * body.costs[step.name].vectors
    target = body.target_for(step.bank)
    blocks = plan.blocks(vectors)
    last = vectors - (blocks - 1) * plan.block
    size = plan.block if blocks > 1 else last
    return Cut(blocks, size, last, stream_s(target, size), stream_s(target, last))


class Dealer:
    """Deals a program for a batch of samples, again and again in different ways."""

    def __init__(self, body: ProgramBody, batch: int) -> None:
        self.body = body
        self.batch = batch
        self.moves: Mapping[str, StepMoves] = moves(body, batch)
        self._times = configure_s(body)
        sizes = [bank.spec.tiles for bank in body.banks.values()]
        firsts = np.cumsum([0, *sizes])[:-1].tolist()
        self._first: dict[str, int] = dict(zip(body.banks, firsts, strict=True))
        self._on_chip = {step.name for step in body.steps if isinstance(step, MatrixStep | ProductStep)}

    def deal(
        self,
        plans: Mapping[str, StepPlan],
        start: Start | None = None,
        cores: int | None = None,
        *,
        keep: bool = False,
    ) -> Dealt:
        """Deal every step.

        Args:
            plans: of every matrix step.
            start: what the cores hold; nothing if not given.
            cores: how many of them to use, the first ones; all if not given.
            keep: let no tile replace another while a core with an empty buffer is left.
        """
        mesh = self.body.target.mesh
        run = _Run(self, Cores(mesh.cores if cores is None else cores, self._times, mesh.buffers, keep))
        if start is not None:
            run.cores.held[:] = start.resident[: run.cores.count]
            run.cores.turn[:] = start.turns[: run.cores.count]
        for index, step in enumerate(self.body.steps):
            run.index = index
            if isinstance(step, MatrixStep):
                run.matrix(step, plans[step.name])
            elif isinstance(step, ProductStep):
                run.product(step)
            elif isinstance(step, RecurrentStep):
                run.loop(step)
            else:
                run.host_op(step)
        makespan = max((float(part["end_s"].max(initial=0.0)) for part in run.parts), default=0.0)
        resident = np.full((mesh.cores, mesh.buffers), -1, np.int64)
        turns = np.zeros(mesh.cores, np.int64)
        resident[: run.cores.count], turns[: run.cores.count] = run.cores.held, run.cores.turn
        return Dealt(run.parts, makespan, Start(resident, turns))

    @cached_property
    def lines(self) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
        """Chains found so far: see :meth:`line`."""
        return {}

    def line(self, bank: str, dataflow: str) -> tuple[np.ndarray, np.ndarray]:
        """The tiles of each grid row (``output``) or grid column (``input``): where each begins, and the tiles."""
        if (bank, dataflow) not in self.lines:
            places = self.body.banks[bank].columns
            across, along = ("row", "col") if dataflow == "output" else ("col", "row")
            order = np.lexsort((places[along], places[across], places["group"]))
            group, line = places["group"][order], places[across][order]
            new = np.append(True, (group[1:] != group[:-1]) | (line[1:] != line[:-1])) if len(order) else np.empty(0)
            self.lines[bank, dataflow] = (np.append(np.flatnonzero(new), len(order)), order)
        return self.lines[bank, dataflow]

    def first(self, bank: str) -> int:
        """Number of a bank's first tile, counted through all banks."""
        return self._first[bank]

    def made_on_chip(self, value: str) -> bool:
        """Whether a value is a result of the chip."""
        return value in self._on_chip


@dataclass
class _Run:
    """One run under way. ``done`` has when each value is there, ``there`` when it is on the other side of the link."""

    dealer: Dealer
    cores: Cores
    host: Host = field(default_factory=Host)
    parts: list[Events] = field(default_factory=list[Events])
    index: int = 0
    link_free_s: float = 0.0
    done: dict[str, float] = field(default_factory=dict[str, float])
    there: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        self.body, self.batch = self.dealer.body, self.dealer.batch

    def matrix(self, step: MatrixStep, plan: StepPlan) -> None:
        """Vectors through the tiles of a matrix."""
        self._fetch(step, 0.0)
        ready = max((self._at(name, chip=True) for name in reads(step)), default=0.0)
        self.done[step.name] = ready
        vectors = self.batch * self.body.costs[step.name].vectors
        tiles, first = self.body.banks[step.bank].spec.tiles, self.dealer.first(step.bank)
        if vectors and tiles:
            blocks = cut(self.body, step, plan, self.batch)
            if plan.dataflow != "weight":
                edge, order = self.dealer.line(step.bank, plan.dataflow)
                events = self.cores.chains(first, edge, order, ready, blocks)
            elif blocks.blocks > 1:
                events = self.cores.copies(first, tiles, ready, blocks)
            else:
                events = _sent(self.cores.run(first, tiles, ready, blocks.last_s), vectors)
            self._add(events)
            self.done[step.name] = float(events["end_s"].max())
        self._bring(step)

    def product(self, step: ProductStep) -> None:
        """A product of two computed values: factorising on the host, then every sample's tiles, all new."""
        ready = max(self.done.get(step.left, 0.0), self._at(step.right, chip=False))
        seconds = factor_s(self.body, step, self.batch)
        start = self.host.append(ready, seconds)
        self._event(EventKind.HOST, -1, HOST_LANE, start, start + seconds)
        # weights that depend on data: no core can be configured before the host is done, and they are on the chip
        there = self._move(start + seconds, TO_CHIP, self.dealer.moves[step.name].settings)
        self._fetch(step, there)
        ready = max(there, self._at(step.left, chip=True))
        self.done[step.name] = ready
        vectors = self.body.costs[step.name].vectors
        tiles = self.batch * self.body.banks[step.bank].spec.tiles if vectors else 0
        if tiles:
            stream = stream_s(self.body.target_for(step.bank), vectors)
            events = _sent(self.cores.run(0, tiles, ready, stream, weights_s=there), vectors)
            self._add(events)
            self.done[step.name] = float(events["end_s"].max())
        self._bring(step)

    def loop(self, step: RecurrentStep) -> None:
        """The time steps of a recurrent step, their moves part of the gates."""
        body, cores = self.body, self.cores
        ready = max((self._at(name, chip=False) for name in reads(step)), default=0.0)
        times, vectors = windows(body, step, self.batch)
        places = Places.of(loop_tiles(body, step), cores.count, cores.buffers)
        numbers = [self.dealer.first(name) + np.arange(body.banks[name].spec.tiles) for name in step.banks]
        parts, self.done[step.name] = deal_loop(
            places,
            cores,
            self.host,
            np.concatenate(numbers),
            ready_s=ready,
            times=times,
            stream_s=[stream_s(body.target_for(name), vectors) for name in step.banks],
            gates_s=gates_s(body, step, self.batch),
        )
        if parts:
            self._add(_sent(joined(*parts), vectors))

    def host_op(self, step: HostStep) -> None:
        """An op on the host, after all others."""
        ready = max((self._at(name, chip=False) for name in reads(step)), default=0.0)
        cost = self.body.costs[step.name]
        seconds = host_s(self.body.target, self.batch * cost.macs, self.batch * cost.elements)
        start = self.host.append(ready, seconds)
        self.done[step.name] = start + seconds
        self._event(EventKind.HOST, -1, HOST_LANE, start, start + seconds)

    def _at(self, value: str, *, chip: bool) -> float:
        """When a value can be read on the chip, or on the host."""
        done = self.done.get(value, 0.0)
        return done if self.dealer.made_on_chip(value) == chip else self.there.get(value, done)

    def _fetch(self, step: MatrixStep | ProductStep, ready_s: float) -> None:
        """Bring a step's inputs to the chip, no earlier than ``ready_s``."""
        for value, count in self.dealer.moves[step.name].to_chip:
            self.there[value] = self._move(max(self.done.get(value, 0.0), ready_s), TO_CHIP, count)

    def _bring(self, step: MatrixStep | ProductStep) -> None:
        """Bring a step's result to the host, where it is read there."""
        count = self.dealer.moves[step.name].to_host
        if count:
            self.there[step.name] = self._move(self.done[step.name], TO_HOST, count)

    def _move(self, ready_s: float, way: int, count: int) -> float:
        """Move so many bytes over the link, after all moves before; returns when they are there."""
        if not count:
            return ready_s
        start = max(self.link_free_s, ready_s)
        self.link_free_s = start + move_s(self.body.target, count)
        self._event(EventKind.MOVE, way, LINK_LANE, start, self.link_free_s, count)
        return self.link_free_s

    def _event(self, kind: EventKind, tile: int, core: int, start_s: float, end_s: float, count: int = 0) -> None:
        where = (np.array([tile]), np.array([core]), np.array([start_s]), np.array([end_s]))
        self._add({**columns(kind, *where), "vectors": np.array([count])})

    def _add(self, events: Events) -> None:
        length = len(events["kind"])
        events["step"] = np.full(length, self.index, np.int32)
        events.setdefault("first", np.zeros(length, np.int64))
        self.parts.append(events)


def _sent(events: Events, vectors: int) -> Events:
    """Events whose streams send all vectors."""
    return {**events, "vectors": np.where(events["kind"] == EventKind.STREAM, vectors, 0)}
