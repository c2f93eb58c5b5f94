"""What a chip asks of itself and cannot meet: which constraint fails, by how much, which field to change."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import complaint

if TYPE_CHECKING:
    from .schema import Target

ROUNDING = 1e-9
"""Relative slack of comparisons: sums of times that are meant to be equal differ by rounding."""


def broken(target: Target) -> list[str]:
    """Every constraint of converters, timing and light that the target breaks."""
    return [*_converters(target), *_timing(target), *_light(target)]


def _converters(target: Target) -> list[str]:
    """Each converter's energy has exactly one figure, and a figure of merit has a resolution."""
    faults: list[str] = []
    energy = target.energy
    given = {
        "phase_shifter": ["phase_shifter_hold_w", "phase_shifter_pi_w"],
        "dac": ["dac_j_per_sample", "dac_j_per_step"],
        "adc": ["adc_j_per_sample", "adc_j_per_step", "adc_schreier_db"],
    }
    bits = {
        "dac": ("encoding.dac_bits", target.encoding.dac_bits),
        "adc": ("detection.adc_bits", target.detection.adc_bits),
    }
    for name, fields in given.items():
        found = [field for field in fields if getattr(energy, field) is not None]
        if len(found) != 1:
            faults.append(
                complaint(
                    "a phase shifter's power takes one figure"
                    if name == "phase_shifter"
                    else "a converter's energy takes one figure",
                    where=", ".join(f"energy.{field}" for field in fields),
                    got=", ".join(found) or "none",
                    allowed="exactly one of them",
                    next_step="give it" if not found else "drop the others",
                )
            )
        elif name in bits and not found[0].endswith("_per_sample") and bits[name][1] is None:
            faults.append(
                complaint(
                    "a figure of merit needs a resolution",
                    where=f"energy.{found[0]}",
                    got=f"no {bits[name][0]}",
                    next_step=f"give {bits[name][0]}, or energy.{name}_j_per_sample instead",
                )
            )
    return faults


def _timing(target: Target) -> list[str]:
    """Settling, margin and integration fit into the window, and the window into what is asked."""
    faults: list[str] = []
    timing = target.timing
    encode, margin, integrate = timing.encode_s or 0.0, timing.detector_margin_s or 0.0, timing.integrate_s or 0.0
    needed = encode + margin + integrate
    if needed > timing.window_s * (1 + ROUNDING) or (needed and needed == timing.window_s and not integrate):
        faults.append(
            complaint(
                "the window is too short for its settling, margin and integration",
                where="timing.window_s",
                got=f"{timing.window_s:g} s, short by {needed - timing.window_s:g} s",
                allowed=f"at least {needed:g} s = encode_s {encode:g} + detector_margin_s {margin:g} "
                f"+ integrate_s {integrate:g}",
                next_step=f"raise timing.window_s to {needed:g}, or settle or integrate for less",
            )
        )
    skew = timing.detector_skew_s
    if skew is not None and skew > margin:
        faults.append(
            complaint(
                "the margin does not cover the skew of the detectors: the earliest opens before the light has settled",
                where="timing.detector_margin_s",
                got=f"{margin:g} s, short by {skew - margin:g} s",
                allowed=f"at least detector_skew_s = {skew:g} s",
                next_step=f"raise timing.detector_margin_s to {skew:g}",
            )
        )
    if timing.control_rate_hz is not None and 1 / timing.control_rate_hz > timing.window_s * (1 + ROUNDING):
        period = 1 / timing.control_rate_hz
        faults.append(
            complaint(
                "the control electronics cannot start shots this fast",
                where="timing.window_s",
                got=f"{timing.window_s:g} s, short by {period - timing.window_s:g} s",
                allowed=f"at least {period:g} s, the period of control_rate_hz",
                next_step=f"raise timing.window_s to {period:g} or timing.control_rate_hz to {1 / timing.window_s:g}",
            )
        )
    if timing.required_vectors_per_s is not None:
        rate = 1 / (timing.window_s * target.encoding.shots)
        asked = timing.required_vectors_per_s
        if rate < asked * (1 - ROUNDING):
            window = 1 / (asked * target.encoding.shots)
            choice = " or send one shot a vector (encoding.sign)" if target.encoding.shots > 1 else ""
            faults.append(
                complaint(
                    "the chip misses the throughput asked of it",
                    where="timing.required_vectors_per_s",
                    got=f"{rate:g} vectors/s with {target.encoding.shots} shots a vector, short by {asked - rate:g}",
                    allowed=f"at least {asked:g} vectors/s",
                    next_step=f"lower timing.window_s to {window:g}{choice}",
                )
            )
    return faults


def _light(target: Target) -> list[str]:
    """The laser reaches the asked signal-to-noise ratio."""
    asked = target.detection.required_snr_db
    if asked is None:
        return []
    # Imported here: optics describe targets, and only a target that asks for a ratio needs them.
    from ..optics import budget

    found = budget.snr_db(target)
    if found >= asked - ROUNDING:
        return []
    needed = budget.required_launch_w(target, snr_db=asked)
    if math.isinf(needed):
        step = "lower detection.bandwidth_hz or detection.rin_db_per_hz: no launch power reaches it"
    else:
        step = f"raise detection.launch_power_w to {needed:g}"
    return [
        complaint(
            "the laser cannot reach the asked signal-to-noise ratio",
            where="detection.launch_power_w",
            got=f"{target.detection.launch_power_w:g} W gives {found:.2f} dB, short by {asked - found:.2f} dB",
            allowed=f"at least detection.required_snr_db = {asked:g} dB of a full-scale signal",
            next_step=step,
        )
    ]
