"""Every way of adding up a run's energy gives the same, for every dataflow and option of a chip."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lightloom.runtime.pricing.counts import run_counts, step_counts
from lightloom.runtime.pricing.energy import IDLE, ITEMS, energy, price
from lightloom.runtime.pricing.tile_energies import tile_energies
from lightloom.runtime.program import HostStep
from lightloom.runtime.report.text import report
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.plan import Plan

from ..bankloop.toy import make_target
from ..handmade import small
from ..test_recurrent import program as recurrent_program

MEMORY = {
    "sram_bytes": 2048,
    "dram_j_per_byte": 1e-10,
    "local_j_per_byte": 1e-13,
    "input_buffer_bytes": 512,
    "accumulator_bytes": 512,
}
OPTIONS = {
    "plain": {},
    "buffers": {"mesh.buffers": 2},
    "lanes": {"encoding.lanes": 3},
    "changed": {"mesh.writes": "changed", "mesh.buffers": 2},
    "live": {"energy.phase_shifter_hold_w": None, "energy.phase_shifter_pi_w": 1e-2},
    "link": {"link.latency_s": 1e-6, "link.bytes_per_s": 1e9, "link.j_per_byte": 1e-11},
    "control": {"energy.control_w": 0.3, "mesh.buffers": 2},
    "updates": {"timing.update_s": 1e-7, "memory.sram_bytes_per_s": 1e9, "memory.dram_bytes_per_s": 1e8},
    "all": {
        "mesh.buffers": 2,
        "mesh.writes": "changed",
        "encoding.lanes": 2,
        "energy.phase_shifter_hold_w": None,
        "energy.phase_shifter_pi_w": 1e-2,
        "energy.control_w": 0.3,
        "link.latency_s": 1e-6,
        "link.j_per_byte": 1e-11,
        "timing.update_s": 1e-7,
    },
}
COSTS = {
    "energy.reconfigure_j_per_phase": 1e-11,
    "energy.modulator_j_per_sample": 2e-12,
    "energy.detector_j_per_sample": 3e-12,
    "energy.host_j_per_op": 4e-13,
}


def body_of(options):
    target = make_target(8, mesh_={"cores": 3, "phase_bits": 8, "attenuator_bits": 8})
    return small(target.with_(memory=MEMORY).with_({**COSTS, **OPTIONS[options]}))


def sums_agree(body, schedule):
    """Every view of the ledgers is the total, exactly; the tiles and what is no tile's are, but for rounding."""
    found = energy(body, schedule)
    run = found.run
    views = {
        found.total_j,
        run.total_j,
        sum(run.by_part().values()),
        sum(run.by_row().values()),
        sum(run.by_item().values()),
        sum(found.by_event().values()),
        run.static_j + run.dynamic_j,
        found.execution.total_j + found.configuration.total_j,
        math.fsum(run.joules.ravel()),
    }
    assert len(views) == 1
    for column in ("execution_j", "configuration_j"):
        assert sum(found.table().to_dict()[column]) in (found.execution.total_j, found.configuration.total_j)
    tiles = math.fsum(math.fsum(values) for values in tile_energies(body, schedule).values())
    left = run.by_row()[IDLE] + run.by_item()["link"]
    for step in body.steps:
        cost = body.costs[step.name]
        if isinstance(step, HostStep):
            left += run.by_row()[step.name]
            continue
        counts = step_counts(body, schedule)[step.name].execution
        items = price(body.target_for(step.bank), replace(counts, link_bytes=0))
        biases = 0
        if step.bias is not None:
            spec = body.banks[step.bank].spec
            biases = schedule.batch * cost.vectors * spec.groups * spec.rows
        left += items["ops"] + biases * body.target_for(step.bank).energy.host_j_per_op
        # what the host of a loop or a product reads and writes
        left += 2 * 4 * counts.host_elements * body.target_for(step.bank).energy.memory_j_per_byte
    assert tiles + left == pytest.approx(found.total_j, rel=1e-12)
    return found


@pytest.mark.parametrize("dataflow", ["weight", "output", "input", "auto"])
@pytest.mark.parametrize("options", OPTIONS)
def test_parts_items_events_tiles_and_layers_sum_to_the_total(options, dataflow):
    body = body_of(options)
    schedule = deal(body, 4, Plan(dataflow))
    found = sums_agree(body, schedule)
    items = found.run.by_item()
    counts = run_counts(body, schedule)
    target = body.target
    assert items["electronics"] == pytest.approx(3 * (target.energy.control_w or 0.0) * schedule.makespan_s)
    assert items["link"] == pytest.approx((target.link.j_per_byte or 0.0) * counts.link_bytes)
    assert items["dram"] == pytest.approx(1e-10 * counts.dram_bytes)
    assert items["local memory"] == pytest.approx(1e-13 * counts.local_bytes)
    assert counts.dram_bytes > 0
    assert (counts.local_bytes > 0) == (dataflow in ("output", "input")) or dataflow == "auto"
    assert (counts.link_bytes > 0) == target.link.present


@pytest.mark.parametrize("dataflow", ["weight", "output"])
def test_a_warm_run_adds_up_too(dataflow):
    body = body_of("all")
    schedule = deal(body, 4, Plan(dataflow), warm=True)
    cold = deal(body, 4, Plan(dataflow))
    assert schedule.warm
    warm = sums_agree(body, schedule)
    assert warm.configuration.total_j < energy(body, cold).configuration.total_j


@pytest.mark.parametrize("options", ["plain", "all"])
def test_loops_add_up_too(options):
    body = recurrent_program("projected", 3, **{"mesh.phase_bits": 8, "mesh.attenuator_bits": 8})
    changes = {key: value for key, value in OPTIONS[options].items() if key != "mesh.buffers"}
    body = replace(body, target=body.target.with_(changes))
    sums_agree(body, deal(body, 3))


def test_dataflows_differ_in_memory_alone():
    """The same light, samples and settings; what differs is where numbers lie, and time."""
    body = body_of("plain")
    counts = [run_counts(body, deal(body, 4, Plan(dataflow))) for dataflow in ("weight", "output", "input")]
    for name in ("tile_vectors", "shots", "dac_samples", "adc_samples", "accumulations", "host_elements"):
        assert len({getattr(count, name) for count in counts}) == 1, name
    assert len({count.local_bytes for count in counts}) == 3


def test_lanes_cost_light_by_the_shot():
    """Three lanes: a third of the windows, the same light."""
    plain, lanes = body_of("plain"), body_of("lanes")
    found = [energy(body, deal(body, 4)).run.by_item() for body in (plain, lanes)]
    for name in ("laser", "local oscillator", "dac", "modulator", "adc", "receiver"):
        assert found[0][name] == pytest.approx(found[1][name]), name
    assert found[1]["hold"] < found[0]["hold"]


def test_tiles_cost_what_they_do():
    """A tile with all ports at work costs more than one at the edge, and one that is left out has no entry."""
    body = body_of("plain")
    schedule = deal(body, 4)
    for name, values in tile_energies(body, schedule).items():
        assert values.shape == (body.banks[name].spec.tiles,)
        assert (values > 0).all()


def test_rates_of_the_run():
    body = body_of("all")
    schedule = deal(body, 4)
    found = energy(body, schedule)
    ops = 2 * 4 * sum(cost.macs for cost in body.costs.values())
    assert found.ops_per_s == pytest.approx(ops / schedule.makespan_s)
    assert found.ops_per_j == pytest.approx(found.ops_per_s / found.average_power_w)
    assert list(ITEMS) == found.table().to_dict()["item"]


def test_the_report_shows_events_traffic_and_area():
    body = body_of("all")
    bare, schedule = body, deal(body, 4, Plan("output"))
    text = report(body, schedule, energy(body, schedule))
    for words in (
        "Energy by tile",
        "Events of the run",
        "accumulate",
        "input buffers and accumulators",
        "link to the host",
        "TOPS/W",
    ):
        assert words in text
    assert "\nArea\n" not in text
    stated = replace(bare, target=bare.target.with_(area={"cell_m2": 1e-8}))
    schedule = deal(stated, 4, Plan("output"))
    text = report(stated, schedule, energy(stated, schedule))
    assert "\nArea\n" in text
    assert "TOPS/mm²" in text
    assert not np.any([line != line.rstrip() for line in text.splitlines()])
