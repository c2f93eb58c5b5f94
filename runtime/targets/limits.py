"""What a chip asks of itself and cannot meet: which constraint fails, by how much, which field to change."""

from __future__ import annotations

import math

from ..errors import complaint
from .faults import ROUNDING, at_least, at_most
from .fields import TargetFields
from .light import light
from .storage import storage


def broken(target: TargetFields) -> list[str]:
    """Every constraint of converters, timing, memories and light that the target breaks."""
    return [*_converters(target), *_timing(target), *_rates(target), *storage(target), *light(target)]


def _converters(target: TargetFields) -> list[str]:
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


def _timing(target: TargetFields) -> list[str]:
    """Settling, margin and integration fit into the window, and the window into what is asked."""
    faults: list[str] = []
    timing = target.timing
    encode, margin, integrate = timing.encode_s or 0.0, timing.detector_margin_s or 0.0, timing.integrate_s or 0.0
    needed = encode + margin + integrate
    parts = f"encode_s {encode:g} + detector_margin_s {margin:g} + integrate_s {integrate:g}"
    if needed > timing.window_s * (1 + ROUNDING):
        faults.append(
            complaint(
                "the window is too short for its settling, margin and integration",
                where="timing.window_s",
                got=f"{timing.window_s:g} s, short by {needed - timing.window_s:g} s",
                allowed=f"{'at least' if integrate else 'more than'} {needed:g} s = {parts}",
                next_step=f"raise timing.window_s {'to' if integrate else 'above'} {at_least(needed)}, or settle or "
                "integrate for less",
            )
        )
    elif needed >= timing.window_s and not integrate:
        faults.append(
            complaint(
                "the window is too short for its settling and margin: nothing of it is left to detect in",
                where="timing.window_s",
                got=f"{timing.window_s:g} s, all of it {parts}",
                allowed=f"more than {needed:g} s",
                next_step=f"raise timing.window_s above {at_least(needed)}, or settle for less",
            )
        )
    skew = timing.detector_skew_s
    if skew is not None and skew > margin * (1 + ROUNDING):
        faults.append(
            complaint(
                "the margin does not cover the skew of the detectors: the earliest opens before the light has settled",
                where="timing.detector_margin_s",
                got=f"{margin:g} s, short by {skew - margin:g} s",
                allowed=f"at least detector_skew_s = {skew:g} s",
                next_step=f"raise timing.detector_margin_s to {at_least(skew)}",
            )
        )
    if timing.update_s is not None and timing.update_s > timing.reconfigure_s * (1 + ROUNDING):
        faults.append(
            complaint(
                "an update of a setting takes longer than setting it anew",
                where="timing.update_s",
                got=f"{timing.update_s:g} s, {timing.update_s - timing.reconfigure_s:g} s too long",
                allowed=f"at most timing.reconfigure_s = {timing.reconfigure_s:g} s",
                next_step=f"lower timing.update_s to {at_most(timing.reconfigure_s)} or leave it out",
            )
        )
    return faults


def _rates(target: TargetFields) -> list[str]:
    """Converters take a sample in each window, control starts the shots of every lane, and a core takes the vectors
    asked of it.
    """
    faults: list[str] = []
    for name, field, rate in (
        ("DACs", "encoding.dac_rate_hz", target.encoding.dac_rate_hz),
        ("ADCs", "detection.adc_rate_hz", target.detection.adc_rate_hz),
    ):
        if rate is not None and 1 / rate > target.timing.window_s * (1 + ROUNDING):
            faults.append(
                complaint(
                    f"the {name} cannot convert a sample in every window",
                    where="timing.window_s",
                    got=f"{target.timing.window_s:g} s, short by {1 / rate - target.timing.window_s:g} s",
                    allowed=f"at least {1 / rate:g} s, a sample at {field}",
                    next_step=f"raise timing.window_s to {at_least(1 / rate)} or {field} to "
                    f"{at_least(1 / target.timing.window_s)}",
                )
            )
    timing, lanes, shots = target.timing, target.encoding.lanes, target.encoding.shots
    fewer = f", or lower encoding.lanes from {lanes}" if lanes > 1 else ""
    if timing.control_rate_hz is not None and lanes / timing.control_rate_hz > timing.window_s * (1 + ROUNDING):
        period = lanes / timing.control_rate_hz
        of = "the period of control_rate_hz" if lanes == 1 else f"{lanes} lanes' shots at control_rate_hz"
        faults.append(
            complaint(
                "the control electronics cannot start shots this fast",
                where="timing.window_s",
                got=f"{timing.window_s:g} s, short by {period - timing.window_s:g} s",
                allowed=f"at least {period:g} s, {of}",
                next_step=f"raise timing.window_s to {at_least(period)} or timing.control_rate_hz to "
                f"{at_least(lanes / timing.window_s)}{fewer}",
            )
        )
    asked = timing.required_vectors_per_s
    rate = lanes / (timing.window_s * shots)
    if asked is not None and rate < asked * (1 - ROUNDING):
        choice = " or send one shot a vector (encoding.sign)" if shots > 1 else ""
        through = f"{shots} shots a vector" + (f" on {lanes} lanes" if lanes > 1 else "")
        faults.append(
            complaint(
                "the chip misses the throughput asked of it",
                where="timing.required_vectors_per_s",
                got=f"{rate:g} vectors/s with {through}, short by {asked - rate:g}",
                allowed=f"at least {asked:g} vectors/s",
                next_step=f"lower timing.window_s to {at_most(lanes / (asked * shots))}, raise encoding.lanes to "
                f"{math.ceil(asked * timing.window_s * shots * (1 - ROUNDING))}{choice}",
            )
        )
    return faults
