"""What programming hands on: the settings of T meshes, as the columns of a bank hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...runtime.fixedpoint import turns32
from ...runtime.meshes import Mesh
from ...runtime.meshes.gauge import expand_radians, pack_signs


@dataclass(frozen=True, eq=False)
class GaugeSettings:
    """Meshes of real orthogonal matrices, in the real gauge.

    ``theta_rad`` float64 (T, cells) in [0, pi]; ``signs`` bool (T, cells + ports).
    """

    mesh: Mesh
    theta_rad: np.ndarray
    signs: np.ndarray

    def phases_rad(self) -> np.ndarray:
        """Every phase, float64 (T, phases) radians."""
        return expand_radians(self.mesh, self.theta_rad, np.pi * self.signs)

    def columns(self, side: str) -> dict[str, np.ndarray]:
        """Columns ``<side>.theta`` (uint32 turns / 2**32) and ``<side>.sign`` (packed bits) of a bank."""
        return {f"{side}.theta": turns32(self.theta_rad), f"{side}.sign": pack_signs(self.signs)}


@dataclass(frozen=True, eq=False)
class PhaseSettings:
    """Meshes of complex unitaries: every phase, float64 (T, phases) radians, [theta | phi | screen]."""

    mesh: Mesh
    phases: np.ndarray

    def phases_rad(self) -> np.ndarray:
        """Every phase, float64 (T, phases) radians."""
        return self.phases

    def columns(self, side: str) -> dict[str, np.ndarray]:
        """Column ``<side>.phases`` (uint32 turns / 2**32) of a bank."""
        return {f"{side}.phases": turns32(self.phases)}


MeshSettings = GaugeSettings | PhaseSettings
