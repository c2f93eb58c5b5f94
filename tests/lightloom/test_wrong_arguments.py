"""Arguments of the wrong kind are refused with lightloom's own errors, whatever the call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.sweep import read_spec

NAMES: dict[str, Any] = {
    "empty": "",
    "folder": ".",
    "nowhere": "no/such/file",
    "below a file": "file/x",
    "number": 3,
    "none": None,
    "bytes": b"x",
    "null": "a\0b",
    "long": "x" * 300,
}
WRITING: dict[str, Callable[[ll.Program, Any], Any]] = {
    "save": lambda program, path: program.save(path),
    "page": lambda program, path: program.to_html(path),
    "trace": lambda program, path: program.schedule.to_perfetto(path),
    "target": lambda program, path: ll.targets.write_target(program.target, path),
}
READING: dict[str, Callable[[ll.Program, Any], Any]] = {
    "load": lambda program, path: ll.load(path),
    "target": lambda program, path: ll.Target.from_toml(path),
    "spec": lambda program, path: read_spec(path),
}
MODEL, X = nn.Linear(6, 3).eval(), torch.zeros(2, 6)


def compiled(**options: Any) -> ll.Program:
    return ll.compile(MODEL, X, "mzi16", **options)


CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "exclude a number": (lambda p: compiled(exclude=3), "exclude=.*got 3"),
    "exclude numbers": (lambda p: compiled(exclude=["fc", 3]), "exclude="),
    "overrides of a number": (lambda p: compiled(overrides={"*": 3}), "overrides="),
    "a list of overrides": (lambda p: compiled(overrides=[1]), "overrides="),
    "overrides by number": (lambda p: compiled(overrides={3: {}}), "overrides="),
    "a tolerance in words": (lambda p: compiled(mesh_tolerance="much"), "mesh_tolerance=.*a number above 0"),
    "no tolerance at all": (lambda p: compiled(mesh_tolerance=0.0), "mesh_tolerance="),
    "what if 3": (lambda p: p.what_if(3), "not changes of a target; got 3"),
    "what if 3 is 4": (lambda p: p.what_if({3: 4}), "not changes of a target"),
    "what if a table is a number": (lambda p: p.what_if({"mesh": 3}), "not a table of fields"),
    "with 3": (lambda p: p.target.with_(3), "not changes of a target"),
    "with 3 is 4": (lambda p: p.target.with_({3: 4}), "not changes of a target"),
    "a device at 3": (lambda p: ll.devices.connect(3), "not an address; got 3"),  # type: ignore[arg-type]
    "a field set": (lambda p: setattr(p.target.mesh, "cores", 3), "never changed .at mesh.cores"),
    "figures in a file": (lambda p: p.export_figures("file"), "file is a file"),
    "figures below a file": (lambda p: p.export_figures("file/figures"), "file is a file"),
    "figures nowhere": (lambda p: p.export_figures(None), "not a path"),
}


@pytest.fixture(scope="module")
def program() -> ll.Program:
    return compiled()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("call", WRITING)
def test_files_that_cannot_be_written(program: ll.Program, call: str, name: str, folder: Path) -> None:
    with pytest.raises(ll.LightloomError, match=r"cannot be written|not a path|too long"):
        WRITING[call](program, NAMES[name])
    assert [place.name for place in folder.iterdir()] == ["file"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("call", READING)
def test_files_that_cannot_be_read(program: ll.Program, call: str, name: str) -> None:
    with pytest.raises(ll.LightloomError):
        READING[call](program, NAMES[name])


@pytest.mark.parametrize("call", CALLS)
def test_arguments(program: ll.Program, call: str) -> None:
    made, message = CALLS[call]
    with pytest.raises(ll.LightloomError, match=message):
        made(program)
