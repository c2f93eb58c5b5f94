"""Worked examples of time, light and energy, each through a target: built with the example's numbers, then compiled,
scheduled and priced.

Inputs and right values from the book "Photonic Matrix Computing" (section numbers in the names); where its own
arithmetic slips, the right value is ours and the slip is named. More rows: test_tiling_and_energy.py (7.1, 7.5 by
part, 11.5, 12.1, 12.5).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.runtime.errors import TargetError
from lightloom.runtime.optics.budget import launch_for_detected_w, link_budget, required_launch_w
from lightloom.runtime.optics.detection import shot_noise_rms_a
from lightloom.runtime.optics.loss import loss_db, transmission
from lightloom.runtime.pricing.counts import active_cols, active_rows, settings_per_tile
from lightloom.runtime.pricing.energy import energy
from lightloom.runtime.report.text import report
from lightloom.runtime.scheduling.dealing import deal
from lightloom.runtime.scheduling.latency import detection_window_s, latency, spare_s, vectors_per_s
from lightloom.runtime.scheduling.schedule import EventKind
from lightloom.runtime.targets import Target

from ..runtime.bodies import layer

FREE = {
    "phase_shifter_hold_w": 0.0,
    "reconfigure_j_per_phase": 0.0,
    "dac_j_per_sample": 0.0,
    "modulator_j_per_sample": 0.0,
    "detector_j_per_sample": 0.0,
    "adc_j_per_sample": 0.0,
    "memory_j_per_byte": 0.0,
    "host_j_per_mac": 0.0,
    "host_j_per_op": 0.0,
    "laser_wall_plug_efficiency": 1.0,
}


def chip(ports: int, **changes: Any) -> Target:
    """One core that costs nothing but what an example states: one rail, intensity detection, no loss."""
    target = ll.targets.get("ideal").with_(
        mesh={"ports": ports, "cores": 1, "cell_loss_db": 0.0, "coupling_loss_db": 0.0},
        encoding={"sign": "offset"},
        detection={"kind": "intensity"},
        timing={"reconfigure_s": 0.0, "pipeline_latency_s": 0.0},
        energy=FREE,
    )
    return target.with_(changes)


def compiled(target: Target, outputs: int, inputs: int, batch: int = 1) -> ll.Program:
    """A dense layer without bias, compiled for a chip."""
    torch.manual_seed(0)
    return ll.compile(nn.Linear(inputs, outputs, bias=False), torch.zeros(batch, inputs), target)


def test_6_3_loss_stack() -> None:
    """Six segments of 1 cm at 1.5 dB/cm, five components of 0.3 dB: 10.5 dB, 8.91 % of the power."""
    target = chip(
        4,
        mesh={"topology": "rectangular", "layers": 3, "cell_loss_db": 1.5 * 1.0, "coupling_loss_db": 5 * 0.3},
    )
    link = link_budget(target)
    assert link.path_cells == 6
    assert link.path_loss_db == pytest.approx(10.5)
    assert link.detected_w / target.detection.launch_power_w == pytest.approx(0.0891, rel=1e-3)
    body = layer(target, 4, 4)
    schedule = deal(body, 1)
    assert "6 cells, 10.5 dB" in report(body, schedule, energy(body, schedule))


def test_7_1_energy_per_multiply_accumulate() -> None:
    """20 mW for 10 ns through a compiled 64 x 64 layer, 0.5 uJ to control, 0.2 uJ to detect: 170.9 pJ per MAC."""
    target = chip(
        64,
        timing={"window_s": 10e-9},
        detection={"launch_power_w": 20e-3 / 64},
        energy={"reconfigure_j_per_phase": 0.5e-6 / 8256, "detector_j_per_sample": 0.2e-6 / 64},
    )
    assert settings_per_tile(target.mesh) == 8256
    found = compiled(target, 64, 64).energy
    items = found.amortised.by_item()
    assert items["laser"] == pytest.approx(0.2e-9)
    assert found.amortised_per_mac_j == pytest.approx(170.9e-12, rel=5e-4)


def test_7_2_launch_power() -> None:
    """200 uW at the detector, back through a chip of 0.4 and a detector of 0.75: 667 uW."""
    target = chip(8, mesh={"cell_loss_db": loss_db(0.4) / 16, "coupling_loss_db": loss_db(0.75)})
    launched = launch_for_detected_w(target, 200e-6)
    assert launched == pytest.approx(667e-6, rel=1e-3)
    assert link_budget(target.with_({"detection.launch_power_w": launched})).detected_w == pytest.approx(200e-6)


def test_7_4_a_batch_with_fixed_weights() -> None:
    """32 vectors: settle 2 us once, then 0.5 us to encode and a window of 10 us each: 338 us; else 62 us more."""
    target = chip(
        16,
        timing={"reconfigure_s": 2e-6, "window_s": 10.5e-6, "encode_s": 0.5e-6, "integrate_s": 10e-6},
    )
    program = compiled(target, 16, 16, batch=32)
    assert program.schedule.makespan_s == pytest.approx(338e-6)
    settling_each = 32 * program.schedule_for(1).makespan_s
    assert settling_each - program.schedule.makespan_s == pytest.approx(62e-6)


def test_7_5_light_at_the_detectors_of_a_wide_layer() -> None:
    """256 x 0.5 mW for 10 ns, 10 % of it shared by 64 outputs at 0.8 A/W: 0.2 mW, 0.16 mA, 71.6 nA of shot noise.

    The book prints 0.23 uA, 1.28 uJ of light and 4.608 uJ in all: slips.
    """
    target = chip(
        256,
        mesh={"coupling_loss_db": loss_db(0.1)},
        timing={"window_s": 10e-9},
        detection={"launch_power_w": 0.5e-3, "responsivity_a_per_w": 0.8, "bandwidth_hz": 1 / 10e-9},
        energy={
            "reconfigure_j_per_phase": 4096 * 0.5e-9 / settings_per_tile(chip(256).mesh),
            "adc_j_per_sample": 20e-9,
        },
    )
    link = link_budget(target, outputs=64)
    assert link.shared_w == pytest.approx(0.2e-3)
    assert link.shared_current_a == pytest.approx(0.16e-3)
    assert link.shared_shot_noise_a == pytest.approx(71.6e-9, rel=1e-3)
    assert link.shared_shot_noise_a == shot_noise_rms_a(link.shared_current_a, target.detection.bandwidth_hz)
    found = compiled(target, 64, 256).energy
    parts = found.amortised.by_part()
    assert parts["optical"] == pytest.approx(1.28e-9)
    assert parts["control"] == pytest.approx(2.048e-6)
    assert parts["conversion"] == pytest.approx(1.28e-6)
    assert found.amortised_j == pytest.approx(3.329e-6, rel=1e-4)


def test_8_3_throughput() -> None:
    """0.5 ms to configure, 20 ns + 10 ns a vector, 10^4 vectors: 0.8 ms, 12.5 M vectors/s; 1 ms over 256 is 3.9 us."""
    target = chip(16, timing={"reconfigure_s": 0.5e-3, "window_s": 30e-9, "encode_s": 20e-9, "integrate_s": 10e-9})
    schedule = compiled(target, 16, 16).schedule_for(10_000)
    assert schedule.makespan_s == pytest.approx(0.8e-3)
    assert schedule.batch / schedule.makespan_s == pytest.approx(12.5e6)

    slow = compiled(target.with_({"timing.reconfigure_s": 1e-3}), 16, 16)
    found = latency(slow.body, slow.schedule_for(256))
    assert found.configure_s / found.batch == pytest.approx(3.9e-6, rel=2e-3)


def test_8_4_detection_window() -> None:
    """Weights commanded at 0 and settled at 70 ns, a symbol of 10 ns, margin 2 ns over a skew of 1 ns: 72 to 80 ns."""
    times = {"reconfigure_s": 70e-9, "window_s": 10e-9, "detector_skew_s": 1e-9, "detector_margin_s": 2e-9}
    target = chip(16, timing=times)
    assert detection_window_s(target) == pytest.approx((72e-9, 80e-9))
    stream = compiled(target, 16, 16).schedule
    assert stream.end_s.max() == pytest.approx(detection_window_s(target)[1])
    with pytest.raises(TargetError, match="does not cover the skew"):
        target.with_({"timing.detector_skew_s": 3e-9})


def test_8_5_encoding_under_a_throughput_target() -> None:
    """50,000 vectors/s, settle 2 us, integrate 8 us, control at 200 kHz: a period of 20 us, 10 us of it spare.

    A dual-port differential encoding takes one shot a vector; a single port takes two, 25,000/s: the target is missed.
    """
    dual = chip(
        16,
        encoding={"sign": "differential"},
        timing={"window_s": 1 / 50e3, "encode_s": 2e-6, "integrate_s": 8e-6, "control_rate_hz": 200e3},
    )
    assert dual.timing.window_s == pytest.approx(20e-6)
    assert spare_s(dual) == pytest.approx(10e-6)
    assert vectors_per_s(dual) == pytest.approx(50e3)
    single = dual.with_({"encoding.sign": "differential_two_shot"})
    assert vectors_per_s(single) == pytest.approx(25e3)
    run = [compiled(target, 16, 16).schedule_for(100) for target in (dual, single)]
    assert [schedule.batch / schedule.makespan_s for schedule in run] == pytest.approx([50e3, 25e3])
    asked = dual.with_({"timing.required_vectors_per_s": 50e3})
    with pytest.raises(TargetError, match=r"misses the throughput asked of it.* 25000 vectors/s with 2 shots"):
        asked.with_({"encoding.sign": "differential_two_shot"})


def test_9_1_a_dense_layer_on_256_by_1024_tiles() -> None:
    """4096 -> 1024 on tiles of 256 outputs by 1024 inputs: 4 x 4 = 16, summed over inputs, joined over outputs.

    Meshes of a target are square, as many outputs as inputs: a tile of the example is four 256-port tiles side by side,
    and a 1024-port chip takes four tiles of it at once, 1 x 4 in all.
    """
    torch.manual_seed(0)
    layer_ = nn.Linear(4096, 1024, bias=False)
    target = ll.targets.get("ideal").with_(mesh={"ports": 256, "cores": 1}, memory={"accumulator_bytes": 2 * 256 * 4})
    program = ll.compile(layer_, torch.zeros(1, 4096), target)
    (row,) = program.explain().layers
    side_by_side = 1024 // target.mesh.ports
    assert (row.grid, row.tiles) == ((4, 4 * side_by_side), 16 * side_by_side)
    (bank,) = program.body.banks.values()
    assert (
        len(set(zip(bank.columns["row"].tolist(), (bank.columns["col"] // side_by_side).tolist(), strict=True))) == 16
    )
    (spec,) = layer(chip(1024), 1024, 4096).banks.values()
    assert (spec.spec.grid_rows, spec.spec.grid_cols) == (1, 4)

    # summed beside the core: the tiles of a row of outputs one after the other, then the next row
    schedule = program.schedule_for(2, dataflow="output")
    streams = schedule.tile[schedule.kind == EventKind.STREAM]
    assert bank.columns["row"][streams].tolist() == sorted(bank.columns["row"].tolist())
    assert bank.columns["col"][streams].tolist() == list(range(16)) * 4

    x = torch.randn(2, 4096)
    slabs = torch.stack([x * (torch.arange(4096) // 1024 == slab) for slab in range(4)])
    parts = program.run(slabs.flatten(0, 1), ideal=True).unflatten(0, (4, 2))
    torch.testing.assert_close(parts.sum(0), layer_(x).detach(), atol=1e-4, rtol=0)
    for output in range(4):
        rows = slice(256 * output, 256 * (output + 1))
        wanted = x[:, :1024] @ layer_.weight[rows, :1024].T
        torch.testing.assert_close(parts[0, :, rows], wanted.detach(), atol=1e-4, rtol=0)


def test_11_5_an_energy_measurement() -> None:
    """2 mW and 0.5 W of drivers for 1 us; 1 W of calibration for 10 s over 1000 inferences; 64 x 64 x 64 MACs."""
    target = chip(
        64,
        timing={"window_s": 1e-6 / 64},
        detection={"launch_power_w": 2e-3 / 64},
        energy={"phase_shifter_hold_w": 0.5 / 8256},
    )
    body = compiled(target, 64, 64, batch=64).body
    schedule = deal(body, 64)
    found = energy(body, schedule, reuse=64 * 1000, calibration_j=1.0 * 10)
    items = found.execution.by_item()
    assert schedule.makespan_s == pytest.approx(1e-6)
    assert items["laser"] == pytest.approx(2e-9)
    assert items["hold"] == pytest.approx(500e-9)
    assert found.amortised.by_item()["calibration"] * 64 == pytest.approx(10e-3)
    assert found.macs * found.batch == 262_144


def test_12_1_launches_of_a_layer() -> None:
    """50 x 34 on a 16 x 16 mesh: 4 x 3 = 12 launches, the last ones of 2 rows or 2 columns."""
    program = compiled(chip(16), 50, 34)
    assert program.explain().layers[0].grid == (4, 3)
    assert sum(kind == "stream" for kind in program.schedule.to_dict()["kind"]) == 12
    (bank,) = program.body.banks.values()
    assert set(active_rows(bank)[bank.columns["row"] == 3]) == {2}
    assert set(active_cols(bank)[bank.columns["col"] == 2]) == {2}


@pytest.mark.parametrize(("loss", "factor"), [(6.0, 3.98), (5.0, 3.16)])
def test_12_3_loss_and_laser(loss: float, factor: float) -> None:
    """A path of 6 dB takes 3.98 times the laser power, one of 5 dB 3.16 times."""
    lossless = chip(16, detection={"kind": "coherent"})
    lossy = lossless.with_({"mesh.coupling_loss_db": loss - 4.0, "mesh.cell_loss_db": 4.0 / 32})
    assert link_budget(lossy).path_loss_db == pytest.approx(loss)
    assert 1 / transmission(link_budget(lossy).path_loss_db) == pytest.approx(factor, rel=2e-3)
    more = required_launch_w(lossy, bits=6) / required_launch_w(lossless, bits=6)
    assert more == pytest.approx(factor, rel=2e-3)
    asked = {"detection.laser": "sized", "detection.required_snr_db": 40.0}
    launched = [chip_.with_(asked).detection.launch_power_w for chip_ in (lossy, lossless)]
    assert launched[0] / launched[1] == pytest.approx(factor, rel=2e-3)


def test_12_5_co_design() -> None:
    """256 x 256 on 16 x 16 blocks, 1 mW at 50 % for 10 ns: 256 blocks, 5.12 nJ of light, 5.62 nJ with 0.5 nJ more."""
    target = chip(
        16,
        timing={"window_s": 10e-9},
        detection={"launch_power_w": 1e-3 / 16},
        energy={"laser_wall_plug_efficiency": 0.5, "detector_j_per_sample": 0.5e-9 / (256 * 16)},
    )
    program = compiled(target, 256, 256)
    assert program.explain().layers[0].tiles == 256
    assert program.energy.run.by_part()["optical"] == pytest.approx(5.12e-9)
    assert program.energy.total_j == pytest.approx(5.62e-9)
