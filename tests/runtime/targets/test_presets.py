"""The presets: complete, sourced, and true to what was published."""

import pytest

from lightloom.runtime import targets
from lightloom.runtime.errors import TargetError
from lightloom.runtime.pricing.energy import peak_power
from lightloom.runtime.scheduling.latency import peak_ops_per_s, stream_s, tile_setting_bytes
from lightloom.runtime.targets import Target
from lightloom.runtime.targets.edit import numbers
from lightloom.runtime.targets.toml import DEFAULT_SOURCE


def test_the_presets_are_listed():
    published = ["bandyopadhyay2024", "harris2017", "lightmatter2025", "pace2025", "pai2023", "shen2017"]
    assert targets.list() == sorted([*published, "ideal", "mzi16", "mzi64", "quandela_session"])


@pytest.mark.parametrize("name", targets.list())
class TestEveryPreset:
    def test_every_number_has_a_unit_a_source_and_a_kind(self, name):
        target = targets.get(name)
        assert set(target.provenance) == set(numbers(target))
        defaults = [path for path, item in target.provenance.items() if item.source == DEFAULT_SOURCE]
        assert set(defaults) <= {"mesh.buffers", "mesh.chip_seed"}

    def test_its_name_is_its_file(self, name):
        assert targets.get(name).name == name

    def test_it_survives_toml_and_json(self, name):
        target = targets.get(name)
        assert targets.parse_target(targets.dump_target(target)) == target
        assert Target.model_validate_json(target.model_dump_json()) == target
        assert Target.model_validate(target.model_dump()) == target


def test_lightmatter_reproduces_the_published_rate_and_power():
    """Nature 640, 368 (2025): 65.5 TOPS, 78 W electrical, 1.6 W optical; fields within 1 per mille."""
    target = targets.get("lightmatter2025")
    power = peak_power(target)
    assert peak_ops_per_s(target) == pytest.approx(65.5e12, rel=1e-3)
    assert power.electrical_w == pytest.approx(78, rel=1e-3)
    assert power.launched_w == pytest.approx(1.6, rel=1e-3)


def test_published_figures_are_marked_apart_from_assumptions():
    target = targets.get("lightmatter2025")
    assert target.provenance["mesh.ports"].kind == "quoted"
    assert target.provenance["energy.adc_j_per_sample"].kind == "assumed"


def test_ideal_has_no_imperfection():
    target = targets.get("ideal")
    bits = (
        target.mesh.phase_bits,
        target.mesh.attenuator_bits,
        target.encoding.dac_bits,
        target.detection.adc_bits,
    )
    assert bits == (None,) * 4
    assert not target.detection.noise
    assert target.mesh.phase_error_rad == target.mesh.splitter_error_rad == 0


def test_mzi16_differs_from_mzi64_in_size_alone():
    small, large = targets.get("mzi16"), targets.get("mzi64")
    assert (small.mesh.ports, large.mesh.ports) == (16, 64)
    assert small.energy == large.energy
    assert small.timing == large.timing
    assert small.memory == large.memory
    assert small.area == large.area


@pytest.mark.parametrize("name", ["mzi16", "mzi64"])
def test_the_memories_of_the_mzi_chips_hold_nothing_up(name):
    """Streams take their windows and no more; settings arrive from DRAM faster than heaters settle, on 64 cores too."""
    target = targets.get(name).with_({"mesh.cores": 64})
    timing = target.timing
    assert stream_s(target, 1000) == pytest.approx(timing.pipeline_latency_s + 1000 * timing.window_s)
    settings = tile_setting_bytes(target) * target.mesh.cores
    assert settings / target.memory.dram_bytes_per_s < timing.reconfigure_s


@pytest.mark.parametrize("name", ["mzi16", "mzi64"])
def test_the_mzi_chips_take_every_dataflow(name):
    memory, ports = targets.get(name).memory, targets.get(name).mesh.ports
    assert memory.accumulator_bytes // (4 * ports) >= 100  # vectors
    assert memory.input_buffer_bytes // ports >= 100


def test_a_session_updates_faster_than_it_configures():
    target = targets.get("quandela_session")
    assert (target.timing.reconfigure_s, target.timing.update_s) == (1.0, 20e-3)
    assert target.timing.update_s == target.timing.encode_s
    assert target.link == targets.linked(target, "nvqlink").link


def test_an_unknown_preset_names_the_close_ones():
    with pytest.raises(TargetError, match=r"unknown target; got 'mzi63'.*mzi64"):
        targets.get("mzi63")


def test_an_unknown_preset_without_close_ones_names_all():
    with pytest.raises(TargetError, match=r"[Kk]nown: bandyopadhyay2024, .*, shen2017"):
        targets.get("quantum")


def test_get_takes_a_target_or_a_path(tmp_path):
    target = targets.get("mzi16")
    path = tmp_path / "own.toml"
    targets.write_target(target, path)
    assert targets.get(target) is target
    assert targets.get(path) == targets.get(str(path)) == Target.from_toml(path) == target


def test_get_refuses_what_is_no_target():
    with pytest.raises(TargetError, match="not a target; got 3"):
        targets.get(3)  # type: ignore[arg-type]
