"""Changing a target, and fields that must agree."""

import pytest

from lightloom.runtime import targets
from lightloom.runtime.errors import TargetError
from lightloom.runtime.targets import EncodingSpec, MeshSpec, Provenance, Target

MZI = targets.get("mzi64")


def test_dotted_and_nested_changes_agree():
    dotted = MZI.with_({"mesh.ports": 32, "encoding.dac_bits": None})
    nested = MZI.with_(mesh={"ports": 32}, encoding={"dac_bits": None})
    assert dotted == nested
    assert (dotted.mesh.ports, dotted.encoding.dac_bits) == (32, None)
    assert MZI.mesh.ports == 64


def test_a_whole_part_can_be_given():
    part = EncodingSpec(sign="offset", dac_bits=5)
    assert MZI.with_({"encoding": part}).encoding == part


def test_names_and_descriptions_change_too():
    assert MZI.with_({"name": "mine"}).name == "mine"


def test_changed_numbers_become_assumed():
    changed = MZI.with_({"mesh.ports": 32, "detection.noise": False})
    assert changed.provenance["mesh.ports"] == Provenance(unit="port", source="set by Target.with_", kind="assumed")
    assert changed.provenance["timing.window_s"] == MZI.provenance["timing.window_s"]
    assert "detection.noise" not in changed.provenance
    assert "mesh.phase_bits" not in MZI.with_({"mesh.phase_bits": None}).provenance


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mesh.prts": 3}, r"unknown field \(at mesh.prts\).*ports"),
        ({"msh.ports": 3}, r"unknown field \(at msh.ports\).*mesh.ports"),
        ({"ports": 3}, r"unknown field \(at ports\).*mesh.ports"),
        ({"mesh": 3}, r"not a table of fields \(at mesh\); got 3"),
        ({"mesh.ports": 0}, r"impossible value \(at mesh.ports\); got 0; allowed: at least 1"),
        ({"mesh.ports": "many"}, r"impossible value \(at mesh.ports\); got 'many'; allowed: a whole number"),
        ({"timing.window_s": float("nan")}, r"impossible value \(at timing.window_s\)"),
        ({"timing.window_s": float("inf")}, r"impossible value \(at timing.window_s\)"),
        ({"timing.window_s": None}, r"impossible value \(at timing.window_s\); got None; allowed: a number"),
        ({"energy.laser_wall_plug_efficiency": 1.5}, r"got 1.5; allowed: at most 1"),
        ({"detection.rin_db_per_hz": 10}, r"got 10; allowed: at most 0"),
        ({"encoding.dac_bits": 25}, r"got 25; allowed: at most 24"),
    ],
)
def test_impossible_changes_are_refused(changes, message):
    with pytest.raises(TargetError, match=message):
        MZI.with_(changes)


def test_every_impossible_change_is_told():
    with pytest.raises(TargetError, match="has 2 faults") as caught:
        MZI.with_({"mesh.ports": 0, "timing.window_s": -1.0})
    assert "mesh.ports" in str(caught.value)
    assert "timing.window_s" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        (
            {"encoding.sign": "phase_sign", "detection.kind": "intensity"},
            "encoding.sign, detection.kind.*got phase_sign with intensity; allowed: .*Change encoding.sign",
        ),
        ({"detection.adc_bits": 1}, "detection.adc_bits.*got 1; allowed: 2 to 24.*Raise detection.adc_bits"),
        ({"mesh.topology": "clements2"}, "mesh.topology.*clements"),
        ({"provenance": {"mesh.prts": {"unit": "1", "source": "none", "kind": "quoted"}}}, "mesh.prts"),
    ],
)
def test_contradictions_name_the_fields(changes, fields):
    with pytest.raises(TargetError, match=fields):
        MZI.with_(changes)


def test_one_bit_is_enough_for_intensity():
    assert MZI.with_({"detection.kind": "intensity", "detection.adc_bits": 1}).detection.adc_bits == 1


def test_a_source_for_a_field_without_a_number_is_refused():
    item = Provenance(unit="bit", source="nowhere", kind="quoted")
    data = MZI.with_({"encoding.dac_bits": None}).model_dump()
    data["provenance"]["encoding.dac_bits"] = item.model_dump()
    with pytest.raises(TargetError, match="a source for a field that has no number"):
        Target.model_validate(data)


def test_parts_made_by_hand_raise_target_errors():
    with pytest.raises(TargetError, match=r"MeshSpec: impossible value \(at ports\); got 0"):
        MeshSpec(ports=0, cores=1)
    with pytest.raises(TargetError, match=r"MeshSpec: unknown field \(at prts\)"):
        MeshSpec(prts=3, ports=3, cores=1)  # type: ignore[call-arg]


def test_targets_cannot_be_changed_in_place():
    with pytest.raises(TargetError, match=r"never changed \(at mesh.ports\).*with_\(\{'mesh.ports': 3\}\)"):
        MZI.mesh.ports = 3  # type: ignore[misc]
    with pytest.raises(TargetError, match=r"at name"):
        MZI.name = "other"  # type: ignore[misc]
    with pytest.raises(TargetError, match=r"at timing.window_s"):
        del MZI.timing.window_s


@pytest.mark.parametrize(
    ("sign", "rails", "shots"),
    [("differential", 2, 1), ("differential_two_shot", 2, 2), ("phase_sign", 1, 1), ("offset", 1, 1)],
)
def test_rails_and_shots_of_the_encodings(sign, rails, shots):
    encoding = EncodingSpec(sign=sign)
    assert (encoding.rails, encoding.shots) == (rails, shots)
