"""The door of programming: rules by topology, columns of a bank, refusals."""

import numpy as np
import pytest

from lightloom.compiler.programming import RULES, GaugeSettings, PhaseSettings, program_unitaries
from lightloom.runtime.errors import CompileError, TargetError
from lightloom.runtime.fixedpoint import radians
from lightloom.runtime.meshes import TOPOLOGIES, Mesh
from lightloom.runtime.meshes.gauge import expand
from lightloom.runtime.slicing.cpu import transfer_matrices

ROTATION = np.array([[[0.6, 0.8], [-0.8, 0.6]]])


def test_real_matrices_become_gauge_columns():
    program = program_unitaries("clements", ROTATION)
    assert isinstance(program, GaugeSettings)
    columns = program.columns("left")
    assert {name: (c.dtype.name, c.shape) for name, c in columns.items()} == {
        "left.theta": ("uint32", (1, 1)),
        "left.sign": ("uint8", (1, 1)),
    }
    phases = radians(expand(program.mesh, columns["left.theta"], columns["left.sign"]))
    assert np.abs(transfer_matrices(program.mesh, phases) - ROTATION).max() < 1e-8
    assert np.abs(transfer_matrices(program.mesh, program.phases_rad()) - ROTATION).max() < 1e-15


def test_complex_matrices_become_phase_columns():
    matrices = ROTATION * np.exp(0.3j)
    program = program_unitaries("clements", matrices)
    assert isinstance(program, PhaseSettings)
    columns = program.columns("right")
    assert {name: (c.dtype.name, c.shape) for name, c in columns.items()} == {"right.phases": ("uint32", (1, 4))}
    assert np.abs(transfer_matrices(program.mesh, radians(columns["right.phases"])) - matrices).max() < 1e-8
    assert np.abs(transfer_matrices(program.mesh, program.phases_rad()) - matrices).max() < 1e-15


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_empty_batch(dtype):
    program = program_unitaries("clements", np.empty((0, 5, 5), dtype=dtype))
    assert program.phases_rad().shape == (0, 25)
    assert all(len(column) == 0 for column in program.columns("left").values())


def test_single_precision_passes_with_a_tolerance():
    single = ROTATION.astype(np.float32)
    with pytest.raises(CompileError, match="not unitary"):
        program_unitaries("clements", single)
    program = program_unitaries("clements", single, tolerance=1e-6)
    assert np.abs(transfer_matrices(program.mesh, program.phases_rad()) - ROTATION).max() < 1e-6


def test_not_unitary_reports_the_tile_and_the_distance():
    stack = np.concatenate([ROTATION, ROTATION * np.sqrt(1.25), ROTATION * 2])
    with pytest.raises(
        CompileError,
        match=r"not unitary.*matrices\[1\], and 1 more .*= 0\.25, the nearest unitary is 0\.118 away.*nearest_unitary",
    ):
        program_unitaries("clements", stack)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(value):
    stack = np.concatenate([ROTATION, ROTATION])
    stack[1, 0, 0] = value
    with pytest.raises(CompileError, match=r"NaN or inf .*matrices\[1\]"):
        program_unitaries("clements", stack)


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (2, 0, 0)])
def test_not_square(shape):
    with pytest.raises(CompileError, match="square"):
        program_unitaries("clements", np.zeros(shape))


def test_integers_are_refused():
    with pytest.raises(CompileError, match="int64"):
        program_unitaries("clements", np.eye(2, dtype=np.int64)[None])


def test_unknown_topology():
    with pytest.raises(TargetError, match=r"Did you mean clements"):
        program_unitaries("clemens", ROTATION)


def test_topology_without_a_rule(monkeypatch):
    table = {**TOPOLOGIES, "line": lambda ports: Mesh("line", ports, ())}
    monkeypatch.setattr("lightloom.runtime.meshes.TOPOLOGIES", table)
    with pytest.raises(CompileError, match=rf"'line'.*allowed: {', '.join(sorted(RULES))}"):
        program_unitaries("line", ROTATION)
