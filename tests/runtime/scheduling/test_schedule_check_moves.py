"""The rules of moves over the link, and of products, whose settings cross it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lightloom.runtime.program import ProductStep, ProgramBody, StepCost, TileBank
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.schedule import COLUMNS, HOST_LANE, EventKind, Schedule

from ..bodies import TYPE, bank, host, matrix, program
from ..edits import LINKED, ROUND, edited, in_order, linked_pair, moved, refused, row_of, without

CONFIGURE, STREAM, HOST, MOVE = EventKind


class TestMoves:
    body = linked_pair()
    good = deal(body, 1)

    def test_values_cross_once(self) -> None:
        self.good.verify(self.body)
        own = self.good.kind == MOVE
        assert list(zip(self.good.step[own], self.good.tile[own], self.good.vectors[own], strict=True)) == [
            (0, 0, 64),
            (0, 1, 64),
            (1, 1, 128),
        ]

    @pytest.mark.parametrize("turn", [0, 1, 2])
    def test_none_is_left_out(self, turn: int) -> None:
        row = row_of(self.good, MOVE, turn)
        way = "to the chip" if turn == 0 else "to the host"
        refused(without(self.good, row), self.body, rf"moves {way} other than the step's.*got \[\] bytes")

    def test_none_is_needless(self) -> None:
        row = row_of(self.good, MOVE)
        again = edited(self.good, row_of(self.good, MOVE, 1), tile=0, vectors=64)
        refused(
            again, self.body, r"moves to the chip other than the step's \(at ma\); got \[64, 64\]; bytes|got \[64, 64]"
        )
        unlinked = dataclasses.replace(self.body, target=ROUND)
        refused(self.good, unlinked, r"moves to the chip other than the step's.*allowed: \[\] bytes")
        refused(edited(self.good, row, step=2), self.body, r"moves to the chip other than the step's \(at sum\)")

    def test_of_the_right_bytes(self) -> None:
        refused(edited(self.good, row_of(self.good, MOVE), vectors=60), self.body, r"got \[60\] bytes; allowed: \[64\]")

    def test_in_a_direction(self) -> None:
        refused(edited(self.good, row_of(self.good, MOVE), tile=2), self.body, "a move in no direction.*got 2")

    def test_on_the_link(self) -> None:
        refused(edited(self.good, row_of(self.good, MOVE), core=HOST_LANE), self.body, "instead of the link")

    def test_of_the_right_length(self) -> None:
        row = row_of(self.good, MOVE)
        longer = edited(self.good, row, start_s=self.good.start_s[row], end_s=self.good.end_s[row] - 1)
        refused(longer, self.body, "an event of the wrong length.*got 63 s; allowed: 64 s")

    def test_streams_wait_for_their_vectors(self) -> None:
        late = row_of(self.good, MOVE)
        assert self.good.end_s[late] == 64
        for step, name in enumerate(("ma", "mb")):  # the second finds there what was moved for the first
            row = row_of(self.good, STREAM, step=step)
            refused(moved(self.good, row, -0.5), self.body, rf"a step starts before its inputs are there \(at {name}\)")

    def test_results_are_there_before_they_move(self) -> None:
        row = row_of(self.good, MOVE, 1)
        refused(moved(self.good, row, -0.5), self.body, "a move to the host starts before there is anything to move")

    def test_the_host_waits_for_results(self) -> None:
        row = row_of(self.good, HOST)
        refused(moved(self.good, row, -0.5), self.body, r"a step starts before its inputs are there \(at sum\)")

    def test_values_of_the_host_are_there_before_they_move(self) -> None:
        body = program(
            LINKED,
            [bank("w", LINKED, 16, 16)],
            [host("h", "x"), matrix("m", "w", "h")],
            {"h": StepCost(0, 0, 25), "m": StepCost(256, 1, 16)},
        )
        schedule = deal(body, 1)
        schedule.verify(body)
        row = row_of(schedule, MOVE)
        message = r"a move to the chip starts before there is anything to move.*step m\); got 24.0 s; allowed: from 25"
        refused(moved(schedule, row, -1.0), body, message)


def product(target: Any, batch: int = 2) -> tuple[ProgramBody, Schedule]:
    """A product of a host op's result and the input, one tile a sample, after a matrix."""
    wanted = bank("p", target, 16, 16)
    dynamic = TileBank(dataclasses.replace(wanted.spec, dynamic=True), wanted.columns)
    step = ProductStep("p", "p", "h", "x", TYPE, "path.p", "a test says so")
    body = program(
        target, [bank("w", target, 16, 16), dynamic], [matrix("m", "w", "x"), host("h", "m"), step],
        {"m": StepCost(256, 1, 16), "h": StepCost(0, 0, 16), "p": StepCost(1, 3, 30)},
    )  # fmt: skip
    return body, deal(body, batch)


class TestProducts:
    @pytest.mark.parametrize("target", [ROUND, LINKED])
    def test_a_good_one_passes(self, target: Any) -> None:
        body, schedule = product(target)
        schedule.verify(body)
        assert (schedule.step[schedule.kind == CONFIGURE] == 2).sum() == 2

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: without(s, row_of(s, HOST, step=2)), r"a product is factorised once \(at p\); got 0"),
            (lambda s: without(s, row_of(s, STREAM, step=2)), "tiles of a product that are not streamed once each"),
            (
                lambda s: without(s, row_of(s, CONFIGURE, step=2)),
                "tiles of a product that are not configured once each",
            ),
            (lambda s: edited(s, row_of(s, STREAM, step=2), tile=5), "tiles of a product that are not stream"),
            (lambda s: edited(s, row_of(s, STREAM, step=2), vectors=2), "a stream of the wrong vectors.*got 2 from 0"),
            (lambda s: edited(s, row_of(s, STREAM, step=2), first=1), "a stream of the wrong vectors.*got 3 from 1"),
            (lambda s: moved(s, row_of(s, CONFIGURE, step=2), -5.0), "configured before its weights are there"),
            (lambda s: moved(s, row_of(s, HOST, step=2), -1.0), r"a step starts before its inputs are there \(at p\)"),
            (lambda s: edited(s, row_of(s, STREAM, step=2), end_s=1e3), "an event of the wrong length"),
        ],
    )
    def test_what_a_product_asks_for(self, change: Callable[[Schedule], Schedule], message: str) -> None:
        body, schedule = product(ROUND)
        refused(change(schedule), body, message)

    def test_settings_cross_before_tiles_are_configured_and_vectors_after(self) -> None:
        body, schedule = product(LINKED)
        rows = np.flatnonzero((schedule.kind == MOVE) & (schedule.step == 2) & (schedule.tile == 0))
        settings_move, left = rows.tolist()
        assert schedule.vectors[settings_move] > schedule.vectors[left] == 2 * 3 * 16 * 4
        configure = row_of(schedule, CONFIGURE, step=2)
        early = moved(schedule, configure, schedule.start_s[settings_move] - schedule.start_s[configure])
        refused(early, body, r"a tile is configured before its settings are on the chip \(at p\)")
        refused(moved(schedule, settings_move, -1.0), body, "a move of a product's settings starts before there is")
        # the vectors first
        both = {name: getattr(schedule, name).copy() for name in ("start_s", "end_s")}
        length = schedule.end_s - schedule.start_s
        both["start_s"][left] = schedule.start_s[settings_move]
        both["end_s"][left] = both["start_s"][settings_move] = both["start_s"][left] + length[left]
        both["end_s"][settings_move] = both["start_s"][settings_move] + length[settings_move]
        columns = {name: both.get(name, getattr(schedule, name)) for name in COLUMNS}
        refused(in_order(schedule, columns), body, r"moves to the chip other than the step's \(at p\)")
