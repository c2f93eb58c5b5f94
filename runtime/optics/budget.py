"""Budgets: from what a detector needs to what the laser must give, and errors against what is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InputError, complaint


def launch_power_w(detected_w: float, *efficiencies: float) -> float:
    """Power to launch so that ``detected_w`` arrives through stages of the given power efficiencies.

    ``P_launch = P_det / (eta_1 eta_2 ...)``. Raises InputError for an efficiency outside (0, 1].
    """
    return detected_w / _product(efficiencies)


def detected_power_w(launched_w: float, *efficiencies: float, outputs: int = 1) -> float:
    """Power at each of ``outputs`` detectors that share what stages of these efficiencies leave.

    ``P_det = P_launch eta_1 eta_2 ... / outputs``. Raises InputError for an efficiency outside (0, 1].
    """
    return launched_w * _product(efficiencies) / outputs


def optical_energy_j(power_w: float, seconds: float, wall_plug_efficiency: float = 1.0) -> float:
    """Energy of light that is on for a time; with an efficiency, what the laser draws: ``P T / eta``."""
    return power_w * seconds / wall_plug_efficiency


def _product(efficiencies: tuple[float, ...]) -> float:
    product = 1.0
    for value in efficiencies:
        if not 0 < value <= 1:
            raise InputError(complaint("an efficiency is a fraction of the power", got=value, allowed="(0, 1]"))
        product *= value
    return product


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """Mean square errors of independent causes against what a design allows; they add.

    ``terms`` maps a cause (quantization, phase noise, detector noise, ...) to its mean square error.
    """

    allowed: float
    terms: Mapping[str, float]

    @property
    def total(self) -> float:
        """Mean square error of all causes together."""
        return math.fsum(self.terms.values())

    @property
    def left(self) -> float:
        """What the design still allows; negative where the budget is broken."""
        return self.allowed - self.total

    @property
    def met(self) -> bool:
        """Whether the errors stay within the budget."""
        return self.total <= self.allowed
