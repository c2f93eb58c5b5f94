"""Photodetection: currents, their noise, and the way from detector units to numbers. SI units.

Noise terms are independent and add in quadrature at the photocurrent, before gain, saturation and ADC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import TargetError, complaint
from ..targets.fields import TargetFields
from .loss import path_loss_db, transmission

ELECTRON_CHARGE_C = 1.602176634e-19
"""Charge of the electron (SI definition)."""

_SMALLEST = 1e-200
"""Squared amperes of a full-scale field, and one over the most: beyond, noise over signal is no number."""


def photocurrent_a(power_w: float, responsivity_a_per_w: float, dark_current_a: float = 0.0) -> float:
    """Photocurrent ``i = R P + i_dark``."""
    return responsivity_a_per_w * power_w + dark_current_a


def shot_noise_rms_a(current_a: float, bandwidth_hz: float) -> float:
    """Rms shot noise of a current, one-sided bandwidth: ``sqrt(2 q I B)``. Dark current adds to I."""
    return math.sqrt(2 * ELECTRON_CHARGE_C * current_a * bandwidth_hz)


def thermal_noise_rms_a(density_a_per_rthz: float, bandwidth_hz: float) -> float:
    """Rms input-referred amplifier and thermal noise: ``i_th sqrt(B)``."""
    return density_a_per_rthz * math.sqrt(bandwidth_hz)


def rin_rms_a(current_a: float, rin_db_per_hz: float, bandwidth_hz: float) -> float:
    """Rms current noise from relative intensity noise: ``I sqrt(10^(RIN/10) B)``."""
    return abs(current_a) * math.sqrt(10 ** (rin_db_per_hz / 10) * bandwidth_hz)


def total_noise_rms_a(*terms_a: float) -> float:
    """Independent noise terms in quadrature."""
    return math.hypot(*terms_a)


def balanced_value(
    i_plus: float, i_minus: float, *, offset_plus: float = 0.0, offset_minus: float = 0.0, gain: float = 1.0
) -> float:
    """Value of a balanced pair from its two readings: ``((I+ - b+) - (I- - b-)) / k``.

    Args: i_plus, i_minus: readings (A or detector units); offset_*: the channel's dark reading b, same
    unit; gain: k, detector units per unit of value.
    """
    return ((i_plus - offset_plus) - (i_minus - offset_minus)) / gain


@dataclass(frozen=True, slots=True)
class NoiseCoefficients:
    """Variance of a detected signal ``s`` in units of its full scale: ``c0 + c1 |s| + c2 s^2``.

    For coherent detection ``s`` is the normalised field ``y``; for intensity detection it is ``|y|^2``.
    ``full_scale_a`` is the signal current at s = 1.
    """

    c0: float
    c1: float
    c2: float
    full_scale_a: float

    def rms(self, signal: float) -> float:
        """Noise rms at a signal, in units of full scale."""
        return math.sqrt(self.c0 + self.c1 * abs(signal) + self.c2 * signal * signal)


def _check_light(target: TargetFields, power_w: float) -> None:
    """Raise TargetError unless a full-scale field makes a current that numbers can hold."""
    detection = target.detection
    field = detection.local_oscillator_w * power_w if detection.kind == "coherent" else power_w**2
    if not _SMALLEST < detection.responsivity_a_per_w**2 * field < 1 / _SMALLEST:
        raise TargetError(
            complaint(
                "no light that could be measured reaches the detectors",
                where=f"target {target.name}",
                got=f"{power_w:.3g} W at a detector of {detection.responsivity_a_per_w:.3g} A/W",
                next_step="check detection.launch_power_w, the losses and the responsivity",
            )
        )


def noise_coefficients(target: TargetFields, depth: int) -> NoiseCoefficients:
    """Detector noise of a target whose meshes are ``depth`` windows deep, referred to the signal.

    With P the power that a full-scale field brings to its detector after all losses, R the responsivity,
    B the bandwidth:

    - coherent: ``I_fs = 2 R sqrt(P_LO P)``. The two diodes share ``R (P_LO + P y^2) + 2 i_dark`` of
      current, which makes shot noise, and one amplifier. One laser feeds signal and local oscillator,
      and balancing cancels the LO's own intensity noise, so RIN scales the signal current: RIN B i^2.
    - intensity: ``I_fs = R P``; shot noise of ``R P z + i_dark``, the amplifier, and RIN B i^2.

    Returns coefficients in units of ``I_fs^2``. The nominal loss is divided out of the signal, so it shows
    up here and nowhere else.
    """
    detection = target.detection
    power_w = detection.launch_power_w * transmission(path_loss_db(target, depth))
    responsivity, bandwidth = detection.responsivity_a_per_w, detection.bandwidth_hz
    rin = 10 ** (detection.rin_db_per_hz / 10) * bandwidth
    shot = 2 * ELECTRON_CHARGE_C * bandwidth
    _check_light(target, power_w)
    amplifier = thermal_noise_rms_a(detection.thermal_noise_a_per_rthz, bandwidth) ** 2
    if detection.kind == "coherent":
        full_scale = 2 * responsivity * math.sqrt(detection.local_oscillator_w * power_w)
        still = shot * (responsivity * detection.local_oscillator_w + 2 * detection.dark_current_a)
        c1, c2 = 0.0, shot * responsivity * power_w / full_scale**2 + rin
    else:
        full_scale = responsivity * power_w
        still = shot * detection.dark_current_a
        c1, c2 = shot / full_scale, rin
    return NoiseCoefficients((still + amplifier) / full_scale**2, c1, c2, full_scale)
