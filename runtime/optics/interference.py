"""Two-field interference, and what a discrete phase shifter leaves of a dark port."""

from __future__ import annotations

import math


def interference_intensity(a: float, b: float, phase_rad: float) -> float:
    """Intensity of two fields that add up: ``|a + b e^{j phase}|^2 = a^2 + b^2 + 2 a b cos(phase)``.

    Args: a, b: field amplitudes (square root of the unit of the result); phase_rad between them.
    The residual of a dark port is this at phase pi: ``(a - b)^2``.
    """
    return a * a + b * b + 2 * a * b * math.cos(phase_rad)


def phase_step_rad(bits: int) -> float:
    """Step of a ``bits``-bit phase shifter over a full turn: 2 pi / 2^bits."""
    return 2 * math.pi / 2**bits


def worst_phase_error_rad(bits: int) -> float:
    """Largest rounding error of a ``bits``-bit phase shifter: half a step."""
    return phase_step_rad(bits) / 2


def destructive_residual(phase_error_rad: float) -> float:
    """Power left in a dark port, as a fraction of the maximum: ``sin^2(error / 2)``.

    Two equal fields at phase pi + error leave ``4 sin^2(error/2)`` of a maximum of 4.
    """
    return math.sin(phase_error_rad / 2) ** 2
