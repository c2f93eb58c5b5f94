"""The arithmetic of the chip, one step a function, on tensors of any batch shape.

For one column block ``x`` (n,) of a vector and one tile (normalised matrix T, scale s, ADC full scale F):

1. full scale ``A``: max |x| of the block, or the calibrated one, to which x is clipped;
2. DAC: ``code = clamp(rint(v / (A / L)), 0, L)`` for each rail (:mod:`..optics.encoding`);
3. light: ``y = (Re(T) code) / L``; intensity detection sees ``|T code / L|^2``;
4. noise: ``+ sqrt(c0 + c1 |y| + c2 y^2) * normal``;
5. ADC: ``code = clamp(rint(y / (F / L')), -L', L')``; intensity: 0..L' over 0..F^2, then the square root;
6. digital: ``out += (code+ - code-) * (F / L' * s) * A``, over tile columns in ascending order.

Every quantity lives in the dtype of the run. In float64 every sum in step 3 is exact (integer codes times
multiples of 2^-32), so the codes do not depend on the order of summation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import TargetError, complaint
from ..optics.detection import noise_coefficients
from ..optics.encoding import rails_of
from ..optics.noise import exact_sqrt
from ..optics.quantizers import converter_codes, signed_levels, unsigned_levels
from ..targets.schema import Target


@dataclass(frozen=True, slots=True)
class ChipArithmetic:
    """What the arithmetic needs to know of a target.

    ``noise`` holds (c0, c1, c2) of :class:`..optics.detection.NoiseCoefficients`, or None.
    """

    sign: str = "differential"
    static: bool = False
    dac_bits: int | None = None
    adc_bits: int | None = None
    intensity: bool = False
    noise: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        rails_of(self.sign)
        if self.intensity and self.sign == "phase_sign":
            raise TargetError(
                complaint(
                    "intensity detection cannot see the sign that phase-sign encoding puts on the field",
                    where="encoding.sign",
                    got="phase_sign with detection.kind = intensity",
                    allowed="differential, differential_two_shot or offset, or coherent detection",
                    next_step="choose another encoding, or set detection.kind to coherent",
                )
            )

    @classmethod
    def of(cls, target: Target, depth: int, *, quantized: bool = True, noisy: bool = True) -> ChipArithmetic:
        """The arithmetic of a target whose meshes are ``depth`` windows deep.

        ``quantized=False`` takes DAC and ADC away, ``noisy=False`` the detector noise: for calibration.
        """
        encoding, detection = target.encoding, target.detection
        noise = None
        if noisy and detection.noise:
            found = noise_coefficients(target, depth)
            noise = (found.c0, found.c1, found.c2)
        return cls(
            encoding.sign,
            encoding.scale == "static",
            encoding.dac_bits if quantized else None,
            detection.adc_bits if quantized else None,
            detection.kind == "intensity",
            noise,
        )

    @property
    def rails(self) -> int:
        """Fields sent per input vector."""
        return rails_of(self.sign)

    @property
    def dac_levels(self) -> int:
        """Largest DAC code; 1 without DAC bits, where the codes are the fields themselves."""
        return 1 if self.dac_bits is None else unsigned_levels(self.dac_bits)

    @property
    def adc_levels(self) -> int:
        """Largest ADC code; 1 without ADC bits."""
        if self.adc_bits is None:
            return 1
        return unsigned_levels(self.adc_bits) if self.intensity else signed_levels(self.adc_bits)


def add_noise(chip: ChipArithmetic, signal: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """The signal with detector noise: ``s + sqrt((c0 + c1 |s|) + c2 (s s)) * normal``.

    Args: signal (...) in its dtype; normal float32, same shape. The coefficients are rounded to the dtype.
    """
    if chip.noise is None:
        return signal
    c0, c1, c2 = (torch.tensor(c, dtype=signal.dtype, device=signal.device) for c in chip.noise)
    sigma = exact_sqrt((c0 + c1 * signal.abs()) + c2 * (signal * signal))
    return signal + sigma * normal.to(signal.dtype)


def adc_step(chip: ChipArithmetic, full_scale: torch.Tensor) -> torch.Tensor:
    """Value of one ADC step: ``F / L``, or ``F F / L`` where intensity is detected; 1 without ADC bits."""
    if chip.adc_bits is None:
        return torch.ones_like(full_scale)
    return (full_scale * full_scale if chip.intensity else full_scale) / chip.adc_levels


def adc_codes(chip: ChipArithmetic, signal: torch.Tensor, full_scale: torch.Tensor) -> torch.Tensor:
    """ADC codes of a signal (integers in its dtype), or the signal itself without ADC bits.

    Args: signal (..., rows); full_scale (broadcastable), same dtype: the port's F.
    Where F is 0 the code is 0.
    """
    if chip.adc_bits is None:
        return signal
    low = 0 if chip.intensity else -chip.adc_levels
    return converter_codes(signal, adc_step(chip, full_scale), low, chip.adc_levels)


def readout(
    chip: ChipArithmetic,
    codes: torch.Tensor,
    full_scale: torch.Tensor,
    tile_scale: torch.Tensor,
    input_scale: torch.Tensor,
    *,
    constant: torch.Tensor | None = None,
    shift: torch.Tensor | None = None,
    light: torch.Tensor | None = None,
) -> torch.Tensor:
    """What a tile adds to the accumulator: its ADC codes as numbers, rails combined, in W's and x's units.

    Args:
        codes: (rails, ..., rows) from :func:`adc_codes`.
        full_scale: F (..., rows) broadcastable; tile_scale: s (...,) broadcastable to rows.
        input_scale: A, broadcastable to the result.
        constant: offset encoding, ``s Re(T) 1`` (what the offset alone reads), broadcastable.
        shift, light: intensity detection, the tile's shift and the sum of its fields, (rails, ...) light.
    Returns: (..., rows).
    """
    if chip.intensity:
        values = exact_sqrt((codes * adc_step(chip, full_scale)).clamp_min(0.0)) * tile_scale
        if shift is not None and light is not None:
            values = values - shift * light
        value = values[0] - values[1] if chip.rails == 2 else values[0]
    else:
        # the codes of the two rails are subtracted as integers, so that equal rails cancel exactly
        rails = codes[0] - codes[1] if chip.rails == 2 else codes[0]
        value = rails * (tile_scale if chip.adc_bits is None else adc_step(chip, full_scale) * tile_scale)
    if chip.sign == "offset" and constant is not None:
        value = 2 * value - constant
    return value * input_scale
