"""Counts and their price: formulas, exact sums, amortisation."""

import csv
import dataclasses
import json
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime import targets
from lightloom.runtime.errors import InputError
from lightloom.runtime.pricing.counts import (
    Counts,
    active_cols,
    active_rows,
    run_counts,
    settings_per_tile,
    step_counts,
    tile_sizes,
    total,
)
from lightloom.runtime.pricing.energy import IDLE, ITEMS, PARTS, energy, peak_power, price, tile_energy
from lightloom.runtime.pricing.ledger import on_grid
from lightloom.runtime.program import StepCost
from lightloom.runtime.report.text import report
from lightloom.runtime.scheduling.dealing import deal

from ..bodies import bank, host, layer, matrix, network, program

MZI16 = targets.get("mzi16")


class TestCounts:
    def test_a_stream_counts_rails_and_active_ports(self):
        body = layer(MZI16, 20, 40, vectors=3, bias=True)
        counts = run_counts(body, deal(body, 2))
        vectors, tiles = 6, 2 * 3
        settings_ = settings_per_tile(MZI16.mesh)
        assert counts == Counts(
            configures=tiles,
            phases_written=tiles * settings_,
            tile_vectors=tiles * vectors,
            shots=tiles * vectors,
            dac_samples=2 * vectors * 40 * 2,  # each input goes to both tile rows, on two rails
            adc_samples=2 * vectors * 20 * 3,  # each output comes from all three tile columns
            accumulations=2 * vectors * 20 * 3 + vectors * 20,
            memory_bytes=2 * tiles * settings_ + vectors * 40 * 2 + 2 * vectors * 20 * 3,
            host_macs=0,
            host_elements=0,
        )

    @pytest.mark.parametrize(
        ("sign", "rails", "shots"),
        [("differential", 2, 1), ("differential_two_shot", 2, 2), ("phase_sign", 1, 1), ("offset", 1, 1)],
    )
    def test_encodings_differ_in_samples_and_shots(self, sign, rails, shots):
        body = layer(MZI16.with_({"encoding.sign": sign}), 16, 16, vectors=5)
        counts = run_counts(body, deal(body, 1))
        assert counts.dac_samples == counts.adc_samples == rails * 5 * 16
        assert counts.shots == shots * 5

    def test_settings_of_a_tile_are_two_meshes_and_the_attenuators(self):
        assert settings_per_tile(MZI16.mesh) == 2 * 16 * 16 + 16

    def test_edge_tiles_are_smaller(self):
        item = bank("w", MZI16, 20, 40, groups=2)
        assert active_rows(item).tolist() == [16, 16, 16, 4, 4, 4] * 2
        assert active_cols(item).tolist() == [16, 16, 8] * 4
        assert int((active_rows(item) * active_cols(item)).sum()) == item.spec.weights

    @settings(deadline=None)
    @given(st.integers(0, 300), st.integers(1, 50))
    def test_tile_sizes_cover_the_extent(self, extent, tile):
        sizes = tile_sizes(extent, tile)
        assert sum(sizes) == extent
        assert all(size == tile for size in sizes[:-1])
        assert all(0 < size <= tile for size in sizes)

    def test_skipped_tiles_cost_nothing(self):
        full = program(MZI16, [bank("w", MZI16, 32, 32)], [matrix("m", "w", "x")], {"m": StepCost(1024, 1, 32)})
        holes = program(
            MZI16, [bank("w", MZI16, 32, 32, skip=(1, 2))], [matrix("m", "w", "x")], {"m": StepCost(1024, 1, 32)}
        )
        assert run_counts(holes, deal(holes, 4)).dac_samples * 2 == run_counts(full, deal(full, 4)).dac_samples

    def test_a_layer_with_overrides_is_timed_counted_and_priced_by_its_own_target(self):
        body = layer(MZI16, 16, 16, vectors=50)
        own = MZI16.with_({"encoding.sign": "differential_two_shot", "detection.launch_power_w": 2e-3})
        changed = dataclasses.replace(body, layer_targets={"w": own})
        plain, schedule = deal(body, 1), deal(changed, 1)
        schedule.verify(changed)
        assert schedule.makespan_s == pytest.approx(plain.makespan_s + 50e-9)
        assert run_counts(changed, schedule).shots == 100
        light = energy(changed, schedule).run.by_item()["laser"]
        assert light == pytest.approx(2 * energy(body, plain).run.by_item()["laser"])

    def test_counts_add(self):
        parts = [Counts(shots=1, host_macs=2), Counts(shots=3), Counts()]
        assert total(parts) == Counts(shots=4, host_macs=2)
        assert total(parts).to_dict()["shots"] == 4

    def test_host_steps_count_elements_and_multiply_accumulates(self):
        body = program(MZI16, [], [host("h", "x")], {"h": StepCost(7, 0, 5)})
        counts = step_counts(body, deal(body, 3))["h"].all
        assert (counts.host_macs, counts.host_elements, counts.memory_bytes) == (21, 15, 2 * 4 * 15)


class TestPrice:
    def test_laser_light_is_power_times_windows_times_rails_over_efficiency(self):
        items = price(MZI16, Counts(shots=1000))
        expected = 1000 * 1e-9 * 16 * 2 * 1e-3 / 0.2
        assert items["laser"] == pytest.approx(expected)
        assert items["local oscillator"] == pytest.approx(expected)

    def test_two_shots_cost_the_light_of_one_dual_port_shot(self):
        one = tile_energy(MZI16, 10)
        two = tile_energy(MZI16.with_({"encoding.sign": "differential_two_shot"}), 10)
        assert two["laser"] == pytest.approx(one["laser"])
        assert two["hold"] > one["hold"]

    def test_intensity_detection_needs_no_local_oscillator(self):
        assert price(MZI16.with_({"detection.kind": "intensity"}), Counts(shots=9))["local oscillator"] == 0

    def test_a_tile_event_holds_and_writes_every_setting(self):
        items = tile_energy(MZI16, 100)
        seconds = 10.2e-6 + 20e-9 + 100e-9
        assert items["hold"] == pytest.approx(528 * 18.6e-3 * seconds)
        assert items["reconfigure"] == pytest.approx(528 * 100e-12)
        assert tile_energy(MZI16, 100, configure=False)["reconfigure"] == 0

    def test_conversion_follows_active_ports(self):
        items = tile_energy(MZI16, 100, rows=3, cols=5)
        assert items["dac"] == pytest.approx(100 * 2 * 5 * 3.57e-12)
        assert items["adc"] == pytest.approx(100 * 2 * 3 * 1.48e-12)
        assert items["receiver"] == pytest.approx(100 * 2 * 3 * 3e-12)

    def test_every_item_has_a_part(self):
        assert set(price(MZI16, Counts())) == set(ITEMS)
        assert {part for part, _ in ITEMS.values()} == set(PARTS)

    def test_peak_power_is_that_of_a_long_stream_on_all_cores(self):
        vectors = 10**9
        items = tile_energy(MZI16, vectors, configure=False)
        peak = peak_power(MZI16)
        assert peak.total_w == pytest.approx(4 * sum(items.values()) / (vectors * 1e-9), rel=1e-6)
        assert peak.launched_w == pytest.approx(4 * 16 * 2 * 2e-3)


networks = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 40)), min_size=1, max_size=5)
joules = st.floats(0, 1e3, allow_subnormal=True)


class TestExactSums:
    @settings(deadline=None, max_examples=60)
    @given(st.integers(1, 6), networks, st.integers(1, 5), st.integers(0, 1000), st.floats(0, 1e3))
    def test_parts_rows_and_kinds_sum_to_the_total_in_any_order(self, cores, layers, batch, extra, calibration):
        body = network(
            MZI16.with_({"mesh.cores": cores}), [tiles for tiles, _ in layers], [vectors for _, vectors in layers]
        )
        found = energy(body, deal(body, batch), reuse=batch + extra, calibration_j=calibration)
        for ledger in (found.execution, found.configuration, found.run, found.amortised):
            entries = ledger.joules.ravel().tolist()
            random.Random(0).shuffle(entries)
            views = (
                sum(entries),
                math.fsum(entries),
                sum(ledger.by_part().values()),
                sum(ledger.by_row().values()),
                sum(reversed(ledger.by_item().values())),
                ledger.static_j + ledger.dynamic_j,
            )
            assert set(views) == {ledger.total_j}
        assert found.execution.total_j + found.configuration.total_j == found.run.total_j == found.total_j

    @settings(deadline=None)
    @given(st.lists(joules, min_size=1, max_size=30))
    def test_the_grid_moves_no_entry_by_more_than_rounding(self, values):
        table = np.array(values)
        (exact,) = on_grid(table)
        assert np.abs(exact - table).max() <= 2.3e-16 * math.fsum(values)
        assert sum(exact.tolist()) == sum(reversed(exact.tolist())) == math.fsum(exact.tolist())

    def test_a_program_that_does_nothing_costs_nothing(self):
        body = program(MZI16, [], [], {})
        found = energy(body, deal(body, 1))
        assert found.total_j == found.amortised_j == found.per_mac_j == found.average_power_w == 0
        assert str(found)


class TestEnergyReport:
    body = network(MZI16, [1, 6, 2], [1, 9, 4])
    schedule = deal(body, 4)
    found = energy(body, schedule)

    def test_steps_are_the_sum_of_their_tile_events(self):
        """All tiles of this network are full, so a step costs its tiles times the price of one."""
        for index, tiles, vectors in ((0, 1, 1), (1, 6, 9), (2, 2, 4)):
            event = tile_energy(MZI16, 4 * vectors)
            row = self.found.execution.rows.index(f"m{index}")
            step = self.found.run.joules[row]
            np.testing.assert_allclose(step, tiles * np.array(list(event.values())), rtol=1e-7)

    def test_held_phases_are_paid_from_the_first_configuration_to_the_end(self):
        hold = self.found.run.by_item()["hold"]
        chip = self.schedule.core >= 0
        starts = {}
        for core, start in zip(self.schedule.core[chip].tolist(), self.schedule.start_s[chip].tolist(), strict=True):
            starts.setdefault(core, start)
        seconds = sum(self.schedule.makespan_s - start for start in starts.values())
        assert hold == pytest.approx(seconds * 528 * 18.6e-3, rel=1e-9)
        assert self.found.execution.by_row()[IDLE] > 0

    def test_execution_and_configuration_are_apart(self):
        assert self.found.execution.by_item()["reconfigure"] == 0
        items = self.found.configuration.by_item()
        assert {name for name, value in items.items() if value} == {"hold", "reconfigure", "memory"}
        assert self.found.per_inference_j == self.found.execution.total_j / 4
        assert self.found.amortised_j == pytest.approx(self.found.total_j / 4)

    def test_calibration_is_shared_by_the_inferences_it_serves(self):
        calibrated = energy(self.body, self.schedule, reuse=1000, calibration_j=10.0)
        assert calibrated.amortised.by_row()["calibration"] == pytest.approx(10.0 / 1000)
        assert calibrated.amortised_j == pytest.approx(self.found.amortised_j + 0.01)
        assert calibrated.per_inference_j == pytest.approx(self.found.per_inference_j)

    def test_configuration_is_shared_only_by_what_finds_it_in_place(self):
        small = network(MZI16, [1, 2], [3, 3])
        resident = energy(small, deal(small, 2), reuse=200)
        assert resident.resident
        assert resident.configuration_reuse == 200
        assert resident.amortised_j == pytest.approx(
            resident.execution.total_j / 2 + resident.configuration.total_j / 200
        )
        crowded = energy(self.body, self.schedule, reuse=200)
        assert not crowded.resident
        assert crowded.configuration_reuse == 4

    def test_energy_per_multiply_accumulate(self):
        macs = 256 * (1 + 6 * 9 + 2 * 4)
        assert self.found.macs == macs
        assert self.found.per_mac_j == self.found.per_inference_j / macs
        assert self.found.amortised_per_mac_j == self.found.amortised_j / macs

    def test_average_power_stays_below_the_peak_and_the_host(self):
        hosts = self.found.run.by_part()["host"] + self.found.run.by_part()["memory"]
        ceiling = peak_power(MZI16).total_w + hosts / self.schedule.makespan_s
        assert 0 < self.found.average_power_w < ceiling

    @pytest.mark.parametrize("reuse", [3, 0, 4.5, True])
    def test_an_impossible_reuse_is_refused(self, reuse):
        with pytest.raises(InputError, match=r"impossible reuse.*allowed: the batch of 4"):
            energy(self.body, self.schedule, reuse=reuse)

    @pytest.mark.parametrize("calibration", [-1.0, float("nan"), float("inf")])
    def test_an_impossible_calibration_is_refused(self, calibration):
        with pytest.raises(InputError, match="impossible calibration energy"):
            energy(self.body, self.schedule, calibration_j=calibration)

    def test_more_light_costs_more_light_only(self):
        bright = network(MZI16.with_({"detection.launch_power_w": 2e-3}), [1, 6, 2], [1, 9, 4])
        more = energy(bright, deal(bright, 4)).run.by_item()
        for name, value in self.found.run.by_item().items():
            assert more[name] == pytest.approx(value * (2 if name == "laser" else 1), rel=1e-9), name

    def test_tables_agree_with_the_figures(self):
        data = json.loads(self.found.to_json())
        assert data == self.found.to_dict()
        assert sum(data["items"]["execution_j"]) == data["execution_total_j"]
        assert data["layers"]["total_j"][-1] == data["total_j"] == self.found.total_j
        rows = list(csv.DictReader(self.found.to_csv().splitlines()))
        assert [row["item"] for row in rows] == list(ITEMS)
        assert math.fsum(float(row["configuration_j"]) for row in rows) == self.found.configuration.total_j

    def test_the_report_tells_everything(self):
        text = report(self.body, self.schedule, self.found)
        for words in ("small on mzi16, batch 4", "lower bound", "execution only", "amortised", "energy per MAC"):
            assert words in text
        for part in PARTS:
            assert part in text
        for path, item in MZI16.provenance.items():
            assert path in text
            assert item.source in text
        assert not any(line != line.rstrip() for line in text.splitlines())
