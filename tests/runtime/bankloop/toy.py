"""Banks of random words and chips to run them on: no programming, no optics needed to make one."""

from __future__ import annotations

import numpy as np
import torch

from lightloom.runtime.bankloop import BankTables, ChipArithmetic
from lightloom.runtime.banks import bank_mesh, effective_matrices
from lightloom.runtime.meshes import mesh
from lightloom.runtime.program import BankSpec, TileBank
from lightloom.runtime.targets.schema import Target

COSTS = {
    "timing": {"reconfigure_s": 1e-5, "window_s": 1e-9},
    "energy": {
        "laser_wall_plug_efficiency": 0.1,
        "phase_shifter_hold_w": 1e-3,
        "dac_j_per_sample": 1e-12,
        "adc_j_per_sample": 1e-12,
        "memory_j_per_byte": 1e-12,
        "host_j_per_mac": 1e-12,
    },
}


def make_target(ports: int = 4, *, mesh_=None, encoding=None, detection=None) -> Target:
    return Target.model_validate(
        {
            "name": "toy",
            "mesh": {"ports": ports, "cores": 2} | (mesh_ or {}),
            "encoding": encoding or {},
            "detection": detection or {},
            **COSTS,
        }
    )


def make_bank(
    rows: int, cols: int, *, ports: int = 4, groups: int = 1, seed: int = 0, skip=(), phase_bits=None,
    attenuator_bits=None, gauge: bool = True, static: bool = False, shift: bool = False, full_scale: float = 0.4,
) -> TileBank:  # fmt: skip
    """A bank of random phases, signs, attenuations and scales; ``skip`` names grid places left out."""
    rng = np.random.default_rng(seed)
    layout = mesh("clements", ports)
    spec = BankSpec("toy", "clements", ports, groups, rows, cols, 0, phase_bits, attenuator_bits)
    places = [place for place in np.ndindex(groups, spec.grid_rows, spec.grid_cols) if place not in skip]
    tiles = len(places)
    spec = BankSpec("toy", "clements", ports, groups, rows, cols, tiles, phase_bits, attenuator_bits)
    group, row, col = np.array(places, np.int32).reshape(-1, 3).T.copy()
    columns = {
        "group": group,
        "row": row,
        "col": col,
        "scale": rng.uniform(0.5, 3, tiles),
        "attenuation": rng.integers(2**28, 2**32, (tiles, ports), dtype=np.uint32),
        "adc_full_scale": rng.uniform(full_scale, 2 * full_scale, (tiles, ports)).astype(np.float32),
    }
    for side in ("left", "right"):
        if gauge:
            columns[f"{side}.theta"] = rng.integers(0, 2**31 + 1, (tiles, layout.cells), dtype=np.uint32)
            signs = rng.integers(0, 2, (tiles, layout.cells + ports)).astype(bool)
            columns[f"{side}.sign"] = np.packbits(signs, axis=-1)
        else:
            columns[f"{side}.phases"] = rng.integers(0, 2**32, (tiles, layout.phases), dtype=np.uint32)
    if static:
        by_column = rng.uniform(0.5, 1.5, (groups, spec.grid_cols)).astype(np.float32)
        columns["input_full_scale"] = by_column[group, col]
    if shift:
        columns["shift"] = rng.uniform(0, 1, tiles)
    return TileBank(spec, columns)


def make_tables(bank: TileBank, target: Target, dtype=torch.float64, seed: int = 0) -> BankTables:
    chip = ChipArithmetic.of(target, bank_mesh(bank).depth)
    return BankTables.build(bank, chip, effective_matrices(bank, target, seed=seed), dtype)


def vectors(count: int, width: int, dtype=torch.float64, seed: int = 0) -> torch.Tensor:
    """Normal vectors, with zeros strewn in, one zero vector, and one that has its first half zero."""
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, width)))
    x[torch.from_numpy(np.random.default_rng(seed + 1).random((count, width)) < 0.1)] = 0.0
    if count > 2:
        x[1] = 0.0
        x[2, : width // 2] = 0.0
    return x.to(dtype)
