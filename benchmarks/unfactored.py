"""Programs whose tiles hold their matrices as they are: for checking networks whose meshes take minutes to program."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

import lightloom as ll
from lightloom.compiler.passes import cut, emit, grid
from lightloom.compiler.pipeline import compile_model
from lightloom.runtime.banks import assembled_matrix
from lightloom.runtime.batched import BatchedMatrices, RunOptions
from lightloom.runtime.program import TileBank
from lightloom.runtime.scheduling.plan import Plan


def unfactored(model: torch.nn.Module, inputs: Any, target: str) -> ll.Program:
    """A program for ideal runs, compiled as far as tiles.

    Everything but the factorization of the tiles is as in a program: its capture, passes, steps, geometries and
    costs. The matrices of its banks are put together from the tiles that would be factored.

    Args:
        model, inputs, target: as for :func:`lightloom.compile`.
    """
    chip = ll.targets.get(target)
    made = compile_model(model, inputs, chip, stop_after="tile")
    graph, captured = made.graph, made.captured
    if captured is None:
        raise ValueError("the compiler kept no capture")
    body = emit(
        graph,
        chip,
        layer_targets={},
        example_batch=captured.example_batch,
        ir={},
        provenance={"capture": captured.method, "notes": list(captured.notes)},
        plan=Plan(),
    )
    program = ll.Program(body, made.pass_s)
    weights = {matrix.name: graph.store[matrix.weight] for matrix in graph.matrices}
    program._runner._matrices = _Unfactored(body, weights)
    return program


class _Unfactored(BatchedMatrices):
    def __init__(self, body: Any, weights: dict[str, Tensor]) -> None:
        super().__init__(body)
        self.weights = weights

    def matrix(self, name: str, options: RunOptions) -> Tensor:
        bank = self.body.banks[name]
        tiles = cut(grid(self.weights[name], bank.spec), bank, slice(None))
        whole = TileBank(bank.spec, {**bank.columns, "scale": np.ones(len(tiles))})
        return assembled_matrix(whole, torch.from_numpy(tiles)).to(options.device, options.dtype)
