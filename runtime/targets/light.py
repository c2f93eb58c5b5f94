"""What is asked of a target's light and what its lasers give: by how much one misses the other, and what helps."""

from __future__ import annotations

import math

from ..errors import complaint
from .faults import ROUNDING, at_least, at_most
from .fields import TargetFields
from .sizing import FIELD, unasked

ROUNDING_DB = 1e-9
"""Slack in dB: a laser that launches what is needed may miss the ratio by rounding."""


def light(target: TargetFields) -> list[str]:
    """Every constraint of lasers and noise that the target breaks."""
    if target.detection.laser == "sized":
        return _sized(target)
    return [*_above_the_lasers(target), *_given(target)]


def _sized(target: TargetFields) -> list[str]:
    """A sized laser has something to be sized for, some power is enough, and the lasers can launch it."""
    # Imported here: optics describe targets, and only a target that asks something of its light needs them.
    from ..optics import budget

    asked = budget.asked_snr_db(target)
    if asked is None:
        return [unasked()]
    needed = budget.required_launch_w(target, snr_db=asked)
    if math.isinf(needed):
        return [_no_power(target, asked)]
    most = target.detection.max_launch_w
    if most is None or needed <= most * (1 + ROUNDING):
        return []
    found = budget.snr_db(budget.launching(target, most))
    reachable = f"{math.floor(found * 100) / 100:.2f}"
    lower = f"lower detection.required_snr_db to {reachable}"
    if target.detection.required_snr_db is None:
        lower = f"set detection.required_snr_db to {reachable}, less than the ADC resolves"
    return [
        complaint(
            "the lasers cannot launch what the detectors are asked for",
            where="detection.max_launch_w",
            got=f"{needed:g} W needed for {asked:.4g} dB over {budget.longest_path_loss_db(target):.4g} dB of loss, "
            f"short by {needed - most:g} W, {10 * math.log10(needed / most):.2f} dB",
            allowed=f"at most detection.max_launch_w = {most:g} W",
            next_step=f"raise detection.max_launch_w to {at_least(needed)}, {lower}, or lower mesh.cell_loss_db or "
            "mesh.coupling_loss_db",
        )
    ]


def _given(target: TargetFields) -> list[str]:
    """The stated power reaches the asked ratio."""
    asked = target.detection.required_snr_db
    if asked is None:
        return []
    from ..optics import budget

    found = budget.snr_db(target)
    if found >= asked - ROUNDING_DB:
        return []
    needed = budget.required_launch_w(target, snr_db=asked)
    if math.isinf(needed):
        return [_no_power(target, asked)]
    most = target.detection.max_launch_w
    step = f"raise {FIELD} to {at_least(needed)}, or set detection.laser to sized"
    if most is not None and needed > most:
        step = (
            f"raise {FIELD} to {at_least(needed)} and detection.max_launch_w with it "
            f"({10 * math.log10(needed / most):.2f} dB above), or lower mesh.cell_loss_db or mesh.coupling_loss_db"
        )
    launched = target.detection.launch_power_w
    return [
        complaint(
            "the laser cannot reach the asked signal-to-noise ratio",
            where=FIELD,
            got=f"{launched:g} W gives {found:.2f} dB, short by {asked - found:.2f} dB, {needed - launched:g} W",
            allowed=f"at least detection.required_snr_db = {asked:g} dB of a full-scale signal",
            next_step=step,
        )
    ]


def _above_the_lasers(target: TargetFields) -> list[str]:
    """The stated power is one that the lasers can launch."""
    launched, most = target.detection.launch_power_w, target.detection.max_launch_w
    if most is None or launched <= most * (1 + ROUNDING):
        return []
    return [
        complaint(
            "more light than the lasers can launch",
            where=FIELD,
            got=f"{launched:g} W, {launched - most:g} W or {10 * math.log10(launched / most):.2f} dB too much",
            allowed=f"at most detection.max_launch_w = {most:g} W",
            next_step=f"lower {FIELD} to {at_most(most)}, or raise detection.max_launch_w to {at_least(launched)}",
        )
    ]


def _no_power(target: TargetFields, asked: float) -> str:
    """The fault of a ratio that noise forbids which grows with the light: the term, by how much, and what lowers it."""
    from ..optics import budget

    detection = target.detection
    floor = budget.noise_floor(target)
    allowed = 10 ** (-asked / 10)
    steps: list[str] = []
    if floor.rin >= floor.shot:
        term = "intensity noise of the laser (detection.rin_db_per_hz)"
        if allowed > floor.shot:
            density = 10 * math.log10((allowed - floor.shot) / detection.bandwidth_hz)
            steps.append(f"lower detection.rin_db_per_hz below {math.floor(density * 100) / 100:.2f}")
    else:
        term = "shot noise of the signal against the local oscillator (detection.local_oscillator_w)"
        if allowed > floor.rin:
            watts = detection.local_oscillator_w * floor.shot / (allowed - floor.rin)
            steps.append(f"raise detection.local_oscillator_w above {at_least(watts)}")
    narrow = detection.bandwidth_hz * allowed / (floor.rin + floor.shot)
    steps.append(f"lower detection.bandwidth_hz below {at_most(narrow)}")
    asks = "detection.required_snr_db"
    if detection.required_snr_db is None:
        asks = f"the rounding error of detection.adc_bits = {detection.adc_bits}"
    return complaint(
        "no launch power reaches the asked signal-to-noise ratio",
        where=FIELD,
        got=f"{term} leaves {floor.snr_db:.2f} dB at any power, short by {asked - floor.snr_db:.2f} dB",
        allowed=f"{asks}, {asked:.4g} dB of a full-scale signal, below that",
        next_step=", or ".join(steps),
    )
