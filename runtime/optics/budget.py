"""Budgets: from what a detector needs to what the laser must give, and errors against what is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from ..errors import InputError, complaint
from ..meshes import tile_mesh
from ..meshes.mesh import Mesh
from ..targets.fields import TargetFields
from .detection import NoiseCoefficients, noise_coefficients, photocurrent_a, rin_rms_a, shot_noise_rms_a
from .loss import path_loss_db, transmission

AnyTarget = TypeVar("AnyTarget", bound=TargetFields)


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


def longest_path(mesh: Mesh) -> int:
    """Cells that light meets on the longest path through a mesh: at most one in every window."""
    met = np.zeros(mesh.ports, np.int64)
    edges = np.searchsorted(mesh.cell_windows, np.arange(mesh.depth + 1))
    for first, last in pairwise(edges.tolist()):  # the cells of a window share no port
        upper, lower = mesh.cell_ports[first:last], mesh.cell_lower[first:last]
        met[upper] = met[lower] = np.maximum(met[upper], met[lower]) + 1
    return int(met.max())


@dataclass(frozen=True, slots=True)
class LinkBudget:
    """From the laser to a detector, of a full-scale field: powers in W, losses in dB, currents in A.

    ``path_cells``: cells on the longest path, through both meshes of a tile; ``shared_w``: what one of ``outputs``
    detectors gets when the light of all ports spreads over them evenly.
    """

    launched_w: float
    lit: int
    path_cells: int
    path_loss_db: float
    detected_w: float
    current_a: float
    shot_noise_a: float
    snr_db: float
    bits: float
    outputs: int
    shared_w: float
    shared_current_a: float
    shared_shot_noise_a: float


def link_budget(target: TargetFields, outputs: int | None = None) -> LinkBudget:
    """The link budget of a target; ``outputs`` detectors share the light of all ports, one a port by default."""
    detection, mesh = target.detection, tile_mesh(target.mesh)
    outputs = target.mesh.ports if outputs is None else outputs
    path = longest_path(mesh)
    loss = path_loss_db(target, path)
    lit = target.mesh.ports * (target.encoding.rails // target.encoding.shots)
    detected = detection.launch_power_w * transmission(loss)
    shared = detected_power_w(detection.launch_power_w * lit, transmission(loss), outputs=outputs)
    current, part = (photocurrent_a(power, detection.responsivity_a_per_w) for power in (detected, shared))
    ratio = snr_db(target)
    return LinkBudget(
        launched_w=detection.launch_power_w * lit,
        lit=lit,
        path_cells=2 * path,
        path_loss_db=loss,
        detected_w=detected,
        current_a=current,
        shot_noise_a=shot_noise_rms_a(current, detection.bandwidth_hz),
        snr_db=ratio,
        bits=snr_bits(ratio),
        outputs=outputs,
        shared_w=shared,
        shared_current_a=part,
        shared_shot_noise_a=shot_noise_rms_a(part, detection.bandwidth_hz),
    )


def snr_db(target: TargetFields) -> float:
    """Signal-to-noise ratio (of powers of the electrical signal) of a full-scale signal over the longest path."""
    coefficients = _noise(target)
    return -20 * math.log10(coefficients.rms(1.0))


def bits_snr_db(bits: float) -> float:
    """The ratio of full scale to noise at which noise is as large as the rounding error of so many bits."""
    return 20 * math.log10(2**bits * math.sqrt(12))


def snr_bits(ratio_db: float) -> float:
    """Bits whose rounding error is as large as the noise of a full-scale ratio: the inverse of :func:`bits_snr_db`."""
    return math.log2(10 ** (ratio_db / 20) / math.sqrt(12))


def adc_snr_db(target: TargetFields) -> float | None:
    """The ratio at which the noise of a full-scale signal is as large as its ADC's rounding error; None without bits.

    A coherent ADC spends one of its bits on the sign.
    """
    bits = target.detection.adc_bits
    return None if bits is None else bits_snr_db(bits - (target.detection.kind == "coherent"))


def asked_snr_db(target: TargetFields) -> float | None:
    """The ratio asked of a full-scale signal: ``detection.required_snr_db``, or else what its ADC resolves."""
    asked = target.detection.required_snr_db
    return adc_snr_db(target) if asked is None else asked


def required_launch_w(target: TargetFields, *, snr_db: float | None = None, bits: float | None = None) -> float:
    """Power to launch into each port so that a full-scale signal reaches a ratio, or the noise of so many bits.

    What the detector needs, back through its responsivity, the cells of the longest path and the couplings. Amplifier
    and dark noise fall with power, shot noise slower, and intensity noise not at all. What the target launches now
    makes no difference, to the last bit.

    Returns: watts, ``inf`` where no power is enough.
    Raises: InputError unless exactly one of ``snr_db`` and ``bits`` is given.
    """
    if (snr_db is None) == (bits is None):
        raise InputError(complaint("what is asked of the light?", got=f"snr_db={snr_db}, bits={bits}", allowed="one"))
    ratio = snr_db if snr_db is not None else bits_snr_db(bits or 0.0)
    # Variances over full scale with one watt launched: c2 stays at any power.
    one = _noise(launching(target, 1.0))
    left = 10 ** (-ratio / 10) - one.c2
    if left <= 0:
        return math.inf
    if target.detection.kind == "coherent":
        return one.c0 / left
    # c0 r^2 + c1 r = left for r = 1 / watts, in the form that does not cancel for a small c0
    r = 2 * left / (one.c1 + math.sqrt(one.c1**2 + 4 * one.c0 * left))
    return 1 / r


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """Noise of a full-scale signal that more light does not lower: variances over its power.

    ``rin``: intensity noise; ``shot``: shot noise of the signal against the local oscillator (coherent detection).
    """

    rin: float
    shot: float

    @property
    def snr_db(self) -> float:
        """The ratio that no launched power exceeds; ``inf`` without such noise."""
        total = self.rin + self.shot
        return -10 * math.log10(total) if total else math.inf


def noise_floor(target: TargetFields) -> NoiseFloor:
    """What is left of the noise of a target's full-scale signal when the launched power grows without end."""
    detection = target.detection
    rin = rin_rms_a(1.0, detection.rin_db_per_hz, detection.bandwidth_hz) ** 2
    if detection.kind != "coherent":
        return NoiseFloor(rin, 0.0)  # its shot noise falls with the power
    # 2 q B R P over (2 R sqrt(P_LO P))^2
    beat = 4 * detection.responsivity_a_per_w * detection.local_oscillator_w
    return NoiseFloor(rin, shot_noise_rms_a(1.0, detection.bandwidth_hz) ** 2 / beat)


def _noise(target: TargetFields) -> NoiseCoefficients:
    return noise_coefficients(target, longest_path(tile_mesh(target.mesh)))


def launching(target: AnyTarget, watts: float) -> AnyTarget:
    """The target with so many watts launched into a port, unchecked: a sized laser is not sized again."""
    detection = target.detection.model_copy(update={"launch_power_w": watts})
    return target.model_copy(update={"detection": detection})


def longest_path_loss_db(target: TargetFields) -> float:
    """Loss in dB from the launch to a detector over the longest path, couplings included."""
    return path_loss_db(target, longest_path(tile_mesh(target.mesh)))


def launch_for_detected_w(target: TargetFields, detected_w: float) -> float:
    """Power to launch into a port so that a full-scale field brings ``detected_w`` to its detector, losses paid."""
    return launch_power_w(detected_w, transmission(longest_path_loss_db(target)))
