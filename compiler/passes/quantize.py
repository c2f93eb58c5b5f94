"""Fix the number formats of phases and attenuations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ...runtime.fixedpoint import attenuator32, turns32
from ...runtime.meshes.gauge import pack_signs
from ...runtime.program import BankSpec
from ...runtime.targets import Target
from .base import Columns
from .program_meshes import PHASE_COLUMNS


@dataclass(frozen=True)
class Quantize:
    """Phases and attenuations become 32-bit words; the drivers' codes are their leading bits, rounded.

    The words keep what the drivers cannot resolve, so that an ideal run needs no second copy of the weights.
    """

    name: ClassVar[str] = "quantize"
    consumes: ClassVar[tuple[str, ...]] = ()
    produces: ClassVar[tuple[str, ...]] = (*PHASE_COLUMNS, "attenuation")

    def spec(self, spec: BankSpec, target: Target) -> BankSpec:
        """The bank with the drivers' resolutions."""
        return replace(spec, phase_bits=target.mesh.phase_bits, attenuator_bits=target.mesh.attenuator_bits)

    def run(self, columns: Columns, spec: BankSpec, target: Target) -> dict[str, np.ndarray]:
        """See :class:`TilePass`."""
        del spec, target
        words = {"attenuation": attenuator32(columns["attenuation"])}
        for name in PHASE_COLUMNS:
            if name in columns:
                words[name] = pack_signs(columns[name]) if name.endswith(".sign") else turns32(columns[name])
        return words
