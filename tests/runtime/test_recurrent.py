"""Loops over time: gates like torch's, both executors code for code, and a schedule that knows what waits for what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import lightloom as ll
from lightloom.runtime.errors import InputError, VerifyError
from lightloom.runtime.executor import Runner
from lightloom.runtime.nulldevice import NullDevice
from lightloom.runtime.pricing.counts import Counts, run_counts
from lightloom.runtime.program import ProgramBody, RecurrentStep
from lightloom.runtime.recurrent import gates, windows
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.recurrent_dealing import Host, Places
from lightloom.runtime.scheduling.schedule import COLUMNS, EventKind, Schedule
from lightloom.whatif import what_if

NOISE = {"detection.noise": True, "detection.launch_power_w": 1e-6}
LAYERS = {
    "lstm": (nn.LSTM, {}),
    "projected": (nn.LSTM, {"proj_size": 7}),
    "gru": (nn.GRU, {"bias": False}),
    "rnn": (nn.RNN, {"nonlinearity": "relu"}),
}


def layer(kind: str, hidden: int = 18) -> nn.RNNBase:
    torch.manual_seed(0)
    make, options = LAYERS[kind]
    return make(5, hidden, batch_first=True, bidirectional=True, **options).eval()


def program(kind: str, cores: int = 8, **changes: Any) -> ProgramBody:
    target = ll.targets.get("mzi16").with_({"mesh.cores": cores, **changes})
    x = sequences(4)
    static = changes.get("encoding.scale") == "static"
    return ll.compile(layer(kind), x, target=target, calibration=[x] if static else None).body


def sequences(samples: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(8, 6, 5, generator=generator)[:samples]


def loops(body: ProgramBody) -> list[RecurrentStep]:
    return [step for step in body.steps if isinstance(step, RecurrentStep)]


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_gates_are_those_of_the_torch_cells(kind: str) -> None:
    torch.manual_seed(1)
    cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}.get(kind, nn.RNNCell)(3, 4).double()
    if isinstance(cell, nn.RNNCell):
        cell.nonlinearity = kind.removeprefix("rnn_")
    x, h, c = (torch.randn(2, size, dtype=torch.float64) for size in (3, 4, 4))
    products = (
        nn.functional.linear(x, cell.weight_ih, cell.bias_ih),
        nn.functional.linear(h, cell.weight_hh, cell.bias_hh),
    )
    got = gates(kind, *products, h, c if kind == "lstm" else None)
    wanted = cell(x, (h, c)) if kind == "lstm" else (cell(x, h), None)
    for mine, theirs in zip(got, wanted, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-15)


@pytest.mark.parametrize("cores", [16, 3, 1])
@pytest.mark.parametrize("kind", LAYERS)
def test_executors_and_counts_agree(kind: str, cores: int) -> None:
    body, x = program(kind, cores, **NOISE), sequences(3)
    runner = Runner(body)
    batched = tree_leaves(runner.run((x,), seed=5, dtype=torch.float64))
    counts = runner.counts
    stepped = tree_leaves(runner.run((x,), seed=5, dtype=torch.float64, executor="step"))
    for mine, theirs in zip(batched, stepped, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
        assert mine.abs().max() > 0.1
    schedule = deal(body, 3)
    schedule.verify(body)
    assert counts == runner.counts == run_counts(body, schedule)


@pytest.mark.parametrize(
    "changes",
    [
        {"encoding.sign": "offset"},
        {"encoding.sign": "phase_sign", "encoding.dac_bits": 5},
        {"encoding.sign": "differential_two_shot", "detection.kind": "intensity"},
        {"encoding.scale": "static"},
        {"mesh.phase_error_rad": 0.02, "mesh.splitter_error_rad": 0.02},
    ],
    ids=lambda changes: " ".join(map(str, changes.values())),
)
def test_executors_agree_on_every_chip(changes: dict[str, Any]) -> None:
    body, x = program("projected", **changes), sequences(2)
    found = [
        tree_leaves(Runner(body).run((x,), seed=2, dtype=torch.float64, executor=executor))
        for executor in ("batched", "step")
    ]
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_a_sample_sees_its_own_noise_whatever_the_batch() -> None:
    body = program("lstm", **NOISE)
    runner, x = Runner(body), sequences(4)
    whole = runner.run((x,), seed=1, dtype=torch.float64)[0]
    part = runner.run((x[:2],), seed=1, dtype=torch.float64)[0]
    other = runner.run((x,), seed=2, dtype=torch.float64)[0]
    torch.testing.assert_close(whole[:2], part, rtol=0, atol=1e-12)
    assert (whole - other).abs().max() > 1e-6
    twins = runner.run((x[:1].expand(2, -1, -1),), seed=1, dtype=torch.float64)[0]
    assert (twins[0] - twins[1]).abs().max() > 1e-6
    still = runner.run((torch.zeros(1, 6, 5),), seed=1, dtype=torch.float64)[0][0]
    assert len({tuple(row.tolist()) for row in still}) == 6, "every time step has noise of its own"


@pytest.mark.parametrize("kind", LAYERS)
def test_tiles_stay_configured_where_there_are_cores(kind: str) -> None:
    body = program(kind, cores=64)
    schedule = deal(body, 4)
    schedule.verify(body)
    for index, step in enumerate(body.steps):
        if isinstance(step, RecurrentStep):
            events = schedule.by_step[index]
            tiles = sum(body.banks[name].spec.tiles for name in step.banks)
            assert (schedule.kind[events] == EventKind.CONFIGURE).sum() == tiles
            assert (schedule.kind[events] == EventKind.STREAM).sum() == 6 * tiles
            assert (schedule.kind[events] == EventKind.HOST).sum() == 6
            assert set(schedule.vectors[events].tolist()) == {0, 4}
    assert schedule.ratio < 1.7, "the two directions run beside each other"


def test_scarce_cores_are_configured_again_at_every_time_step() -> None:
    body = program("lstm", cores=2)
    step = loops(body)[0]
    tiles = body.banks[step.bank].spec.tiles
    assert tiles == 10
    schedule = deal(body, 1)
    events = schedule.by_step[[s.name for s in body.steps].index(step.name)]
    # each core keeps the last of its five tiles from one time step to the next
    assert (schedule.kind[events] == EventKind.CONFIGURE).sum() == tiles + 5 * (tiles - 2)
    assert schedule.ratio < 1.05


def changed(schedule: Schedule, **columns: np.ndarray) -> Schedule:
    order = np.argsort(columns.get("start_s", schedule.start_s), kind="stable")
    names = ("kind", "step", "tile", "core", "start_s", "end_s", "vectors")
    found = {name: columns.get(name, getattr(schedule, name))[order] for name in names}
    return replace(schedule, **found, makespan_s=float(found["end_s"].max()))


@pytest.mark.parametrize("kind", ["lstm", "projected"])
def test_a_time_step_that_runs_ahead_is_found(kind: str) -> None:
    body = program(kind, cores=64)
    schedule = deal(body, 2)
    step = [s.name for s in body.steps].index(loops(body)[0].name)
    gates_at = np.flatnonzero((schedule.step == step) & (schedule.kind == EventKind.HOST))
    shift = np.zeros(len(schedule))
    shift[gates_at[3]] = -1e-9
    with pytest.raises(VerifyError, match="before what it needs is there"):
        changed(schedule, start_s=schedule.start_s + shift, end_s=schedule.end_s + shift).verify(body)
    keep = np.ones(len(schedule), bool)
    keep[gates_at[2]] = False
    shorter = {name: getattr(schedule, name)[keep] for name in COLUMNS}
    with pytest.raises(VerifyError, match="has its gates once"):
        replace(schedule, **shorter).verify(body)
    with pytest.raises(VerifyError, match="out of turn"):
        Runner(body, schedule=lambda batch: replace(schedule, **shorter)).run((sequences(2),), executor="step")


def test_reports_know_the_loop() -> None:
    torch.manual_seed(0)
    compiled = ll.compile(layer("projected"), sequences(4), target="mzi16")
    rows = {op.path: op for op in compiled.explain().ops}
    loop = rows["weight_hh_l0"]
    assert (loop.op, loop.where) == ("lstm (recurrent)", "chip")
    assert loop.macs == 6 * (72 * 7 + 7 * 18)
    reuse = {bank.bank: bank.vectors_per_sample for bank in compiled.explain().layers}
    assert reuse["weight_hh_l0"] == reuse["weight_hr_l0_reverse"] == 6
    step = loops(compiled.body)[0].name
    tiles = [name for name, data in compiled.graph("tile").nodes(data=True) if data["kind"] == "tile"]
    assert {f"{step}[0,0,0]", f"{step}[0,4,0]", f"{step}.projection[0,0,1]"} <= set(tiles)
    bank = compiled.graph("bank").nodes[step]
    assert bank["kind"] == "recurrent"
    assert bank["tiles"] == 5 + 2
    assert bank["end_s"] - bank["start_s"] > 6 * compiled.target.timing.pipeline_latency_s
    energy = compiled.energy.run.by_row()
    assert energy[step] > 0
    assert "lstm loop backwards in time" in compiled.dump()
    assert step in compiled.report()


def test_what_if_changes_the_chip_under_the_loop() -> None:
    x = sequences(3)
    chip = ll.targets.get("mzi16")
    coarse = {"encoding.dac_bits": 5, "mesh.phase_bits": 7}
    changed = what_if(ll.compile(layer("projected"), x, target=chip), coarse)
    anew = ll.compile(layer("projected"), x, target=chip.with_(coarse))
    assert torch.equal(changed(x)[0], anew(x)[0])


def test_a_null_device_sees_every_window() -> None:
    body = program("projected", cores=64)
    device = NullDevice()
    Runner(body).run((sequences(2),), executor="step", device=device)
    counts = run_counts(body, deal(body, 2))
    assert device.calls.count("configure") == counts.configures
    assert device.calls.count("stream") == sum(deal(body, 2).kind == EventKind.STREAM)


@pytest.mark.parametrize("executor", ["batched", "step"])
def test_no_samples_give_no_results(executor: str) -> None:
    runner = Runner(program("projected"))
    sequence, (h, c) = runner.run((sequences(0),), executor=executor)
    assert (sequence.shape, h.shape, c.shape) == ((0, 6, 14), (2, 0, 7), (2, 0, 18))
    assert runner.counts == Counts()


def test_all_zero_hidden_weights_need_no_tile() -> None:
    model = layer("lstm")
    with torch.no_grad():
        model.weight_hh_l0.zero_()
        model.weight_hh_l0_reverse.zero_()
    x = sequences(2)
    compiled = ll.compile(model, x, target="mzi16")
    compiled.schedule_for(2).verify(compiled.body)
    for executor in ("batched", "step"):
        got = compiled.run(x, ideal=True, executor=executor)[0]
        torch.testing.assert_close(got, model(x)[0].detach(), rtol=0, atol=1e-5)


def test_one_sequence_whose_time_steps_are_the_batch() -> None:
    torch.manual_seed(0)
    model = nn.GRU(5, 6).eval()
    compiled = ll.compile(model, torch.randn(4, 5), target="mzi16")
    step = loops(compiled.body)[0]
    assert windows(compiled.body, step, 9) == (9, 1)
    x = torch.randn(9, 5)
    for executor in ("batched", "step"):
        got = compiled.run(x, ideal=True, executor=executor)
        for mine, theirs in zip(got, model(x), strict=True):
            torch.testing.assert_close(mine, theirs.detach(), rtol=0, atol=1e-5)
    compiled.schedule_for(9).verify(compiled.body)


@pytest.mark.parametrize("times", [2, 7, 30])
def test_any_number_of_time_steps_on_both_executors(times: int) -> None:
    torch.manual_seed(0)
    model = nn.LSTM(5, 6, batch_first=True).eval()
    compiled = ll.compile(model, torch.randn(2, 7, 5), target="mzi16", dynamic_shapes={"input": {1: "time"}})
    x = torch.randn(3, times, 5)
    runner = Runner(compiled.body)
    batched = tree_leaves(runner.run((x,), dtype=torch.float64))
    counts = runner.counts
    stepped = tree_leaves(runner.run((x,), dtype=torch.float64, executor="step"))
    for mine, theirs in zip(batched, stepped, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    assert counts == runner.counts
    assert counts.host_elements >= 3 * times * 6 * 13
    # the first sample's vectors have the same index, and so the same noise, in sequences of any length
    shorter = runner.run((x[:1, :2],), dtype=torch.float64)[0]
    torch.testing.assert_close(batched[0][:1, :2], shorter, rtol=0, atol=1e-12)


def test_a_state_that_explodes_is_named() -> None:
    model = nn.RNN(2, 2, nonlinearity="relu", batch_first=True).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e8)
    compiled = ll.compile(model, torch.ones(1, 9, 2), target="mzi16")
    with pytest.raises(InputError, match="hidden state became NaN or infinite at time step"):
        compiled.run(torch.ones(1, 9, 2), ideal=True)


@pytest.mark.parametrize("tiles", [(5,), (3, 2), (7, 2), (1, 9), (0, 3), (4, 0)])
@pytest.mark.parametrize("cores", [1, 2, 4, 16])
def test_places_hold_every_tile_once(tiles: tuple[int, ...], cores: int) -> None:
    for buffers in (1, 2):
        places = Places.of(tiles, cores, buffers)
        first = 0
        for count, phase in zip(tiles, places.phases, strict=True):
            assert sorted(np.concatenate(phase).tolist()) == list(range(first, first + count))
            first += count
        assert len(places.tiles) == min(cores, sum(tiles))
        most = max(map(len, places.tiles))
        if sum(tiles) <= cores * buffers:
            assert most <= buffers


def test_the_host_takes_gates_into_its_gaps() -> None:
    host = Host()
    assert host.append(1.0, 1.0) == 1.0
    assert host.append(0.0, 1.0) == 2.0
    assert host.fit(0.0, 1.0) == 0.0
    assert host.fit(0.0, 0.5) == 3.0
    assert host.append(5.0, 1.0) == 5.0
    assert host.fit(3.2, 1.5) == 3.5
    assert list(zip(host.start_s, host.end_s, strict=True)) == [(0, 1), (1, 2), (2, 3), (3, 3.5), (3.5, 5), (5, 6)]
