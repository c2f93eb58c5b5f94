"""What may be asked of a schedule."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.runtime.errors import ArtefactError, InputError, TargetError
from lightloom.runtime.scheduling.plan import DATAFLOWS, OBJECTIVES, Plan, StepPlan


@pytest.mark.parametrize(("field", "value"), [("dataflow", "row"), ("objective", "speed"), ("dataflow", "")])
def test_an_unknown_wish_names_what_there_is(field: str, value: str) -> None:
    with pytest.raises(InputError, match=rf"unknown {field}.*latency" if field == "objective" else "auto.*weight"):
        Plan(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("block", "vectors", "blocks"), [(4, 0, 0), (4, 1, 1), (4, 4, 1), (4, 5, 2), (1, 3, 3)])
def test_blocks_of_vectors(block: int, vectors: int, blocks: int) -> None:
    assert StepPlan("weight", block).blocks(vectors) == blocks


@pytest.mark.parametrize("dataflow", ["auto", *DATAFLOWS])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_plan_survives_a_file(tmp_path: Path, dataflow: str, objective: str) -> None:
    target = ll.targets.get("mzi16").with_({"memory.accumulator_bytes": 1 << 16, "memory.input_buffer_bytes": 1 << 16})
    options = {"dataflow": dataflow, "objective": objective}
    program = ll.compile(nn.Linear(3, 2).eval(), torch.randn(1, 3), target=target, **options)  # type: ignore[arg-type]
    program.save(tmp_path / "p.loom")
    assert ll.load(tmp_path / "p.loom").body.plan == Plan(dataflow, objective) == program.body.plan  # type: ignore[arg-type]


@pytest.mark.parametrize(("dataflow", "field"), [("output", "accumulator_bytes"), ("input", "input_buffer_bytes")])
def test_a_dataflow_without_its_memory_is_refused_when_a_model_is_compiled(dataflow: str, field: str) -> None:
    with pytest.raises(TargetError, match=rf"(?s)at 0\).*no memory.{field}.*Raise memory.{field}"):
        ll.compile(nn.Sequential(nn.Linear(3, 2)).eval(), torch.randn(1, 3), target="ideal", dataflow=dataflow)  # type: ignore[arg-type]


def test_a_file_without_a_plan_is_of_the_default_one(tmp_path: Path) -> None:
    _saved(tmp_path, lambda manifest: manifest.pop("plan"))
    assert ll.load(tmp_path / "changed.loom").body.plan == Plan()


def test_a_file_with_an_impossible_plan_is_refused(tmp_path: Path) -> None:
    _saved(tmp_path, lambda manifest: manifest["plan"].update(dataflow="sideways"))
    with pytest.raises(ArtefactError, match="dataflow"):
        ll.load(tmp_path / "changed.loom")


def _saved(folder: Path, change) -> None:
    """A program's file with its manifest changed."""
    ll.compile(nn.Linear(3, 2).eval(), torch.randn(1, 3), target="ideal").save(folder / "p.loom")
    with zipfile.ZipFile(folder / "p.loom") as old, zipfile.ZipFile(folder / "changed.loom", "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == "manifest.json":
                manifest = json.loads(data)
                change(manifest)
                data = json.dumps(manifest).encode()
            new.writestr(info, data)
