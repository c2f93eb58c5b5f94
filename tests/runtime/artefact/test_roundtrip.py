"""A saved program comes back exactly, mapped into memory, as an ordinary zip of ordinary safetensors."""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from lightloom.runtime import artefact
from lightloom.runtime.artefact.container import find_members, map_file
from lightloom.runtime.errors import ArtefactError
from lightloom.runtime.values import Ref


def test_program_comes_back_exactly(body, same, tmp_path):
    artefact.save(body, tmp_path / "toy.loom")
    same(artefact.load(tmp_path / "toy.loom"), body)


def test_same_program_gives_same_bytes(body, tmp_path):
    for name in ("one.loom", "two.loom"):
        artefact.save(body, tmp_path / name)
    assert (tmp_path / "one.loom").read_bytes() == (tmp_path / "two.loom").read_bytes()


def test_saving_a_loaded_program_over_itself(body, same, tmp_path):
    place = tmp_path / "toy.loom"
    artefact.save(body, place)
    before = place.read_bytes()
    loaded = artefact.load(place)
    artefact.save(loaded, place)
    same(loaded, body)
    assert place.read_bytes() == before


def test_columns_are_aligned_read_only_views_on_the_file(body, tmp_path):
    artefact.save(body, tmp_path / "toy.loom")
    loaded = artefact.load(tmp_path / "toy.loom")
    for bank in loaded.banks.values():
        for name, array in bank.columns.items():
            base = array
            while isinstance(base, np.ndarray):
                base = base.base
            owner = base.obj if isinstance(base, memoryview) else base
            assert isinstance(owner, mmap.mmap), name
            assert not array.flags.writeable
            assert array.flags.aligned


def test_writing_to_a_loaded_constant_leaves_the_file_alone(body, same, tmp_path):
    artefact.save(body, tmp_path / "toy.loom")
    artefact.load(tmp_path / "toy.loom").constants["conv.bias"].zero_()
    same(artefact.load(tmp_path / "toy.loom"), body)


def test_any_zip_tool_and_safetensors_read_the_file(body, tmp_path):
    artefact.save(body, tmp_path / "toy.loom")
    with zipfile.ZipFile(tmp_path / "toy.loom") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["manifest.json", "tensors.safetensors"]
        manifest = json.loads(archive.read("manifest.json"))
        tensors = safetensors.torch.load(archive.read("tensors.safetensors"))
    assert manifest["schema_version"] == artefact.SCHEMA
    assert manifest["target"]["provenance"]["mesh.ports"]["kind"] == "assumed"
    theta = body.banks["conv"].columns["left.theta"]
    np.testing.assert_array_equal(tensors["bank.conv.left.theta"].numpy(), theta)


def test_zip64_members_are_found(tmp_path, body, monkeypatch, same):
    # Files past 4 GiB use zip64 records; lower the limits so that a small file does.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr("lightloom.runtime.artefact.writer._ZIP64_BYTES", 100)
    artefact.save(body, tmp_path / "toy.loom")
    data = (tmp_path / "toy.loom").read_bytes()
    assert b"PK\6\6" in data
    same(artefact.load(tmp_path / "toy.loom"), body)
    members = find_members(map_file(tmp_path / "toy.loom"), tmp_path / "toy.loom")
    assert members["tensors.safetensors"].start % 64 == 0


def test_every_program_without_tiles_or_constants(body, same, tmp_path):
    step = body.steps[1]
    small = dataclasses.replace(
        body,
        constants={},
        banks={},
        layer_targets={},
        steps=(dataclasses.replace(step, args=(Ref("x"), -1, None)),),
        outputs=(Ref(step.name),),
        structure={"leaf": 0},
        costs={step.name: body.costs[step.name]},
    )
    artefact.save(small, tmp_path / "small.loom")
    same(artefact.load(tmp_path / "small.loom"), small)


def test_static_and_intensity_targets_need_their_columns(body, same, target, tmp_path):
    chip = target(encoding={"scale": "static"}, detection={"kind": "intensity"})
    with pytest.raises(ArtefactError, match="input_full_scale"):
        artefact.save(dataclasses.replace(body, target=chip, layer_targets={}), tmp_path / "toy.loom")
    banks = {}
    for name, bank in body.banks.items():
        tiles = bank.spec.tiles
        extra = {"input_full_scale": np.ones(tiles, np.float32), "shift": np.zeros(tiles)}
        banks[name] = dataclasses.replace(bank, columns={**bank.columns, **extra})
    full = dataclasses.replace(body, target=chip, layer_targets={}, banks=banks)
    artefact.save(full, tmp_path / "toy.loom")
    same(artefact.load(tmp_path / "toy.loom"), full)


def test_internal_phases_alone_need_a_mesh_with_a_gauge(body, target, tmp_path):
    chip = target(mesh={"ports": 4, "cores": 1, "topology": "fldzhyan"})
    banks = {}
    for name, bank in body.banks.items():
        banks[name] = dataclasses.replace(bank, spec=dataclasses.replace(bank.spec, topology="fldzhyan"))
    odd = dataclasses.replace(body, target=chip, banks=banks, layer_targets={})
    with pytest.raises(ArtefactError, match=r"left\.phases"):
        artefact.save(odd, tmp_path / "toy.loom")


class TestFailedSave:
    def test_leaves_an_older_file_alone(self, body, same, tmp_path, monkeypatch):
        place = tmp_path / "toy.loom"
        artefact.save(body, place)

        def full_disk(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full_disk)
        with pytest.raises(ArtefactError, match="No space left on device"):
            artefact.save(dataclasses.replace(body, name="other"), place)
        assert os.listdir(tmp_path) == ["toy.loom"]
        same(artefact.load(place), body)

    def test_leaves_nothing_when_interrupted(self, body, tmp_path, monkeypatch):
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("lightloom.runtime.artefact.writer.write_manifest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            artefact.save(body, tmp_path / "toy.loom")
        assert os.listdir(tmp_path) == []

    def test_says_when_the_folder_is_missing(self, body, tmp_path):
        with pytest.raises(ArtefactError, match=r"cannot be written.*no folder .*nowhere"):
            artefact.save(body, tmp_path / "nowhere" / "toy.loom")

    def test_refuses_a_folder(self, body, tmp_path):
        with pytest.raises(ArtefactError, match="folder"):
            artefact.save(body, tmp_path)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"provenance": {"when": object()}}, "cannot be stored"),
            ({"provenance": {"$x": 1}}, "cannot be stored"),
            ({"provenance": {"x": 2**70}}, "64 bits"),
            ({"provenance": {"x": "\ud800"}}, "cannot be stored"),
            ({"outputs": (Ref("ghost"),)}, "does not exist"),
            ({"structure": {"leaf": 9}}, "missing output"),
            ({"costs": {}}, "Costs"),
            ({"constants": {"sparse": torch.eye(2).to_sparse()}}, "no plain tensor"),
        ],
    )
    def test_refuses_what_load_would_refuse(self, body, tmp_path, changes, message):
        with pytest.raises(ArtefactError, match=message):
            artefact.save(dataclasses.replace(body, **changes), tmp_path / "toy.loom")
        assert os.listdir(tmp_path) == []
