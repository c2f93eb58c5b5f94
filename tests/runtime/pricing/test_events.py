"""What happens inside a stream, and a run's time and energy by kind of event. All by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lightloom.runtime import targets
from lightloom.runtime.pricing.energy import ITEMS, energy, price
from lightloom.runtime.pricing.event_counts import Counts
from lightloom.runtime.pricing.events import EVENT_NAMES, EVENTS, activity, inside, own_configure_s
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.latency import detection_window_s, latency, stream_s

from ..bodies import layer, network
from ..test_recurrent import program as recurrent_program
from ..timetable import timetable

CONFIGURE, STREAM, HOST, MOVE = range(4)
TIMED = {
    "reconfigure_s": 1e-6,
    "window_s": 10e-9,
    "pipeline_latency_s": 30e-9,
    "encode_s": 2e-9,
    "detector_margin_s": 1e-9,
    "integrate_s": 5e-9,
}
CHIP = targets.get("mzi16").with_(timing=TIMED)


class TestInside:
    def test_a_window_is_encode_light_and_read(self):
        found = inside(CHIP, 7)
        assert found.windows == 7
        assert (found.encoded_s, found.opens_s, found.closes_s, found.dark_s) == pytest.approx((2e-9, 3e-9, 8e-9, 1e-8))
        settled = detection_window_s(CHIP.with_({"timing.reconfigure_s": 0.0}))
        assert (found.opens_s, found.closes_s) == pytest.approx(settled)

    def test_the_last_window_ends_the_stream(self):
        for vectors, changes in ((1, {}), (7, {}), (7, {"encoding.lanes": 4}), (7, {"memory.sram_bytes_per_s": 1e10})):
            target = CHIP.with_(changes)
            found = inside(target, vectors)
            end = (found.windows - 1) * found.period_s + found.period_s - found.dark_s + found.out_s
            assert end == pytest.approx(stream_s(target, vectors))
            assert found.period_s >= found.dark_s * (1 - 1e-12)

    def test_lanes_share_windows(self):
        assert inside(CHIP.with_({"encoding.lanes": 4}), 7).windows == 2
        two = CHIP.with_({"encoding.lanes": 4, "encoding.sign": "differential_two_shot"})
        assert inside(two, 7).windows == 4

    def test_without_settling_the_detectors_see_the_whole_window(self):
        found = inside(targets.get("mzi16"), 1)
        assert (found.opens_s, found.closes_s) == (0, found.dark_s)

    def test_no_vectors_no_windows(self):
        assert inside(CHIP, 0).windows == 0


class TestActivity:
    def test_a_layer_by_hand(self):
        """2 x 3 tiles on 4 cores, 5 vectors: 30 windows; 4 cores for the makespan, but for what they do."""
        body = layer(CHIP, 20, 40, vectors=5)
        schedule = deal(body, 1)
        found = activity(body, schedule)
        assert {name: item.number for name, item in found.items()} == {
            "configure": 6, "encode": 30, "window": 30, "read": 30, "accumulate": 30, "move": 0, "host": 0, "idle": 0,
        }  # fmt: skip
        assert tuple(found) == EVENT_NAMES
        times = {name: item.busy_s for name, item in found.items()}
        assert times["configure"] == pytest.approx(6e-6)
        assert (times["encode"], times["window"], times["read"]) == pytest.approx((60e-9, 300e-9, 150e-9))
        assert times["accumulate"] == pytest.approx(6 * 30e-9)
        work = times["configure"] + times["window"] + times["accumulate"]
        assert times["idle"] == pytest.approx(4 * schedule.makespan_s - work)

    def test_configuring_beside_light_takes_no_time_of_its_own(self):
        """A configuration from 2 to 12, streams from 0 to 4 and from 6 to 7: 7 of its 10 seconds are its own."""
        body = layer(CHIP.with_({"mesh.buffers": 2}), 16, 48)
        rows = [
            (CONFIGURE, 0, 0, 0, -3.0, -2.0),
            (STREAM, 0, 0, 0, 0.0, 4.0, 1),
            (CONFIGURE, 0, 1, 0, 2.0, 12.0),
            (STREAM, 0, 0, 0, 6.0, 7.0, 1),
            (STREAM, 0, 1, 0, 12.0, 15.0, 1),
            (CONFIGURE, 0, 2, 1, 12.0, 13.0),
        ]
        assert own_configure_s(timetable(body, rows)).tolist() == [1, 0, 7, 0, 0, 1]

    def test_one_buffer_does_one_thing_at_a_time(self):
        body = network(CHIP, [3, 2], [4, 5])
        schedule = deal(body, 2)
        seconds = schedule.end_s - schedule.start_s
        assert own_configure_s(schedule).sum() == pytest.approx(seconds[schedule.kind == CONFIGURE].sum())

    def test_moves_are_counted_with_their_time(self):
        target = CHIP.with_(link={"latency_s": 1e-6, "bytes_per_s": 1e9})
        body = layer(target, 20, 40, vectors=5)
        schedule = deal(body, 2)
        found = activity(body, schedule)["move"]
        assert found.number == 2
        assert found.busy_s == pytest.approx(2e-6 + (2 * 5 * (40 + 20) * 4) / 1e9)
        times = latency(body, schedule)
        assert (times.link_busy_s, times.host_busy_s) == (found.busy_s, 0)

    def test_the_moves_of_a_loop_are_no_host_time(self):
        body = recurrent_program("projected")
        linked = replace(body, target=body.target.with_(link={"latency_s": 1e-6}))
        times = [activity(each, deal(each, 3)) for each in (body, linked)]
        assert times[1]["host"].busy_s == pytest.approx(times[0]["host"].busy_s)
        assert times[1]["move"].number > times[0]["move"].number == 0
        assert times[1]["move"].busy_s == pytest.approx(1e-6 * times[1]["move"].number)


class TestEnergyByEvent:
    def test_every_item_belongs_to_an_event(self):
        assert set(EVENTS) == set(ITEMS)
        assert set(EVENTS.values()) <= set(EVENT_NAMES)
        assert list(price(CHIP, Counts())) == list(ITEMS)

    def test_joules_of_a_layer_by_hand(self):
        """One full tile, configured for 1 us, then 5 vectors in 80 ns; one core of four."""
        body = layer(CHIP.with_({"energy.control_w": 0.5}), 16, 16, vectors=5)
        schedule = deal(body, 1)
        found = energy(body, schedule)
        joules = found.by_event()
        each = CHIP.energy
        assert (each.phase_shifter_hold_w, each.laser_wall_plug_efficiency) == pytest.approx((18.6e-3, 0.2))
        samples, settings = 5 * 2 * 16, 528
        hold_w = settings * 18.6e-3
        light = 5 * 10e-9 * 32 * 2e-3 / 0.2
        assert joules["configure"] == pytest.approx(
            (hold_w + 0.5) * 1e-6 + settings * (100e-12 + 2 * each.memory_j_per_byte)
        )
        assert joules["encode"] == pytest.approx(samples * (3.57e-12 + each.modulator_j_per_sample))
        assert joules["window"] == pytest.approx(light + (hold_w + 0.5) * 80e-9)
        assert joules["read"] == pytest.approx(samples * (1.48e-12 + 3e-12))
        assert joules["accumulate"] == pytest.approx(samples * each.host_j_per_op)
        assert joules["move"] == pytest.approx((5 * 16 + samples) * each.memory_j_per_byte)
        assert joules["host"] == 0
        assert joules["idle"] == pytest.approx(3 * 0.5 * 1.08e-6)
        assert sum(joules.values()) == found.total_j
        assert found.run.by_item()["electronics"] == pytest.approx(4 * 0.5 * 1.08e-6)

    def test_the_table_has_numbers_times_and_joules(self):
        body = network(CHIP, [3, 2], [4, 5])
        schedule = deal(body, 2)
        found = energy(body, schedule)
        table = found.events().to_dict()
        assert table["event"] == list(EVENT_NAMES)
        assert sum(table["joules"]) == found.total_j
        assert table["number"][2] == 2 * (3 * 4 + 2 * 5)
        assert sum(table["share"]) == pytest.approx(1)
        assert found.to_dict()["events"]["joules"] == table["joules"]
        assert np.isfinite(table["busy_s"]).all()
