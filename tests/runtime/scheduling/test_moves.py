"""Moves over the link between host and chip: which there are, and when."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch

import lightloom as ll
from lightloom.runtime import targets
from lightloom.runtime.program import Conv2dGeometry, MatrixStep, ProductStep, ProgramBody, RecurrentStep, StepCost
from lightloom.runtime.scheduling.bounds import bounds, gates_s
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.latency import move_s, tile_setting_bytes
from lightloom.runtime.scheduling.moves import NONE, StepMoves, loop_bytes, loop_move_s, moves
from lightloom.runtime.scheduling.plan import OBJECTIVES, Plan
from lightloom.runtime.scheduling.schedule import EventKind, Schedule
from lightloom.runtime.targets import Target
from lightloom.runtime.values import TensorType

from ..bodies import bank, host, matrix, program

MZI16 = targets.get("mzi16")
# Round numbers: configure 10 s, one window 1 s, one op a second on the host; a move takes 1 s, and 1 s for 64 bytes.
ROUND = MZI16.with_(
    mesh={"cores": 4},
    timing={"reconfigure_s": 10.0, "window_s": 1.0, "pipeline_latency_s": 0.0},
    energy={"host_ops_per_s": 1.0},
    link={"latency_s": 1.0, "bytes_per_s": 64.0},
)


def body_of(*steps: Any, target: Target = ROUND) -> ProgramBody:
    """Steps of one vector of 16 numbers each; host ops take a second."""
    costs = {step.name: StepCost(256, 1, 16) if isinstance(step, MatrixStep) else StepCost(0, 0, 1) for step in steps}
    banks = [bank(step.bank, target, 16, 16) for step in steps if isinstance(step, MatrixStep)]
    return program(target, banks, list(steps), costs)


def moved(schedule: Schedule) -> list[tuple[str, str, float, float, int]]:
    """(step, way, start, end, bytes) of every move."""
    found = []
    for row in (schedule.kind == EventKind.MOVE).nonzero()[0]:
        way = "to host" if schedule.tile[row] else "to chip"
        times = (float(schedule.start_s[row]), float(schedule.end_s[row]))
        found.append((schedule.steps[schedule.step[row]], way, *times, int(schedule.vectors[row])))
        assert schedule.core[row] == -2
    return found


class TestWhich:
    def test_results_of_the_chip_stay_there(self) -> None:
        body = body_of(matrix("a", "wa", "x"), matrix("b", "wb", "a"))
        assert moves(body, 1) == {"a": StepMoves((("x", 64),)), "b": StepMoves(to_host=64)}
        assert moves(body, 3)["b"].bytes == 3 * 64

    def test_a_value_crosses_once_for_all_its_readers(self) -> None:
        body = body_of(
            matrix("a", "wa", "x"), matrix("b", "wb", "x"), host("h", "a", "b"), matrix("c", "wc", "h"), host("i", "a")
        )
        assert moves(body, 1) == {
            "a": StepMoves((("x", 64),), 64),
            "b": StepMoves((), 64),
            "h": NONE,
            "c": StepMoves((("h", 64),)),
            "i": NONE,
        }

    def test_without_a_link_nothing_moves(self) -> None:
        target = ROUND.with_({"link.latency_s": None, "link.bytes_per_s": None})
        body = body_of(matrix("a", "wa", "x"), target=target)
        assert moves(body, 1) == {"a": NONE}
        assert not (deal(body, 1).kind == EventKind.MOVE).any()

    def test_nothing_moves_where_there_are_no_vectors(self) -> None:
        body = body_of(matrix("a", "wa", "x"))
        body = replace(body, costs={"a": StepCost(0, 0, 0)})
        assert moves(body, 2) == {"a": NONE}

    @pytest.mark.parametrize(("shape", "elements"), [(("s0", 4, 9, 7), 4 * 9 * 7), (("s0", 4, "s1", "s2"), 4 * 12 * 4)])
    def test_an_image_moves_whole_or_by_its_strides(self, shape: tuple[Any, ...], elements: int) -> None:
        geometry = Conv2dGeometry(4, (3, 3), (2, 2), (0, 0, 0, 0), (1, 1), 1)
        step = replace(matrix("a", "w", "x"), geometry=geometry, type=TensorType("f32", ("s0", 8, 4, 3)))
        body = program(ROUND, [bank("w", ROUND, 8, 36)], [step], {"a": StepCost(1, 12, 96)})
        body = replace(body, inputs=(replace(body.inputs[0], type=TensorType("f32", shape)),))
        assert moves(body, 5)["a"] == StepMoves((("x", 5 * 4 * elements),), 5 * 4 * 8 * 12)


class TestWhen:
    def test_light_waits_for_the_input_and_the_host_for_the_result(self) -> None:
        body = body_of(matrix("a", "wa", "x"), host("h", "a"), matrix("b", "wb", "h"))
        schedule = deal(body, 1)
        schedule.verify(body)
        assert moved(schedule) == [
            ("a", "to chip", 0.0, 2.0, 64),
            ("a", "to host", 11.0, 13.0, 64),
            ("b", "to chip", 14.0, 16.0, 64),
            ("b", "to host", 17.0, 19.0, 64),
        ]
        assert schedule.makespan_s == 19.0
        assert schedule.ratio == 1.0

    def test_one_move_at_a_time(self) -> None:
        body = body_of(matrix("a", "wa", "x"), matrix("b", "wb", "x"), host("h", "a", "b"))
        schedule = deal(body, 1)
        schedule.verify(body)
        assert [row[:4] for row in moved(schedule)] == [
            ("a", "to chip", 0.0, 2.0),
            ("a", "to host", 11.0, 13.0),
            ("b", "to host", 13.0, 15.0),
        ]

    def test_a_program_without_a_link_has_the_same_tiles_at_the_same_times(self) -> None:
        free = ROUND.with_({"link.latency_s": 0.0, "link.bytes_per_s": None})
        none = ROUND.with_({"link.latency_s": None, "link.bytes_per_s": None})
        steps = (matrix("a", "wa", "x"), host("h", "a"), matrix("b", "wb", "h"))
        crossed, still = (deal(body_of(*steps, target=target), 2) for target in (free, none))
        keep = crossed.kind != EventKind.MOVE
        assert crossed.start_s[keep].tolist() == still.start_s.tolist()
        assert crossed.makespan_s == still.makespan_s


@pytest.fixture(scope="module")
def loops() -> ll.Program:
    torch.manual_seed(0)
    target = MZI16.with_({"mesh.cores": 2, "link.latency_s": 1e-6, "link.bytes_per_s": 1e9})
    model = torch.nn.LSTM(5, 18, proj_size=7, batch_first=True).eval()
    return ll.compile(model, torch.randn(2, 6, 5), target=target)


def test_the_gates_of_a_loop_wait_for_its_moves(loops: ll.Program) -> None:
    body = loops.body
    step = next(step for step in body.steps if isinstance(step, RecurrentStep))
    # of three sequences: h to the chip, its products back, then the projection's
    sizes = (3 * 4 * 7, 3 * 4 * 4 * 18, 3 * 4 * 18, 3 * 4 * 7)
    assert loop_bytes(body, step, 3) == sizes
    assert loop_move_s(body, step, 3) == pytest.approx(4e-6 + sum(sizes) / 1e9, rel=1e-12)
    bare = replace(body, target=MZI16.with_({"link.latency_s": None, "link.bytes_per_s": None}))
    assert loop_bytes(bare, step, 3) == ()
    assert gates_s(body, step, 3) == pytest.approx(gates_s(bare, step, 3) + loop_move_s(body, step, 3), rel=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("warm", [False, True])
def test_loops_keep_the_rules(loops: ll.Program, objective: Any, warm: bool) -> None:
    for cores, buffers, update in (
        (1, 1, None),
        (2, 2, 1e-8),
        (9, 1, None),
        (6, 2, None),
        (12, 1, None),
        (20, 2, None),
    ):
        target = loops.target.with_({"mesh.cores": cores, "mesh.buffers": buffers, "timing.update_s": update})
        body = replace(loops.body, target=target)
        schedule = deal(body, 3, Plan("auto", objective), warm)
        schedule.verify(body)
        given = {"resident": schedule.resident, "turns": schedule.turns} if warm else {}
        for name, seconds in bounds(body, 3, **given).items():
            assert seconds <= schedule.makespan_s * (1 + 1e-12), name
        tiles = sum(item.spec.tiles for item in body.banks.values())
        if warm and tiles <= cores * buffers:
            assert not (schedule.kind == EventKind.CONFIGURE).any()


def test_a_product_gets_its_settings_first() -> None:
    torch.manual_seed(0)
    target = MZI16.with_({"mesh.cores": 2, "link.latency_s": 1e-6, "link.bytes_per_s": 1e9})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ll.LightloomWarning)
        model = torch.nn.TransformerEncoderLayer(16, 2, 20, batch_first=True).eval()
        compiled = ll.compile(model, torch.randn(2, 6, 16), target=target, dynamic_matmul="photonic")
    body = compiled.body
    step = next(step for step in body.steps if isinstance(step, ProductStep))
    own = moves(body, 3)[step.name]
    assert own.settings == 3 * body.banks[step.bank].spec.tiles * tile_setting_bytes(target)
    schedule = deal(body, 3)
    schedule.verify(body)
    rows = schedule.by_step[[item.name for item in body.steps].index(step.name)]
    kinds = schedule.kind[rows]
    factors, crossing = rows[kinds == EventKind.HOST], rows[kinds == EventKind.MOVE]
    assert schedule.vectors[crossing[0]] == own.settings
    assert schedule.start_s[crossing[0]] >= schedule.end_s[factors[0]]
    configures = rows[kinds == EventKind.CONFIGURE]
    assert schedule.start_s[configures].min() >= schedule.end_s[crossing[0]]
    seconds = schedule.end_s[crossing[0]] - schedule.start_s[crossing[0]]
    assert seconds == pytest.approx(move_s(target, own.settings), rel=1e-9)
