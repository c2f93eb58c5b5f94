"""Counts by level of memory, dataflow and link; settings written only where they change. All by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lightloom.runtime import targets
from lightloom.runtime.errors import InputError
from lightloom.runtime.executor import Runner
from lightloom.runtime.pricing.counts import chain_ends, run_counts, settings_per_tile, step_counts
from lightloom.runtime.pricing.movement import chains, movement, written
from lightloom.runtime.program import ProductStep, ProgramBody, StepCost, TileBank
from lightloom.runtime.scheduling.buffers import held
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.plan import StepPlan

from ..bankloop.toy import make_bank, make_target
from ..bodies import bank, host, layer, matrix, network, program
from ..handmade import Layer, chain, images, named, small
from ..timetable import timetable

MZI16 = targets.get("mzi16")
CONFIGURE, STREAM, HOST, MOVE = range(4)


class TestMemoryByLevel:
    """20 x 40 on 16 ports: 2 x 3 tiles; 6 vectors on 2 rails; one byte a number on either side, 4 a sum."""

    body = layer(MZI16, 20, 40, vectors=3)
    settings_bytes = 6 * settings_per_tile(MZI16.mesh) * 2
    samples = 2 * 6 * 20 * 3

    def traffic(self, dataflow):
        schedule = replace(deal(self.body, 2), plans={"fc": StepPlan(dataflow, 6)})
        execution = step_counts(self.body, schedule)["fc"].execution
        assert (execution.adc_samples, execution.dac_samples) == (self.samples, 2 * 6 * 40 * 2)
        return execution.memory_bytes, execution.local_bytes

    def test_weight_stationary_inputs_and_readings_go_through_the_memory(self):
        assert self.traffic("weight") == (6 * 40 * 2 + self.samples, 0)

    def test_output_stationary_sums_leave_once(self):
        """Each reading is added beside the core, 4 bytes read and 4 written; 20 sums a vector leave."""
        assert self.traffic("output") == (6 * 40 * 2 + 6 * 20 * 4, 8 * self.samples)

    def test_input_stationary_inputs_come_once(self):
        """40 inputs a vector come once, and lie beside the core for the other row of tiles."""
        assert self.traffic("input") == (6 * 40 + self.samples, 2 * 6 * 40)

    def test_continuous_converters_count_as_float32(self):
        wide = MZI16.with_({"encoding.dac_bits": None, "detection.adc_bits": 12})
        body = layer(wide, 20, 40, vectors=3)
        schedule = replace(deal(body, 2), plans={"fc": StepPlan("input", 6)})
        execution = step_counts(body, schedule)["fc"].execution
        assert execution.memory_bytes == 4 * 6 * 40 + 2 * self.samples
        assert execution.local_bytes == 4 * 2 * 6 * 40

    def test_a_chain_ends_at_the_last_tile_there_is(self):
        """2 groups of 2 x 3 tiles; of the first, the row's last and the column's first tile are left out."""
        item = bank("w", MZI16, 20, 40, groups=2, skip=(0, 5))
        places = list(zip(*(item.columns[name].tolist() for name in ("group", "row", "col")), strict=True))
        assert places[:4] == [(0, 0, 1), (0, 0, 2), (0, 1, 0), (0, 1, 1)]
        assert chain_ends(item, "output").tolist() == [0, 16, 0, 4, 0, 0, 16, 0, 0, 4]
        assert chain_ends(item, "input").tolist() == [16, 8, 16, 0, 16, 16, 8, 0, 0, 0]
        assert not chain_ends(item, "weight").any()

    def test_settings_that_do_not_fit_come_from_dram(self):
        for capacity, expected in ((self.settings_bytes, 0), (self.settings_bytes - 1, self.settings_bytes)):
            body = replace(self.body, target=MZI16.with_({"memory.sram_bytes": capacity}))
            configuration = step_counts(body, deal(body, 2))["fc"].configuration
            assert configuration.dram_bytes == expected
            assert configuration.memory_bytes == self.settings_bytes


LINK = {"link": {"latency_s": 1e-6, "bytes_per_s": 1e9, "j_per_byte": 1e-11}}


class TestLink:
    def test_inputs_go_to_the_chip_and_results_come_back(self):
        """x: 3 x 16 numbers; m0 gives 16 to the host op h0, whose 16 numbers go to m1, which gives the result."""
        target = MZI16.with_(**LINK)
        body = program(
            target,
            [bank("w0", target, 16, 16), bank("w1", target, 16, 16)],
            [matrix("m0", "w0", "x"), host("h0", "m0"), matrix("m1", "w1", "h0")],
            {"m0": StepCost(256, 1, 16), "h0": StepCost(0, 0, 16), "m1": StepCost(256, 1, 16)},
        )
        schedule = deal(body, 3)
        found = step_counts(body, schedule)
        assert {name: step.all.link_bytes for name, step in found.items()} == {"m0": 384, "h0": 0, "m1": 384}
        assert (schedule.kind == MOVE).sum() == 4

    def test_without_a_link_nothing_crosses(self):
        assert run_counts(TestMemoryByLevel.body, deal(TestMemoryByLevel.body, 2)).link_bytes == 0

    def test_the_batched_executor_counts_the_moves_of_its_schedule(self):
        body = small(make_target(8).with_(**LINK))
        runner = Runner(body)
        runner.run((images(3),))
        schedule = deal(body, 3)
        assert runner.counts.link_bytes == run_counts(body, schedule).link_bytes > 0


def settings_of(phases: list[list[int]], attenuation: list[list[int]]) -> TileBank:
    """A bank of one tile row on 4 ports: each tile's left mesh has these phase codes of 8 bits, the right one zeros."""
    made = make_bank(4, 4 * len(phases), phase_bits=8, attenuator_bits=8, gauge=False)
    left = np.array([row + [0] * (16 - len(row)) for row in phases], np.uint32) << np.uint32(24)
    words = np.array(attenuation, np.uint64) * np.uint64(2**32 - 1) // np.uint64(255)
    columns = {**made.columns, "left.phases": left, "right.phases": np.zeros_like(left)}
    return named(TileBank(made.spec, {**columns, "attenuation": words.astype(np.uint32)}), "m0")


def changing(tiles: int, cores: int = 1, buffers: int = 1) -> ProgramBody:
    """One layer of ``tiles`` tiles. Tile t has t phases of code t + 1 and t % 2 attenuators half open."""
    target = make_target(4, mesh_={
        "cores": cores, "buffers": buffers, "phase_bits": 8, "attenuator_bits": 8, "writes": "changed",
    })  # fmt: skip
    made = settings_of(
        [[tile + 1] * tile for tile in range(tiles)],
        [[128] * (tile % 2) + [255] * (4 - tile % 2) for tile in range(tiles)],
    )
    return replace(chain(target, ("s0", 4 * tiles), [Layer(4, 4 * tiles, bias=False)]), banks={"m0": made})


ALL = 2 * 16 + 4


class TestWritesWhatChanges:
    def test_a_configuration_writes_the_codes_that_differ(self):
        """Tile 0 to 1: one phase, one attenuator; 1 to 2: two phases (one of them was set), the attenuator back."""
        body = changing(3)
        rows = [(CONFIGURE, 0, tile, 0, 2 * tile, 2 * tile + 1) for tile in range(3)]
        schedule = timetable(body, rows)
        assert written(body, schedule).tolist() == [ALL, 1 + 1, 2 + 1]
        counts = run_counts(body, schedule)
        assert counts.phases_written == ALL + 2 + 3
        assert counts.configures == 3
        assert counts.memory_bytes == 3 * ALL  # every setting is read all the same

    def test_all_settings_are_written_without_the_option(self):
        body = changing(3)
        plain = replace(body, target=body.target.with_({"mesh.writes": "all"}))
        rows = [(CONFIGURE, 0, tile, 0, 2 * tile, 2 * tile + 1) for tile in range(3)]
        assert run_counts(plain, timetable(plain, rows)).phases_written == 3 * ALL

    def test_less_than_half_a_step_of_the_driver_is_no_update(self):
        body = changing(2)
        made = body.banks["m0"]
        left = np.stack([made.columns["left.phases"][0], made.columns["left.phases"][0]])
        left[1, :5] += np.uint32((1 << 23) - 1)
        left[1, 5:7] += np.uint32(1 << 23)
        attenuation = made.columns["attenuation"][[0, 0]]
        same = TileBank(made.spec, {**made.columns, "left.phases": left, "attenuation": attenuation})
        body = replace(body, banks={"m0": same})
        assert written(body, timetable(body, [(CONFIGURE, 0, t, 0, t, t + 1) for t in (0, 1)])).tolist() == [ALL, 2]

    def test_a_core_writes_over_what_its_own_buffer_held(self):
        """Two cores of two buffers: tiles 0, 1, 2, 3 on core 0, so that 2 follows 0 and 3 follows 1."""
        body = changing(5, cores=2, buffers=2)
        rows = [(CONFIGURE, 0, tile, 0, tile, tile + 1) for tile in range(4)] + [(CONFIGURE, 0, 4, 1, 4, 5)]
        schedule = timetable(body, rows)
        assert written(body, schedule).tolist() == [ALL, ALL, 2, 3, ALL]
        assert [chain.tolist() for chain in chains(body, schedule)] == [[[0, 0], [0, 2]], [[0, 1], [0, 3]], [[0, 4]]]
        assert movement(body, schedule).phases == 2 * 32
        assert movement(body, schedule).moved == 2 + 3

    def test_a_warm_run_writes_over_what_it_finds(self):
        """Core 0 holds tiles 1 and 0 in its buffers after 3 configurations: the next goes into buffer 1."""
        body = changing(4, buffers=2)
        rows = [(CONFIGURE, 0, 3, 0, 0, 1), (CONFIGURE, 0, 2, 0, 1, 2)]
        schedule = timetable(body, rows, resident=np.array([[1, 0]]), turns=np.array([3]))
        assert held(body, schedule).event.tolist() == [-1, 1, -1, 0]
        assert written(body, schedule).tolist() == [3 + 1, 2 + 1]  # 0 to 3, then 1 to 2
        empty = timetable(body, rows, resident=np.array([[-1, -1]]), turns=np.array([0]))
        assert written(body, empty).tolist() == [ALL, ALL]

    def test_tiles_that_only_a_run_knows_are_written_whole_and_so_is_what_follows(self):
        """Tile 0 of the layer, a product's tile, tile 0 again, then tile 1, which changes two settings."""
        body = changing(2)
        made = body.banks["m0"]
        product = ProductStep("p", "d", "v0", "v0", body.matrix_steps[0].type, "p", "")
        dynamic = TileBank(replace(made.spec, name="d", tiles=1, dynamic=True), {})
        body = replace(
            body,
            steps=(*body.steps, product),
            banks={**body.banks, "d": dynamic},
            costs={**body.costs, "p": StepCost(0, 1, 0)},
        )
        rows = [(CONFIGURE, 0, 0, 0, 0, 1), (CONFIGURE, 1, 7, 0, 1, 2)]
        rows += [(CONFIGURE, 0, 0, 0, 2, 3), (CONFIGURE, 0, 1, 0, 3, 4)]
        schedule = timetable(body, rows)
        assert written(body, schedule).tolist() == [ALL, ALL, ALL, 2]
        assert movement(body, schedule).moved == 1  # from tile 0 to itself, and to tile 1
        assert [chain.tolist() for chain in chains(body, schedule)] == [[[0, 0], [0, 0], [0, 1]]]

    def test_chunks_and_banks_make_no_difference(self, monkeypatch):
        body = chain(
            make_target(4, mesh_={"cores": 2, "phase_bits": 4, "attenuator_bits": 3, "writes": "changed"}),
            ("s0", 40),
            [Layer(4, 40), "relu", Layer(12, 4)],
        )
        schedule = deal(body, 1)
        whole = written(body, schedule)
        travel = movement(body, schedule)
        monkeypatch.setattr("lightloom.runtime.pricing.movement.CHUNK_BYTES", 8 * 16 * 2)
        assert written(body, schedule).tolist() == whole.tolist()
        again = movement(body, schedule)
        assert (again.moved, again.phases) == (travel.moved, travel.phases)
        assert again.travel_rad == pytest.approx(travel.travel_rad)
        assert whole[schedule.kind == CONFIGURE].min() < ALL

    def test_a_bank_without_settings_is_refused(self):
        body = network(MZI16.with_({"mesh.writes": "changed"}), [5, 2], [1, 1])
        with pytest.raises(InputError, match="known only with the settings"):
            run_counts(body, deal(body, 1))

    def test_both_executors_count_alike(self):
        body = changing(6)
        x = torch.ones(2, 24)
        batched, step = Runner(body), Runner(body)
        batched.run((x,))
        step.run((x,), executor="step")
        assert batched.counts == step.counts == run_counts(body, deal(body, 2))
        assert step.counts.phases_written < 6 * ALL
