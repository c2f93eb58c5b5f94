"""Energy of a converter's sample: as stated, or from a figure of merit and the resolution.

- Walden (R. H. Walden, IEEE JSAC 17, 539 (1999)): ``E = FOM_W * 2^bits``, FOM in J per conversion step.
- Schreier: ``FOM_S = SNDR + 10 log10((fs / 2) / P)`` in dB, so ``E = P / fs = 10^((SNDR - FOM_S) / 10) / 2`` with the
  SNDR of an ideal quantizer, ``6.02 bits + 1.76`` dB.
"""

from __future__ import annotations

from ..errors import TargetError, complaint
from ..targets.schema import Target


def dac_sample_j(target: Target) -> float:
    """Joules of one DAC sample. Raises TargetError for a target without any figure, which none of Target's can be."""
    stated = target.energy.dac_j_per_sample
    if stated is not None:
        return stated
    return _walden_j(target.energy.dac_j_per_step, target.encoding.dac_bits, "dac")


def adc_sample_j(target: Target) -> float:
    """Joules of one ADC sample. Raises TargetError for a target without any figure, which none of Target's can be."""
    energy, bits = target.energy, target.detection.adc_bits
    if energy.adc_j_per_sample is not None:
        return energy.adc_j_per_sample
    if energy.adc_schreier_db is not None and bits is not None:
        return 10 ** ((6.02 * bits + 1.76 - energy.adc_schreier_db) / 10) / 2
    return _walden_j(energy.adc_j_per_step, bits, "adc")


def _walden_j(per_step: float | None, bits: int | None, converter: str) -> float:
    if per_step is None or bits is None:
        where = f"energy.{converter}_j_per_step"
        raise TargetError(complaint("a converter without energy", where=where, next_step="give it and the bits"))
    return per_step * 2**bits
