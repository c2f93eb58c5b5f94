"""Lasers sized by the link budget: the launched power that a target's detectors ask for.

``detection.laser = "sized"`` makes ``detection.launch_power_w`` a result: what a full-scale signal needs at its
detector for ``detection.required_snr_db``, or else for the noise to be no larger than the rounding error of
``detection.adc_bits``, back through responsivity, the cells of the longest path and the couplings
(:func:`lightloom.runtime.optics.budget.required_launch_w`). It is found when a target is made or changed, and
everything that reads ``launch_power_w`` (noise, prices, reports) sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import TargetError, complaint
from .fields import TargetFields

FIELD = "detection.launch_power_w"
COMPUTED = "computed: "
"""How the source of a sized power begins; it is ``assumed``, since no one measured or published it."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a sized laser launches into a port, and the sentence that says why."""

    launch_power_w: float
    source: str

    def holds(self, target: TargetFields) -> bool:
        """Whether a target launches this already, and says why."""
        item = target.provenance.get(FIELD)
        return (
            target.detection.launch_power_w == self.launch_power_w and item is not None and item.source == self.source
        )

    def into(self, data: dict[str, Any]) -> dict[str, Any]:
        """The fields of a target, its launched power and that power's source replaced."""
        item = {"unit": "W", "source": self.source, "kind": "assumed"}
        return {
            **data,
            "detection": {**data["detection"], "launch_power_w": self.launch_power_w},
            "provenance": {**data["provenance"], FIELD: item},
        }


def sizing(target: TargetFields) -> Sizing:
    """The power that a target without contradictions asks of its laser.

    Raises: TargetError where nothing is asked.
    """
    # Imported here: optics describe targets, and only a sized laser needs them.
    from ..optics import budget

    asked = budget.asked_snr_db(target)
    if asked is None:
        raise TargetError(unasked())
    loss = budget.longest_path_loss_db(target)
    wanted = f"{asked:.4g} dB of a full-scale signal at its detector"
    if target.detection.required_snr_db is None:
        wanted += f" (the rounding error of detection.adc_bits = {target.detection.adc_bits})"
    source = f"{COMPUTED}{wanted}, over {loss:.4g} dB of loss on the longest path"
    return Sizing(launch_power_w=budget.required_launch_w(target, snr_db=asked), source=source)


def unasked(where: str = "detection.laser") -> str:
    """The fault of a sized laser that nothing is asked of."""
    return complaint(
        "a sized laser follows from what its detectors are asked for, and nothing is asked",
        where=where,
        got="sized, with neither detection.required_snr_db nor detection.adc_bits",
        next_step="give detection.required_snr_db or detection.adc_bits, or set detection.laser to given",
    )


def overruled(value: object, computed: float | None = None) -> str:
    """The fault of a power that is stated although it is computed."""
    found = "" if computed is None else f", computed: {computed:g} W"
    return complaint(
        "the power of a sized laser is computed, not stated",
        where=FIELD,
        got=f"{value}{found}",
        next_step="leave it out, or set detection.laser to given",
    )
