"""Watts of settings as they are, and joules of holding them. All by hand."""

from __future__ import annotations

import gc
from dataclasses import replace
from math import acos, pi

import numpy as np
import pytest

from lightloom.runtime import targets
from lightloom.runtime.errors import InputError
from lightloom.runtime.pricing import holding
from lightloom.runtime.pricing.energy import energy, peak_power
from lightloom.runtime.pricing.holding import half_turns, hold, setting_w, tile_watts
from lightloom.runtime.program import ProgramBody
from lightloom.runtime.report.text import report
from lightloom.runtime.scheduling.dealing import deal

from ..bankloop.toy import make_bank, make_target
from ..bodies import layer
from ..handmade import Layer, chain
from ..timetable import timetable
from .test_counts import settings_of

CONFIGURE, STREAM = 0, 1
PI_W = 8e-3
HALF_OPEN = 2 * acos(128 / 255) / pi
"""The phase over pi of the MZI that passes the amplitude 128 / 255."""

LIVE = {"energy.phase_shifter_hold_w": None, "energy.phase_shifter_pi_w": PI_W}


def body_of(buffers: int = 1) -> ProgramBody:
    """Three tiles of 4 ports: phases of 0, of pi and pi / 2, and of 127 / 128 pi; attenuators open but for two."""
    target = make_target(4, mesh_={"cores": 2, "buffers": buffers, "phase_bits": 8, "attenuator_bits": 8})
    made = settings_of([[], [128, 64], [127]], [[255] * 4, [128, 0, 255, 255], [255] * 4])
    body = chain(target.with_(LIVE), ("s0", 12), [Layer(4, 12, bias=False)])
    return replace(body, banks={"m0": made})


WATTS = [0.0, PI_W * (1 + 0.5 + HALF_OPEN + 1), PI_W * 127 / 128]


def test_a_setting_takes_its_share_of_the_power_of_pi() -> None:
    body = body_of()
    assert tile_watts(body.banks["m0"], body.target) == pytest.approx(WATTS)


def test_phases_are_those_that_the_driver_makes() -> None:
    """Three quarters of a step more is rounded up to a step."""
    bank = settings_of([[10], [10]], [[255] * 4] * 2)
    bank.columns["left.phases"][1, 0] += np.uint32(3 << 22)
    assert half_turns(bank) == pytest.approx([10 / 128, 11 / 128])


def test_unquantized_settings_count_to_the_last_bit() -> None:
    bank = make_bank(4, 4, gauge=False)
    exact = sum(bank.columns[f"{side}.phases"].astype(float).sum() for side in ("left", "right")) / 2**31
    cells = np.arccos(bank.columns["attenuation"] / (2**32 - 1)).sum() * 2 / pi
    assert half_turns(bank) == pytest.approx([exact + cells])


def test_chunks_make_no_difference_and_banks_are_added_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = make_bank(16, 16, phase_bits=6, attenuator_bits=5)
    found = half_turns(bank)
    assert half_turns(bank) is found
    holding._half_turns.clear()
    monkeypatch.setattr(holding, "CHUNK_BYTES", 8 * 16 * 3)
    assert half_turns(bank).tolist() == found.tolist()
    del bank
    gc.collect()
    assert not any(np.shares_memory(found, kept) for kept in holding._half_turns.values())


def test_each_buffer_is_held_until_it_is_set_again() -> None:
    """Core 0: tile 1 from 1 s in buffer 0, tile 2 from 2 s in buffer 1, tile 0 from 6 s in buffer 0; 10 s in all."""
    body = body_of(buffers=2)
    rows = [
        (CONFIGURE, 0, 1, 0, 1.0, 2.0),
        (CONFIGURE, 0, 2, 0, 2.0, 3.0),
        (STREAM, 0, 1, 0, 2.0, 5.0, 1),
        (STREAM, 0, 2, 0, 5.0, 9.0, 1),
        (CONFIGURE, 0, 0, 0, 6.0, 7.0),
        (STREAM, 0, 0, 0, 9.0, 10.0, 1),
    ]
    found = hold(body, timetable(body, rows))
    assert found.event_j == pytest.approx([WATTS[1], WATTS[2], 3 * WATTS[1], 4 * WATTS[2], 0.0, 0.0])
    idle = WATTS[1] * (5 - 4) + WATTS[2] * (8 - 5)
    assert found.idle_j == pytest.approx(idle)


def test_a_warm_run_holds_what_it_finds_from_the_start() -> None:
    body = body_of(buffers=2)
    rows = [(STREAM, 0, 1, 0, 2.0, 5.0, 1), (CONFIGURE, 0, 0, 0, 6.0, 8.0), (STREAM, 0, 0, 0, 8.0, 9.0, 1)]
    schedule = timetable(body, rows, resident=np.array([[2, 1], [1, -1]]), turns=np.array([4, 1]))
    found = hold(body, schedule)
    assert found.event_j == pytest.approx([3 * WATTS[1], 0.0, 0.0])
    # tile 2 until buffer 0 is set at 6 s; tile 1 to the end, its stream apart; tile 1 of core 1 throughout
    assert found.idle_j == pytest.approx(6 * WATTS[2] + 6 * WATTS[1] + 9 * WATTS[1])


def test_equal_settings_cost_what_their_mean_does() -> None:
    """Priced one by one or at their mean power, settings of one phase come to the same."""
    body = chain(make_target(4, mesh_={"phase_bits": 8, "attenuator_bits": 8}), ("s0", 12), [Layer(4, 12)])
    live = replace(body, target=body.target.with_(LIVE))
    bank = settings_of([[64] * 16] * 3, [[255] * 4] * 3)
    live = replace(live, banks={"m0": bank})
    mean = replace(live, target=body.target.with_({"energy.phase_shifter_hold_w": PI_W * 0.5 * 16 / 36}))
    found = [energy(each, deal(each, 5)) for each in (live, mean)]
    np.testing.assert_allclose(found[0].run.joules, found[1].run.joules, rtol=1e-6)


def test_settings_that_only_a_run_knows_take_their_mean() -> None:
    target = targets.get("mzi16").with_(LIVE)
    assert setting_w(target) == pytest.approx(0.75 * PI_W)
    plain = make_bank(16, 16, ports=16)
    dynamic = replace(plain, spec=replace(plain.spec, dynamic=True))
    assert tile_watts(dynamic, target) == pytest.approx([528 * 0.75 * PI_W])


def test_the_peak_holds_every_buffer_at_the_mean() -> None:
    target = targets.get("mzi16").with_({**LIVE, "mesh.buffers": 2, "energy.control_w": 0.25})
    bare = target.with_({"energy.phase_shifter_pi_w": 0.0, "energy.control_w": 0.0})
    more = peak_power(target).total_w - peak_power(bare).total_w
    assert more == pytest.approx(4 * (2 * 528 * 0.75 * PI_W + 0.25))
    lanes = peak_power(bare.with_({"encoding.lanes": 3}))
    assert lanes.total_w == pytest.approx(3 * peak_power(bare).total_w)


def test_a_program_without_settings_is_refused() -> None:
    body = layer(targets.get("mzi16").with_(LIVE), 16, 16)
    with pytest.raises(InputError, match=r"known only with the settings.*phase_shifter_hold_w"):
        energy(body, deal(body, 1))


def test_the_report_prices_them() -> None:
    body = body_of()
    schedule = deal(body, 3)
    assert "hold" in report(body, schedule, energy(body, schedule))
