"""What changes between two settings of a tile, and what of it is worth writing.

A tile's settings are counted in one line: the phases of U (``left``), those of V^H (``right``), the attenuators. Two
phases are as far apart as the shorter way round the circle. An attenuator counts with the same share of its range as a
phase with its share of a turn: a quarter of full amplitude like a quarter of a turn, pi / 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..device import ConfigureRequest, UpdateRequest
from ..errors import DeviceError, complaint

_TURN = 2 * np.pi


@dataclass(frozen=True, eq=False)
class Change:
    """The way from one setting to another.

    ``at`` uint32 (K,): settings to write, ascending; ``codes`` uint32 (K,): what to write there; ``realised``: the
    configuration that the buffer then holds; ``left_rad`` float64 (settings,): how far each setting stays from what was
    asked for; ``mean_rad``: how far apart those settings were on average that were not equal, 0 where all were.
    """

    at: np.ndarray
    codes: np.ndarray
    realised: ConfigureRequest
    left_rad: np.ndarray
    mean_rad: float


def settings(request: ConfigureRequest) -> np.ndarray:
    """All codes of a configuration in one line, uint32: U, V^H, attenuators."""
    return np.concatenate([request.left, request.right, request.attenuators])


def comparable(held: ConfigureRequest, wanted: ConfigureRequest) -> bool:
    """Whether two configurations have the same settings, code by code in the same units."""
    return (held.phase_bits, held.attenuator_bits) == (wanted.phase_bits, wanted.attenuator_bits) and all(
        len(getattr(held, name)) == len(getattr(wanted, name)) for name in ("left", "right", "attenuators")
    )


def change(held: ConfigureRequest, wanted: ConfigureRequest, threshold_rad: float = 0.0) -> Change:
    """What to write into a buffer that holds ``held`` so that it realises ``wanted``.

    Settings that would move by no more than ``threshold_rad`` stay as they are. With 0 every code that differs is
    written. The two must be :func:`comparable`.
    """
    old, new = settings(held), settings(wanted)
    apart = _apart_rad(old, new, len(held.left) + len(held.right), held.phase_bits, held.attenuator_bits)
    mean_rad = float(apart.sum() / max(np.count_nonzero(apart), 1))
    at = np.flatnonzero(apart > threshold_rad).astype(np.uint32)
    codes = new[at]
    apart[at] = 0.0
    placed = old.copy()
    placed[at] = codes
    return Change(at, codes, _with_settings(wanted, placed), apart, mean_rad)


def updated(held: ConfigureRequest, update: UpdateRequest) -> ConfigureRequest:
    """The configuration that an update makes of the one that a buffer holds, for drivers that only write whole ones.

    Raises:
        DeviceError: the update builds on another configuration, or names settings that the tile does not have.
    """
    if held.header.configuration != update.base:
        raise DeviceError(
            complaint("the buffer holds another configuration than the update builds on", got=update.base,
                      allowed=str(held.header.configuration), next_step="configure the core in full")
        )  # fmt: skip
    line = settings(held)
    at, codes = update.at, update.codes
    if at.shape != codes.shape or at.ndim != 1 or at.dtype != np.uint32 or codes.dtype != np.uint32:
        raise DeviceError(
            complaint("an update needs a code for each setting", got=f"{at.dtype} {at.shape}, {codes.dtype} "
                      f"{codes.shape}", allowed="uint32 (K,) each")
        )  # fmt: skip
    if at.size and (int(at[-1]) >= len(line) or (np.diff(at.astype(np.int64)) <= 0).any()):
        raise DeviceError(
            complaint("an update of settings that are not there", got=f"setting {int(at.max())}",
                      allowed=f"0 to {len(line) - 1}, ascending")
        )  # fmt: skip
    line[at] = codes
    whole = replace(
        held,
        header=update.header,
        lit_ports=update.lit_ports,
        measure_offset=update.measure_offset,
        buffer=update.buffer,
    )
    if update.adc_full_scale is not None:
        whole = replace(whole, adc_full_scale=update.adc_full_scale)
    return _with_settings(whole, line)


def _with_settings(request: ConfigureRequest, line: np.ndarray) -> ConfigureRequest:
    first = len(request.left)
    second = first + len(request.right)
    return replace(request, left=line[:first], right=line[first:second], attenuators=line[second:])


def _apart_rad(
    old: np.ndarray, new: np.ndarray, phases: int, phase_bits: int | None, attenuator_bits: int | None
) -> np.ndarray:
    """How far settings are apart, float64 (settings,) in radians."""
    width = 32 if phase_bits is None else phase_bits
    ahead = (new[:phases].astype(np.int64) - old[:phases]) % (1 << width)
    around = np.minimum(ahead, (1 << width) - ahead) * (_TURN / (1 << width))
    full = (1 << (32 if attenuator_bits is None else attenuator_bits)) - 1
    away = np.abs(new[phases:].astype(np.int64) - old[phases:]) * (_TURN / full)
    return np.concatenate([around, away])
