"""Times of events: lanes, the memory's bandwidth, first and later configurations, moves over the link."""

from __future__ import annotations

import math

import pytest

from lightloom.runtime import targets
from lightloom.runtime.meshes import mesh
from lightloom.runtime.scheduling.latency import (
    configure_s,
    move_s,
    peak_ops_per_s,
    settings_bytes_per_s,
    spills,
    stream_s,
    tile_setting_bytes,
    vector_bytes,
    vectors_per_s,
)

from ..bodies import layer

CHIP = targets.get("mzi16").with_(
    {
        "encoding.sign": "differential",
        "encoding.dac_bits": 8,
        "detection.adc_bits": 12,
        "timing.window_s": 1e-9,
        "timing.pipeline_latency_s": 5e-9,
        "timing.reconfigure_s": 1e-6,
        "mesh.phase_bits": 12,
        "mesh.cores": 4,
        "memory.sram_bytes": None,
    }
)


@pytest.mark.parametrize(
    ("lanes", "sign", "vectors", "windows"),
    [
        (1, "differential", 7, 7),
        (4, "differential", 7, 2),
        (8, "differential", 7, 1),
        (4, "differential_two_shot", 7, 4),  # 14 shots
        (3, "phase_sign", 0, None),
    ],
)
def test_lanes_share_windows(lanes: int, sign: str, vectors: int, windows: int | None) -> None:
    chip = CHIP.with_({"encoding.lanes": lanes, "encoding.sign": sign})
    expected = 0.0 if windows is None else 5e-9 + windows * 1e-9
    assert stream_s(chip, vectors) == pytest.approx(expected, rel=1e-12)


def test_lanes_multiply_the_rate_and_the_peak() -> None:
    eight = CHIP.with_({"encoding.lanes": 8})
    assert vectors_per_s(eight) == pytest.approx(8 * vectors_per_s(CHIP), rel=1e-12)
    assert peak_ops_per_s(CHIP) == pytest.approx(2 * 4 * 16**2 * 1e9, rel=1e-12)
    assert peak_ops_per_s(eight) == pytest.approx(8 * peak_ops_per_s(CHIP), rel=1e-12)


def test_a_stream_waits_for_its_share_of_the_memory() -> None:
    # 16 numbers of 1 byte in, two rails of 16 readings of 2 bytes out
    assert vector_bytes(CHIP) == 16 + 2 * 16 * 2
    slow = CHIP.with_({"memory.sram_bytes_per_s": 4 * 80 / 3e-9})  # a vector every 3 ns on each of 4 cores
    assert stream_s(slow, 10) == pytest.approx(5e-9 + 30e-9, rel=1e-12)
    fast = CHIP.with_({"memory.sram_bytes_per_s": 4 * 80 / 0.5e-9})
    assert stream_s(fast, 10) == stream_s(CHIP, 10)


def test_settings_come_from_the_sram_if_they_fit() -> None:
    body = layer(CHIP, 32, 48)  # 6 tiles
    each = (2 * mesh("clements", 16).phases + 16) * 2
    assert tile_setting_bytes(CHIP) == each
    for capacity, expected in ((6 * each, False), (6 * each - 1, True)):
        chip = CHIP.with_({"memory.sram_bytes": capacity, "memory.sram_bytes_per_s": 1e12})
        chip = chip.with_({"memory.dram_bytes_per_s": 1e9})
        sized = layer(chip, 32, 48)
        assert spills(sized) is expected
        assert settings_bytes_per_s(sized) == (1e9 if expected else 1e12)
        seconds = max(1e-6, each * 4 / (1e9 if expected else 1e12))
        assert configure_s(sized).first_s == pytest.approx(seconds, rel=1e-12)
    assert not spills(body)
    assert math.isinf(settings_bytes_per_s(layer(CHIP.with_({"memory.sram_bytes_per_s": None}), 16, 16)))


def test_a_later_configuration_is_an_update() -> None:
    chip = CHIP.with_({"timing.update_s": 2e-7, "memory.sram_bytes_per_s": None})
    times = configure_s(layer(chip, 16, 16))
    assert (times.first_s, times.later_s) == (1e-6, 2e-7)
    same = configure_s(layer(chip.with_({"timing.update_s": None}), 16, 16))
    assert same.first_s == same.later_s == 1e-6


def test_a_move_takes_latency_and_bandwidth() -> None:
    assert move_s(CHIP, 1000) == 0.0
    link = CHIP.with_({"link.latency_s": 1e-6, "link.bytes_per_s": 1e9})
    assert move_s(link, 1000) == pytest.approx(2e-6, rel=1e-12)
    assert move_s(link, 0) == 0.0
    assert move_s(CHIP.with_({"link.bytes_per_s": 1e9}), 1000) == pytest.approx(1e-6, rel=1e-12)
    assert move_s(CHIP.with_({"link.latency_s": 3e-6}), 1) == pytest.approx(3e-6, rel=1e-12)
