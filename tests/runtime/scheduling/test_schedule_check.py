"""The rules of a schedule, one by one: what a table of events, lanes and cores ask for."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime.program import StepCost
from lightloom.runtime.scheduling.check_cores import holding, lengths
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.schedule import COLUMNS, EventKind, Schedule

from ..bodies import bank, host, layer, matrix, network, program
from ..edits import ROUND, edited, in_order, later, linked_pair, moved, refused, row_of, without

CONFIGURE, STREAM, HOST, MOVE = EventKind


BODY = network(ROUND, [3, 2], [2, 5], elements=4)
GOOD = deal(BODY, 2)


class TestTable:
    def test_a_good_schedule_passes(self) -> None:
        GOOD.verify(BODY)

    def test_a_pause_is_no_fault(self) -> None:
        later(GOOD, 7.0, 20.0).verify(BODY)

    @pytest.mark.parametrize(
        ("column", "kind", "value", "message"),
        [
            ("core", CONFIGURE, 2, "no such core.*got 2; allowed: -2 to 1"),
            ("step", CONFIGURE, 9, "no such step.*allowed: 0 to 3"),
            ("kind", CONFIGURE, 5, "no such kind.*allowed: 0 to 3"),
            ("end_s", CONFIGURE, np.inf, r"a time that is not a number \(at end_s\)"),
            ("core", CONFIGURE, -1, "a tile on the host or the link, instead of a core"),
            ("core", STREAM, -2, "a tile on the host or the link, instead of a core"),
            ("core", HOST, 0, "a host op on a core or the link, instead of the host"),
            ("kind", STREAM, 3, "a move on a core or the host, instead of the link"),
            ("first", CONFIGURE, 1, "a first vector of what is no stream"),
            ("first", HOST, 1, "a first vector of what is no stream"),
            ("start_s", CONFIGURE, -1.0, "an event before the run starts.*got -1.0"),
            ("end_s", STREAM, 0.0, "an event that ends before it starts"),
        ],
    )
    def test_values_out_of_range_are_named(self, column: str, kind: EventKind, value: float, message: str) -> None:
        refused(edited(GOOD, row_of(GOOD, kind), **{column: value}), BODY, message)

    def test_events_come_in_start_order(self) -> None:
        start = GOOD.start_s.copy()
        start[row_of(GOOD, HOST)] = 0.0
        refused(dataclasses.replace(GOOD, start_s=start), BODY, "events out of start order")

    def test_the_makespan_is_the_last_end(self) -> None:
        refused(dataclasses.replace(GOOD, makespan_s=1e9), BODY, "a makespan that is not the last end")

    def test_a_bound_is_no_more_than_the_makespan(self) -> None:
        refused(dataclasses.replace(GOOD, lower_bound_s=1e9), BODY, "a lower bound above the makespan")

    def test_another_program(self) -> None:
        refused(GOOD, layer(ROUND, 16, 16), "the schedule is of another program")

    def test_columns_are_of_one_length(self) -> None:
        refused(dataclasses.replace(GOOD, tile=GOOD.tile[1:]), BODY, "columns of unequal length")

    def test_other_cores(self) -> None:
        other = dataclasses.replace(BODY, target=ROUND.with_({"mesh.buffers": 2}))
        refused(GOOD, other, r"a schedule for other cores \(at buffers\); got 1; allowed: 2")

    def test_many_faults_are_cut_off(self) -> None:
        names = [f"m{index}" for index in range(20)]
        steps = [matrix(name, "w", "x") for name in names]
        body = program(ROUND, [bank("w", ROUND, 16, 16)], steps, {name: StepCost(1, 1, 1) for name in names})
        short = deal(body, 1)
        refused(dataclasses.replace(short, vectors=short.vectors * 2), body, r"breaks 20 rules:(?s:.*)and 10 more")


class TestLanes:
    def test_a_core_does_one_thing_at_a_time(self) -> None:
        early = edited(GOOD, row_of(GOOD, STREAM), start_s=9.0)
        refused(early, BODY, r"two events at once \(at core 0, events 0 and \d+\)")

    def test_the_host_does_one_thing_at_a_time(self) -> None:
        body = program(ROUND, [], [host("a", "x"), host("b", "x")], {name: StepCost(0, 0, 5) for name in "ab"})
        schedule = deal(body, 1)
        refused(moved(schedule, 1, -2.0), body, r"two events at once \(at host, events 0 and 1\)")

    def test_the_link_does_one_thing_at_a_time(self) -> None:
        body = linked_pair()
        schedule = deal(body, 1)
        second = row_of(schedule, MOVE, 1)
        refused(moved(schedule, second, -3.0), body, r"two events at once \(at link")

    def test_two_buffers_are_not_configured_at_once(self) -> None:
        body = layer(ROUND.with_({"mesh.buffers": 2, "mesh.cores": 1}), 16, 48, vectors=8)
        schedule = deal(body, 1)
        second = row_of(schedule, CONFIGURE, 1)
        assert schedule.start_s[second] == schedule.start_s[row_of(schedule, STREAM)]
        refused(moved(schedule, second, -5.0), body, "two events at once")

    def test_with_two_buffers_light_runs_while_a_core_is_configured(self) -> None:
        body = layer(ROUND.with_({"mesh.buffers": 2, "mesh.cores": 1}), 16, 48, vectors=8)
        deal(body, 1).verify(body)
        single = dataclasses.replace(body, target=ROUND.with_({"mesh.cores": 1}))
        refused(dataclasses.replace(deal(body, 1), buffers=1), single, r"two events at once \(at core 0")


class TestHolding:
    def test_a_stream_needs_a_configuration(self) -> None:
        message = r"a stream through a tile that its core does not hold \(at event \d+, step m0\); got tile 0 on core 0"
        refused(without(GOOD, row_of(GOOD, CONFIGURE)), BODY, message)

    def test_of_its_tile(self) -> None:
        refused(edited(GOOD, row_of(GOOD, STREAM), tile=1), BODY, "does not hold")

    def test_on_its_core(self) -> None:
        refused(edited(GOOD, row_of(GOOD, STREAM), core=1), BODY, "does not hold")

    def test_that_has_settled(self) -> None:
        body = layer(ROUND.with_({"mesh.buffers": 2}), 16, 32, vectors=3)
        schedule = deal(body, 1)
        refused(moved(schedule, row_of(schedule, STREAM), -1.0), body, "does not hold")

    def test_until_its_buffer_is_configured_for_another(self) -> None:
        body = layer(ROUND.with_({"mesh.buffers": 2, "mesh.cores": 1}), 16, 48, vectors=3)
        schedule = deal(body, 1)
        third, stream = row_of(schedule, CONFIGURE, 2), row_of(schedule, STREAM)
        # the first tile's stream while the third is being set into the same buffer
        late = edited(schedule, stream, start_s=schedule.start_s[third] - 1, end_s=schedule.start_s[third] + 2)
        refused(late, body, "does not hold")

    def test_tiles_of_banks_are_told_apart(self) -> None:
        body = program(
            ROUND.with_({"mesh.cores": 1}),
            [bank("a", ROUND, 16, 16), bank("b", ROUND, 16, 16)],
            [matrix("ma", "a", "x"), matrix("mb", "b", "x")],
            {"ma": StepCost(1, 1, 1), "mb": StepCost(1, 1, 1)},
        )
        schedule = deal(body, 1)
        refused(without(schedule, row_of(schedule, CONFIGURE, 1)), body, "does not hold")

    @settings(deadline=None, max_examples=150)
    @given(st.data(), st.integers(1, 2), st.integers(1, 3), st.booleans())
    def test_all_at_once_as_event_by_event(self, data: Any, buffers: int, cores: int, warm: bool) -> None:
        """The vectorised rule finds a fault where an account event by event does."""
        target = ROUND.with_({"mesh.buffers": buffers, "mesh.cores": cores})
        body = layer(target, 16, 48)
        count = data.draw(st.integers(1, 14))
        table = np.array(
            [
                data.draw(st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, cores - 1)))
                for _ in range(count)
            ]
        )
        start = np.cumsum(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
        length = np.array(data.draw(st.lists(st.integers(1, 4), min_size=count, max_size=count)))
        turns = np.array(data.draw(st.lists(st.integers(0, 3), min_size=cores, max_size=cores)))
        resident = np.array([[data.draw(st.integers(-1, 2)) for _ in range(buffers)] for _ in range(cores)])
        resident = np.where(np.arange(buffers) < turns[:, None], resident, -1)
        zeros = np.zeros(count, np.int64)
        columns = dict(
            zip(COLUMNS, (table[:, 0], zeros, table[:, 1], table[:, 2], start, start + length), strict=False)
        )
        schedule = Schedule(
            ("fc",), 1, **columns, vectors=zeros, first=zeros, makespan_s=0.0, lower_bound_s=0.0, buffers=buffers,
            **({"resident": resident, "turns": turns} if warm else {}),
        )  # fmt: skip
        assert bool(holding(schedule, body)) != _held_throughout(schedule, warm)


def _held_throughout(schedule: Schedule, warm: bool) -> bool:
    """Whether every stream finds its tile, event by event: what each buffer holds, from when to when."""
    cores, buffers = int(schedule.core.max()) + 1, schedule.buffers
    turn = schedule.turns.tolist() if warm else [0] * cores
    stays: dict[tuple[int, int], list[list[float]]] = {}  # by core and buffer: tile, from, until
    for core in range(cores):
        for buffer in range(buffers):
            held = int(schedule.resident[core, buffer]) if warm else -1
            stays[core, buffer] = [[held, -np.inf, np.inf]]
    for row in range(len(schedule)):
        if schedule.kind[row] == CONFIGURE:
            core = int(schedule.core[row])
            place = stays[core, turn[core] % buffers]
            place[-1][2] = schedule.start_s[row]
            place.append([schedule.tile[row], schedule.end_s[row], np.inf])
            turn[core] += 1
    for row in np.flatnonzero(schedule.kind == STREAM):
        places = [stay for buffer in range(buffers) for stay in stays[int(schedule.core[row]), buffer]]
        begin, end = schedule.start_s[row], schedule.end_s[row]
        if not any(tile == schedule.tile[row] and since <= begin and end <= until for tile, since, until in places):
            return False
    return True


class TestConfigurations:
    quick = ROUND.with_({"timing.update_s": 4.0, "mesh.cores": 1})

    @pytest.mark.parametrize("buffers", [1, 2])
    def test_later_configurations_are_updates(self, buffers: int) -> None:
        body = layer(self.quick.with_({"mesh.buffers": buffers}), 16, 16 * 4, vectors=20)
        schedule = deal(body, 1)
        schedule.verify(body)
        own = schedule.kind == CONFIGURE
        assert (schedule.end_s - schedule.start_s)[own].tolist() == [10.0] * buffers + [4.0] * (4 - buffers)
        # one configuration in the time of another kind: the first as an update, the last as a full one
        for row, seconds in ((row_of(schedule, CONFIGURE), 4.0), (row_of(schedule, CONFIGURE, 3), 10.0)):
            off = edited(schedule, row, end_s=schedule.start_s[row] + seconds)
            allowed = 14.0 - seconds
            message = rf"an event of the wrong length \(at event {row}, step fc\); got {seconds:g} s.*{allowed:g} s"
            refused(off, body, message)

    def test_turns_before_the_run_count(self) -> None:
        body = layer(self.quick, 16, 16, vectors=2)
        cold = deal(body, 1)
        warm = dataclasses.replace(cold, turns=np.array([3]), resident=np.array([[-1]]))
        refused(warm, body, "an event of the wrong length.*got 10 s; allowed: 4 s")
        columns = {name: getattr(cold, name) for name in COLUMNS}
        columns["end_s"] = np.array([4.0, 12.0])
        columns["start_s"] = np.array([0.0, 10.0])
        in_order(warm, columns).verify(body)

    def test_settings_take_their_way_from_the_memory(self) -> None:
        slow = self.quick.with_({"memory.sram_bytes_per_s": 1.0})
        body = dataclasses.replace(layer(self.quick, 16, 16), target=slow)
        refused(deal(layer(self.quick, 16, 16), 1), body, "an event of the wrong length")
        deal(body, 1).verify(body)


class TestResident:
    body = layer(ROUND.with_({"mesh.buffers": 2}), 16, 32, vectors=3)
    warm = deal(body, 1, warm=True)

    def test_a_resident_tile_needs_no_configuration(self) -> None:
        assert self.warm.warm
        assert self.warm.kind.tolist() == [STREAM, STREAM]
        self.warm.verify(self.body)

    def test_only_where_it_is(self) -> None:
        refused(edited(self.warm, 0, core=1), self.body, "does not hold")
        refused(dataclasses.replace(self.warm, resident=self.warm.resident[::-1]), self.body, "does not hold")

    def test_until_it_is_overwritten(self) -> None:
        body = layer(ROUND.with_({"mesh.cores": 1}), 16, 32, vectors=3)
        warm = deal(body, 1, warm=True)
        warm.verify(body)
        kept = row_of(warm, STREAM)
        assert warm.tile[kept] == warm.resident[0, 0]
        # first the other tile, then the one that was there
        late = edited(warm, kept, start_s=warm.makespan_s, end_s=warm.makespan_s + 3)
        refused(late, body, "does not hold")

    @pytest.mark.parametrize(
        ("resident", "turns", "message"),
        [
            ([[0]], [1], r"tiles held at the start, of other cores.*got \(1, 1\), \(1,\); allowed: \(2, 2\), \(2,\)"),
            ([[0, -1], [2, -1]], [1, 1], "no such tile to hold at the start.*got 2; allowed: tiles of weights, 0 to 1"),
            ([[0, -1], [-2, -1]], [1, 1], "no such tile to hold at the start.*got -2"),
            ([[-1, -1], [-1, -1]], [1, -1], "fewer configurations than none.*got -1"),
            ([[0, -1], [-1, 1]], [1, 1], "a buffer holds a tile before its first configuration"),
        ],
    )
    def test_what_cannot_be_held_is_named(self, resident: Any, turns: Any, message: str) -> None:
        other = dataclasses.replace(self.warm, resident=np.array(resident), turns=np.array(turns))
        refused(other, self.body, message)


def test_lengths_may_differ_by_rounding() -> None:
    start = np.array([1e6, 1e6])
    schedule = dataclasses.replace(GOOD, start_s=start, end_s=start + np.array([1e-3, 1.1e-3]), step=np.zeros(2, int))
    assert not lengths(schedule, np.array([0]), 1e-3 + 1e-9)
    assert not lengths(schedule, np.array([1]), 1e-3)  # a tenth of a millisecond after eleven days
    start = np.zeros(2)
    schedule = dataclasses.replace(schedule, start_s=start, end_s=start + np.array([1e-3, 1.1e-3]))
    assert lengths(schedule, np.array([1]), 1e-3)
