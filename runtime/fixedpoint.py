"""Fixed-point words of phases and attenuations, and the codes a chip's converters make of them.

A phase is stored as uint32 in turns / 2**32, an attenuation as uint32 in units of 1 / (2**32 - 1).
A driver of ``bits`` bits rounds the word to the nearest code; ``bits=None`` keeps all 32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .errors import InputError, TargetError, complaint

TURN = 2.0**32
"""Words of a full turn of phase."""
FULL = 2**32 - 1
"""Word of an attenuation of 1 (all light passes)."""


def turns32(phase_rad: ArrayLike) -> np.ndarray:
    """Phase in radians to its nearest word: uint32 turns / 2**32, modulo a turn.

    Raises:
        InputError: NaN or infinite phases.
    """
    phase = np.asarray(phase_rad, dtype=np.float64)
    if not np.isfinite(phase).all():
        raise InputError(complaint("A phase is NaN or infinite", allowed="finite radians"))
    turns = np.atleast_1d(phase * (1 / (2 * np.pi)))
    turns -= np.floor(turns)
    turns *= TURN
    np.rint(turns, out=turns)
    turns[turns == TURN] = 0
    return turns.astype(np.uint32).reshape(phase.shape)


def radians(turns: ArrayLike) -> np.ndarray:
    """Phase words (uint32) to radians, float64 in [0, 2 pi)."""
    return np.asarray(turns, dtype=np.uint32) * (2 * np.pi / TURN)


def phase_codes(turns: ArrayLike, bits: int | None) -> np.ndarray:
    """Codes of a ``bits``-bit phase driver: round half up on the circle, uint32 in 0 .. 2**bits - 1.

    Raises:
        TargetError: ``bits`` outside 1 .. 32.
    """
    words = np.asarray(turns, dtype=np.uint32)
    width = _bits(bits)
    if width == 32:
        return words
    # unsigned 32-bit sums wrap: that is the circle
    return (words + np.uint32(1 << (31 - width))) >> np.uint32(32 - width)


def realised_phase_rad(codes: ArrayLike, bits: int | None) -> np.ndarray:
    """The phase a driver's code makes: ``code * 2 pi / 2**bits``, float64 in [0, 2 pi).

    Raises:
        TargetError: ``bits`` outside 1 .. 32.
    """
    return np.asarray(codes, dtype=np.uint32) * (2 * np.pi / 2.0 ** _bits(bits))


def attenuator32(attenuation: ArrayLike) -> np.ndarray:
    """Attenuation (field amplitude passed, 0 .. 1) to its nearest word, uint32.

    Raises:
        InputError: values outside 0 .. 1, or NaN.
    """
    values = np.asarray(attenuation, dtype=np.float64)
    inside = (values >= 0) & (values <= 1)
    if not inside.all():
        raise InputError(
            complaint(
                "An attenuator cannot amplify or flip the sign",
                got=f"{values[~inside].flat[0]} and {int((~inside).sum()) - 1} more",
                allowed="0 .. 1",
                next_step="divide the singular values by the largest one",
            )
        )
    return np.rint(values * FULL).astype(np.uint32)


def attenuator_codes(words: ArrayLike, bits: int | None) -> np.ndarray:
    """Codes of a ``bits``-bit attenuator driver, uint32: ``rint(a (2**bits - 1))``.

    Raises:
        TargetError: ``bits`` outside 1 .. 32.
    """
    stored = np.asarray(words, dtype=np.uint32)
    width = _bits(bits)
    if width == 32:
        return stored
    # in integers: doubles round twice at 30 bits and more; FULL is odd, so no word lies halfway between two codes
    code, rest = np.divmod(stored.astype(np.uint64) * np.uint64(2**width - 1), np.uint64(FULL))
    return (code + (2 * rest > FULL)).astype(np.uint32)


def realised_attenuation(codes: ArrayLike, bits: int | None) -> np.ndarray:
    """The field amplitude an attenuator's code passes: ``code / (2**bits - 1)``, float64.

    Raises:
        TargetError: ``bits`` outside 1 .. 32.
    """
    return np.asarray(codes, dtype=np.uint32) / (2 ** _bits(bits) - 1)


def _bits(bits: int | None) -> int:
    if bits is None:
        return 32
    if not 1 <= bits <= 32:
        raise TargetError(complaint("A driver of impossible resolution", got=f"{bits} bits", allowed="1 .. 32"))
    return int(bits)
