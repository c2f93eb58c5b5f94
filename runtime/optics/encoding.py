"""How signed numbers become optical fields: the four sign encodings.

Every encoding maps a block ``x`` with full scale ``A`` (|x| <= A) to field amplitudes ``u`` in 0..1 (or
-1..1 where the sign is a 0/pi phase), one or two *rails*, and back:

- ``differential`` / ``differential_two_shot``: ``x = A (u+ - u-)``, two nonnegative rails;
- ``phase_sign``: ``x = A u``, amplitude |u| and phase 0 or pi;
- ``offset``: ``x = A (2 u - 1)``, one nonnegative rail, the constant subtracted digitally.
"""

from __future__ import annotations

import torch

from ..errors import TargetError, complaint
from .quantizers import converter_codes, unsigned_levels

SIGNS = ("differential", "differential_two_shot", "phase_sign", "offset")
"""Names of the sign encodings."""


def rails_of(sign: str) -> int:
    """Fields sent per input vector: 2 for the differential encodings, 1 otherwise."""
    if sign not in SIGNS:
        raise TargetError(complaint("unknown sign encoding", got=repr(sign), allowed=", ".join(SIGNS)))
    return 2 if sign.startswith("differential") else 1


def block_full_scale(x: torch.Tensor) -> torch.Tensor:
    """Adaptive block floating point: the full scale of each block, max |x| over the last axis."""
    if x.shape[-1] == 0:
        return x.new_zeros(x.shape[:-1])
    return x.abs().amax(-1)


def encode(
    x: torch.Tensor, full_scale: torch.Tensor, sign: str, dac_bits: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """DAC codes of a block of vectors.

    ``code = clamp(rint(v / (A / L)), 0, L)`` with ``L = 2^bits - 1`` and the rail values ``v`` of the
    encoding; the field is ``code / L``. Without DAC bits the "code" is the field ``v / A`` itself, and L = 1.
    A static scale clips to [-A, A].

    Args: x (..., n); full_scale (...), same dtype, >= 0; sign: one of SIGNS; dac_bits or None.
    Returns: codes (rails, ..., n), signed for ``phase_sign``; and the full scale with blocks that the
    converter cannot resolve (A / L underflows) set to 0. Where A is 0 every code is 0.
    """
    levels = 1 if dac_bits is None else unsigned_levels(dac_bits)
    step = full_scale / levels
    scale = torch.where(step == 0, torch.zeros_like(full_scale), full_scale)
    rails = _rail_values(x, full_scale.unsqueeze(-1), sign)
    low = -levels if sign == "phase_sign" else 0
    if dac_bits is not None:
        return converter_codes(rails, step.unsqueeze(-1).expand_as(x), low, levels), scale
    dead = (step == 0).unsqueeze(-1)
    fields = rails / torch.where(dead, torch.ones_like(x), full_scale.unsqueeze(-1))
    return fields.clamp_(low, 1).masked_fill(dead, 0.0), scale


def _rail_values(x: torch.Tensor, full_scale: torch.Tensor, sign: str) -> torch.Tensor:
    """Values to convert, (rails, ..., n)."""
    if rails_of(sign) == 2:
        return torch.stack((x.clamp_min(0.0), (-x).clamp_min(0.0)))
    if sign == "phase_sign":
        return x.unsqueeze(0).clone()
    return ((x + full_scale) / 2).unsqueeze(0)
