"""The tile passes for one matrix: what a program with dynamic products does at run time, for every sample."""

from __future__ import annotations

import numpy as np
import torch

from ..runtime.program import BankSpec, TileBank
from ..runtime.targets import Target
from .passes import Options, cut, grid, tile_passes


def tile_weights(weights: torch.Tensor, spec: BankSpec, target: Target) -> TileBank:
    """The full table of a matrix, every tile of its grid included: all-zero ones pass no light on.

    Args:
        weights: (groups, rows, cols) of the spec, real.
        spec: Of a dynamic bank.
        target: The chip.
    """
    place = np.indices((spec.groups, spec.grid_rows, spec.grid_cols)).reshape(3, -1).astype(np.int32)
    bank = TileBank(spec, dict(zip(("group", "row", "col"), map(np.ascontiguousarray, place), strict=True)))
    columns = {**bank.columns, "weights": cut(grid(weights.cpu(), spec), bank, slice(0, spec.tiles))}
    dark = ~columns["weights"].any(axis=(1, 2))
    columns["weights"][dark] = np.eye(spec.ports)
    for step in tile_passes(Options()):
        spec = step.spec(spec, target)
        made = step.run(columns, spec, target)
        columns = {**{key: value for key, value in columns.items() if key not in step.consumes}, **made}
    columns["scale"][dark] = 0.0
    return TileBank(spec, columns)
