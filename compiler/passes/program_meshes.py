"""Find the phases that make each mesh act as its unitary."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ...runtime.errors import CompileError, LightloomWarning, complaint
from ...runtime.meshes import tile_mesh
from ...runtime.program import BankSpec
from ...runtime.slicing.cpu import transfer_matrices
from ...runtime.targets import Target
from ..programming import RULES, GaugeSettings, program_numerically, program_unitaries
from .base import Columns, Options

PHASE_COLUMNS = tuple(f"{side}.{part}" for side in ("left", "right") for part in ("theta", "sign", "phases"))
"""The columns that hold mesh settings: theta and sign, or phases, per side."""

NOTABLE = 1e-6
"""Errors of a unitary's elements from which on the user is told what the meshes do not hold."""


@dataclass(frozen=True)
class ProgramMeshes:
    """Program U and V^H: by the rule of the topology, or by a search where it has none.

    Real factors of MZI meshes are kept in the real gauge (theta and signs), all else as every phase. What a search
    falls short of is in the ``weights`` from here on, so that the ranges fit what the meshes do.
    """

    options: Options = field(default_factory=Options)
    name: ClassVar[str] = "program_meshes"
    consumes: ClassVar[tuple[str, ...]] = ("left", "right")
    produces: ClassVar[tuple[str, ...]] = (*PHASE_COLUMNS, "weights")

    def spec(self, spec: BankSpec, target: Target) -> BankSpec:
        """Unchanged."""
        del target
        return spec

    def run(self, columns: Columns, spec: BankSpec, target: Target) -> dict[str, np.ndarray]:
        """See :class:`TilePass`.

        Raises:
            CompileError: a search did not reach ``Options.mesh_tolerance``.
        """
        del target
        if spec.topology not in RULES:
            return self._searched(columns, spec)
        settings: dict[str, np.ndarray] = {"weights": columns["weights"]}
        for side in ("left", "right"):
            programmed = program_unitaries(spec.topology, columns[side])
            if isinstance(programmed, GaugeSettings):
                settings[f"{side}.theta"], settings[f"{side}.sign"] = programmed.theta_rad, programmed.signs
            else:
                settings[f"{side}.phases"] = programmed.phases
        return settings

    def _searched(self, columns: Columns, spec: BankSpec) -> dict[str, np.ndarray]:
        layout = tile_mesh(spec)
        # too few phases for every unitary: one start ends about as far off as another
        restarts = 8 if layout.phases >= layout.ports**2 else 2
        settings: dict[str, np.ndarray] = {}
        held: dict[str, np.ndarray] = {}
        error, fidelity = 0.0, 1.0
        for side in ("left", "right"):
            try:
                found = program_numerically(
                    layout, columns[side], tolerance=self.options.mesh_tolerance, restarts=restarts
                )
            except CompileError as failed:
                raise CompileError(
                    complaint(
                        "meshes of this family do not hold the tiles of a layer closely enough",
                        where=spec.name,
                        got=str(failed),
                        next_step="set mesh.layers higher, take a smaller mesh or another family, or compile with "
                        "mesh_tolerance= larger (None: the best found)",
                    )
                ) from failed
            settings[f"{side}.phases"] = found.phases
            held[side] = transfer_matrices(layout, found.phases)
            error = max(error, float(found.distance.max(initial=0.0)))
            fidelity = min(fidelity, float(found.fidelity.min(initial=1.0)))
        if error > NOTABLE:
            warnings.warn(
                f"{spec.name}: meshes of the {spec.topology} family hold its tiles within {error:.2g} only "
                f"(fidelity {fidelity:.4f} at worst); the program computes with what they hold.",
                LightloomWarning,
                stacklevel=2,
            )
        product = (held["left"] * columns["attenuation"][:, None, :]) @ held["right"]
        settings["weights"] = columns["scale"][:, None, None] * np.real(product)
        return settings
