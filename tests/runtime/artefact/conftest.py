"""A small program that uses every kind of value a ``.loom`` file can hold."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from lightloom.runtime.meshes import mesh
from lightloom.runtime.program import (
    BankSpec,
    Conv2dGeometry,
    HostStep,
    InputSpec,
    LinearGeometry,
    MatrixStep,
    ProgramBody,
    StepCost,
    TileBank,
)
from lightloom.runtime.targets.schema import Target
from lightloom.runtime.values import Ref, ScalarType, TensorType, Token, TupleType


def make_target(**changes: object) -> Target:
    fields: dict = {
        "name": "toy",
        "mesh": {"ports": 4, "cores": 1},
        "detection": {"rin_db_per_hz": -150.5, "dark_current_a": 1e-9 / 3},
        "timing": {"reconfigure_s": 1e-5, "window_s": 1e-10},
        "energy": {
            "laser_wall_plug_efficiency": 0.1,
            "phase_shifter_hold_w": 1e-3,
            "dac_j_per_sample": 1e-12,
            "adc_j_per_sample": 1e-12,
            "memory_j_per_byte": 1e-12,
            "host_j_per_mac": 1e-12,
        },
        "provenance": {"mesh.ports": {"unit": "1", "source": "made up", "kind": "assumed"}},
    }
    return Target.model_validate(fields | changes)


def make_bank(name: str, rows: int, cols: int, *, groups: int = 1, gauge: bool = True, skip: int = 0) -> TileBank:
    """A bank of random columns on 4 ports; the last ``skip`` tiles are all-zero ones, left out."""
    rng = np.random.default_rng(7)
    ports = 4
    spec = BankSpec(name, "clements", ports, groups, rows, cols, 0, phase_bits=8)
    grid = [(g, r, c) for g in range(groups) for r in range(spec.grid_rows) for c in range(spec.grid_cols)]
    places = np.array(grid[: len(grid) - skip], dtype=np.int32).reshape(-1, 3)
    tiles = len(places)
    topology = mesh("clements", ports)
    columns = {
        "group": places[:, 0].copy(),
        "row": places[:, 1].copy(),
        "col": places[:, 2].copy(),
        "scale": rng.random(tiles),
        "attenuation": rng.integers(0, 2**32, (tiles, ports), dtype=np.uint32),
        "adc_full_scale": rng.random((tiles, ports), dtype=np.float32),
    }
    for side in ("left", "right"):
        if gauge:
            bits = rng.integers(0, 2, (tiles, topology.cells + ports), dtype=np.uint8)
            columns[f"{side}.theta"] = rng.integers(0, 2**31, (tiles, topology.cells), dtype=np.uint32)
            columns[f"{side}.sign"] = np.packbits(bits, axis=1)
        else:
            columns[f"{side}.phases"] = rng.integers(0, 2**32, (tiles, topology.phases), dtype=np.uint32)
    return TileBank(dataclasses.replace(spec, tiles=tiles), columns)


def make_body() -> ProgramBody:
    image = TensorType("f32", ("s0", 2, 6, 6))
    generator = torch.Generator().manual_seed(1)
    constants = {
        "conv.bias": torch.randn(6, generator=generator),
        "half": torch.randn(3, generator=generator).to(torch.float16),
        "brain": torch.randn(2, 2, generator=generator).to(torch.bfloat16),
        "eighth": torch.randn(3, generator=generator).to(torch.float8_e5m2),
        "twist": torch.randn(2, generator=generator, dtype=torch.complex64),
        "mask": torch.tensor([True, False, True]),
        "count": torch.tensor(3),
        "none": torch.empty(0, 5),
        "limits": torch.tensor([math.inf, -math.inf, math.nan, -0.0]),
    }
    steps = (
        MatrixStep(
            "conv",
            "conv",
            "x",
            Conv2dGeometry(2, (3, 3), (1, 2), (1, 1, 0, 1), (1, 1), 2),
            "conv.bias",
            TensorType("f32", ("s0", 6, 5, 3)),
            "net.conv",
            "a matrix",
        ),
        HostStep(
            "clamp",
            "clamp.default",
            (Ref("conv"), -math.inf, 0.1 + 0.2),
            (),
            TensorType("f32", ("s0", 6, 5, 3)),
            "net.act",
            "elementwise, äöü",
        ),
        HostStep(
            "cast",
            "to.dtype",
            (Ref("clamp"), Token("torch.float32")),
            (("non_blocking", False),),
            TensorType("f32", ("s0", 6, 5, 3)),
            "",
            "",
        ),
        HostStep("size", "sym_size.int", (Ref("cast"), 0), (), ScalarType("int"), "", ""),
        HostStep(
            "flat",
            "view.default",
            (Ref("cast"), (Ref("size"), 90)),
            (),
            TensorType("f32", ("s0", 90)),
            "",
            "",
        ),
        MatrixStep(
            "head",
            "head",
            "flat",
            LinearGeometry(),
            None,
            TensorType("f32", ("s0", 5)),
            "net.head",
            "a matrix",
        ),
        HostStep(
            "top",
            "max.dim",
            (Ref("head"), -1),
            (("keepdim", True),),
            TupleType((TensorType("f32", ("s0", 1)), None)),
            "",
            "",
        ),
    )
    return ProgramBody(
        name="toy",
        target=make_target(),
        inputs=(InputSpec("x", image),),
        constants=constants,
        steps=steps,
        outputs=(Ref("head"), Ref("top"), 3, None),
        structure={"tuple": [{"dict": [["a", {"leaf": 0}], ["b", {"list": [{"leaf": 1}]}]]}, {"none": True}]},
        banks={
            "conv": make_bank("conv", 3, 9, groups=2, skip=1),
            "head": make_bank("head", 5, 90, gauge=False),
        },
        costs={step.name: StepCost(macs=i, vectors=2 * i, elements=3 * i) for i, step in enumerate(steps)},
        example_batch=1,
        layer_targets={"head": make_target().with_({"encoding.dac_bits": 5})},
        ir={"nn": "graph @toy {\n}\n"},
        provenance={"torch": "2.13", "passes": [{"name": "fold", "seconds": 0.25}], "limit": math.inf},
    )


def same_tensor(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal dtype, shape and bits (NaN equals NaN)."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    flat = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other)]
    return torch.equal(*flat)


def assert_same(one: ProgramBody, other: ProgramBody) -> None:
    """Every field equal, arrays and tensors bit for bit."""
    for field in dataclasses.fields(ProgramBody):
        if field.name not in ("constants", "banks"):
            assert getattr(one, field.name) == getattr(other, field.name), field.name
    assert list(one.constants) == list(other.constants)
    for name, tensor in one.constants.items():
        assert same_tensor(tensor, other.constants[name]), name
    assert list(one.banks) == list(other.banks)
    for name, bank in one.banks.items():
        assert bank.spec == other.banks[name].spec
        assert set(bank.columns) == set(other.banks[name].columns)
        for column, array in bank.columns.items():
            again = other.banks[name].columns[column]
            assert array.dtype == again.dtype, (name, column)
            np.testing.assert_array_equal(array, again, err_msg=f"{name} {column}")


@pytest.fixture(scope="session")
def body() -> ProgramBody:
    return make_body()


@pytest.fixture(scope="session")
def same():
    return assert_same


@pytest.fixture(scope="session")
def bank():
    return make_bank


@pytest.fixture(scope="session")
def target():
    return make_target
