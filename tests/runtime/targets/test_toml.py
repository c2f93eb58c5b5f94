"""Reading targets from TOML: units, sources, and every fault told at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightloom.runtime import targets
from lightloom.runtime.errors import TargetError
from lightloom.runtime.targets import parse_target
from lightloom.runtime.targets.units import accepted_units, to_si, unit_of

GOOD = targets.dump_target(targets.get("mzi64"))


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    line = next(line for line in GOOD.splitlines() if line.startswith(old))
    return GOOD.replace(line, new)


def test_a_scaled_unit_becomes_si():
    text = replaced("window_s", 'window_s = {value = 2, unit = "ns", source = "a test", kind = "assumed"}')
    target = parse_target(text)
    assert target.timing.window_s == 2e-9
    assert target.provenance["timing.window_s"].unit == "s"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ports", "ports = 64", r"without unit, source and kind \(at mesh.ports\); got 64.*unit = \"port\""),
        ("window_s", 'window_s = {value = 1, unit = "s"}', r"timing.window_s\); got no kind, no source"),
        (
            "window_s",
            'window_s = {value = 1, unit = "m", source = "a test", kind = "assumed"}',
            r"wrong unit \(at timing.window_s.unit\); got 'm'; allowed: s, ms, us, ns, ps, fs",
        ),
        (
            "window_s",
            'window_s = {value = "1", unit = "s", source = "a test", kind = "assumed"}',
            r"not a number \(at timing.window_s.value\); got '1'",
        ),
        (
            "window_s",
            'window_s = {value = 1, unit = "s", source = " ", kind = "assumed"}',
            r"no source \(at timing.window_s.source\)",
        ),
        (
            "window_s",
            'window_s = {value = 1, unit = "s", source = "a test", kind = "guessed"}',
            r"unknown kind.*got 'guessed'; allowed: measured, quoted, assumed",
        ),
        (
            "window_s",
            'window_s = {value = 1, unit = "s", source = "a test", kind = "assumed", note = "x"}',
            r"an incomplete number.*got also note",
        ),
        (
            "window_s",
            'window_s = {value = 0, unit = "s", source = "a test", kind = "assumed"}',
            r"impossible value \(at timing.window_s\); got 0; allowed: more than 0",
        ),
        (
            "ports",
            'ports = {value = 2.5, unit = "port", source = "a test", kind = "assumed"}',
            r"impossible value \(at mesh.ports\); got 2.5; allowed: a whole number",
        ),
        ("window_s", "", r"missing field \(at timing.window_s\)"),
        ("window_s", 'windw_s = {value = 1, unit = "s"}', r"unknown field \(at timing.windw_s\).*window_s"),
        ("[timing]", "[timings]", r"unknown field \(at timings\).*timing"),
        ("name", "name = 3", r"impossible value \(at name\); got 3; allowed: a text"),
        ("noise", 'noise = "maybe"', r"impossible value \(at detection.noise\).*true or false"),
        ("sign", 'sign = "sideways"', r"impossible value \(at encoding.sign\).*'differential'"),
        ("topology", 'topology = "clemens"', r"unknown mesh topology.*clements"),
        ("name", "name = ", "is not valid TOML"),
    ],
)
def test_one_fault_is_told_with_its_field(old, new, message):
    with pytest.raises(TargetError, match=message):
        parse_target(replaced(old, new))


def test_all_faults_are_told_at_once():
    text = GOOD.replace('unit = "s"', 'unit = "h"')
    text = "\n".join("ports = 0" if line.startswith("ports") else line for line in text.splitlines())
    with pytest.raises(TargetError) as caught:
        parse_target(text, name="mine.toml")
    message = str(caught.value)
    assert message.startswith("mine.toml has 4 faults:")
    for path in ("mesh.ports", "reconfigure_s.unit", "window_s.unit", "pipeline_latency_s.unit"):
        assert message.count(path) == 1, path


def test_a_number_left_out_is_marked_as_a_default():
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith("dark_current_a"))
    target = parse_target(text)
    assert target.detection.dark_current_a == 0
    assert target.provenance["detection.dark_current_a"].kind == "assumed"
    assert "default" in target.provenance["detection.dark_current_a"].source


def test_bits_left_out_are_continuous():
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith("dac_bits"))
    target = parse_target(text)
    assert target.encoding.dac_bits is None
    assert "encoding.dac_bits" not in target.provenance


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TargetError, match=r"cannot read the target file \(at .*none.toml"):
        targets.from_toml(tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TargetError, match="cannot read the target file"):
        targets.from_toml(path)


@settings(deadline=None)
@given(text=st.text(min_size=3).filter(lambda text: len(text.strip()) >= 3))
def test_any_source_text_survives_toml(text):
    target = targets.get("mzi64")
    changed = target.model_copy(
        update={
            "description": text,
            "provenance": {path: item.model_copy(update={"source": text}) for path, item in target.provenance.items()},
        }
    )
    assert parse_target(targets.dump_target(changed)) == changed


@settings(deadline=None)
@given(value=st.floats(min_value=1e-30, max_value=1e30, allow_nan=False))
def test_any_number_survives_toml(value):
    target = targets.get("ideal").with_({"timing.window_s": value})
    assert parse_target(targets.dump_target(target)) == target


@pytest.mark.parametrize(
    ("field", "unit"),
    [
        ("window_s", "s"),
        ("host_ops_per_s", "op/s"),
        ("responsivity_a_per_w", "A/W"),
        ("rin_db_per_hz", "dB/Hz"),
        ("thermal_noise_a_per_rthz", "A/sqrt(Hz)"),
        ("dac_j_per_sample", "J/sample"),
        ("phase_bits", "bit"),
        ("ports", "port"),
        ("laser_wall_plug_efficiency", "1"),
        ("lanes", "lane"),
        ("sram_bytes", "byte"),
        ("dram_bytes_per_s", "byte/s"),
        ("bytes_per_s", "byte/s"),
        ("dram_j_per_byte", "J/byte"),
        ("j_per_byte", "J/byte"),
        ("cell_m2", "m^2"),
        ("memory_m2_per_byte", "m^2/byte"),
        ("control_w", "W"),
        ("control_rate_hz", "Hz"),
        ("latency_s", "s"),
    ],
)
def test_a_field_name_tells_its_unit(field, unit):
    assert unit_of(field) == unit
    assert accepted_units(field)[0] == unit


def test_prefixes_scale_exactly():
    assert to_si("window_s", 3.0, "ps") == 3e-12
    assert to_si("bandwidth_hz", 2.0, "GHz") == 2e9
    assert to_si("dac_j_per_sample", 7.0, "fJ/sample") == 7e-15
    assert to_si("ports", 4, "1") == 4


@pytest.mark.parametrize(
    ("field", "value", "unit", "wanted"),
    [
        ("sram_bytes", 64, "kbyte", 64_000),
        ("sram_bytes", 1.5, "Mbyte", 1_500_000),
        ("sram_bytes", 64, "Kibyte", 65_536),
        ("sram_bytes", 2, "Mibyte", 2_097_152),
        ("dram_bytes_per_s", 25.6, "Gbyte/s", 25.6e9),
        ("cell_m2", 0.02, "mm^2", 0.02 / 1e6),
        ("adc_m2", 2850, "um^2", 2850 / 1e12),
        ("memory_m2_per_byte", 0.25, "um^2/byte", 0.25 / 1e12),
    ],
)
def test_bytes_and_areas(field, value, unit, wanted):
    assert to_si(field, value, unit) == wanted


SURROUNDINGS = """
[memory]
sram_bytes = {value = 3, unit = "Mibyte", source = "a test", kind = "measured"}
dram_j_per_byte = {value = 0.1, unit = "nJ/byte", source = "a test", kind = "measured"}
[link]
latency_s = {value = 1.5, unit = "us", source = "a test", kind = "measured"}
bytes_per_s = {value = 63, unit = "Gbyte/s", source = "a test", kind = "measured"}
[area]
cell_m2 = {value = 7e3, unit = "um^2", source = "a test", kind = "measured"}
memory_m2_per_byte = {value = 3e-7, unit = "mm^2/byte", source = "a test", kind = "measured"}
"""
BARE = targets.dump_target(targets.get("ideal"))


def test_parts_without_fields_are_not_written():
    for part in ("memory", "link", "area"):
        assert f"[{part}]" not in BARE
    assert not parse_target(BARE).link.present


def test_memories_link_and_areas_survive_toml():
    target = parse_target(BARE + SURROUNDINGS)
    assert target.memory.sram_bytes == 3 * 2**20
    assert target.memory.dram_j_per_byte == pytest.approx(1e-10)
    assert target.link.present
    assert target.area.cell_m2 == pytest.approx(7e-9)
    assert target.provenance["area.cell_m2"].unit == "m^2"
    assert "[area]" in targets.dump_target(target)
    assert parse_target(targets.dump_target(target)) == target


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('value = 3, unit = "Mibyte"', 'value = 1.5, unit = "byte"', r"memory.sram_bytes\); got 1.5.*whole number"),
        ('value = 3, unit = "Mibyte"', 'value = 0, unit = "byte"', r"memory.sram_bytes\); got 0.*at least 1"),
        ('value = 3, unit = "Mibyte"', 'value = 3, unit = "MB"', r"memory.sram_bytes.unit\).*Mbyte.*Mibyte"),
        ("value = 63", "value = 0", r"link.bytes_per_s\); got 0.*more than 0"),
        ("value = 1.5,", "value = -1.5,", r"link.latency_s\); got -1.5e-06; allowed: at least 0"),
        ("value = 7e3", "value = inf", r"area.cell_m2\); got inf.*finite"),
        ("cell_m2", "cells_m2", r"unknown field \(at area.cells_m2\).*cell_m2"),
    ],
)
def test_faults_of_memories_link_and_areas(old, new, message):
    assert old in SURROUNDINGS
    with pytest.raises(TargetError, match=message):
        parse_target(BARE + SURROUNDINGS.replace(old, new, 1))
