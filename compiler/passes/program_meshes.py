"""Find the phases that make each mesh act as its unitary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...runtime.program import BankSpec
from ...runtime.targets import Target
from ..programming import GaugeSettings, check_programmable, program_unitaries
from .base import Columns

PHASE_COLUMNS = tuple(f"{side}.{part}" for side in ("left", "right") for part in ("theta", "sign", "phases"))
"""The columns that hold mesh settings: theta and sign, or phases, per side."""


@dataclass(frozen=True)
class ProgramMeshes:
    """Program U and V^H by the rule of the topology.

    Real factors of MZI meshes are kept in the real gauge (theta and signs), all else as every phase.
    """

    name: ClassVar[str] = "program_meshes"
    consumes: ClassVar[tuple[str, ...]] = ("left", "right")
    produces: ClassVar[tuple[str, ...]] = PHASE_COLUMNS

    def spec(self, spec: BankSpec, target: Target) -> BankSpec:
        """Unchanged."""
        del target
        return spec

    def run(self, columns: Columns, spec: BankSpec, target: Target) -> dict[str, np.ndarray]:
        """See :class:`TilePass`."""
        del target
        check_programmable(spec.topology, spec.name)
        settings: dict[str, np.ndarray] = {}
        for side in ("left", "right"):
            programmed = program_unitaries(spec.topology, columns[side])
            if isinstance(programmed, GaugeSettings):
                settings[f"{side}.theta"], settings[f"{side}.sign"] = programmed.theta_rad, programmed.signs
            else:
                settings[f"{side}.phases"] = programmed.phases
        return settings
