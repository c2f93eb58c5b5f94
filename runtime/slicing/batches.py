"""Leading dimensions of fields and settings, arranged as tiles and vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..errors import InputError, complaint


@dataclass(frozen=True)
class Batch:
    """Fields (T, B, n) and the settings of their T meshes: phases (T, phases), errors (T, cells, splitters) and
    gain (T, cells), the last two or None. ``shape`` is that of the fields as they were, leading dimensions broadcast.
    """

    fields: Tensor
    phases: Tensor
    errors: Tensor | None
    gain: Tensor | None
    shape: tuple[int, ...]

    def restore(self, fields: Tensor) -> Tensor:
        """Fields (T, B, n) in the leading dimensions of the caller."""
        return fields.reshape(self.shape)


def arrange(fields: Tensor, phases: Tensor, errors: Tensor | None, gain: Tensor | None) -> Batch:
    """Broadcast leading dimensions: those over which settings change become tiles, those behind them vectors.

    Args:
        fields: complex (..., n).
        phases: real (..., phases).
        errors: real (..., cells, splitters) or None.
        gain: real (..., cells), a number, or None.

    Raises:
        InputError: leading dimensions that do not fit together.
    """
    own = [phases.shape[:-1]]
    own += [] if errors is None else [errors.shape[:-2]]
    own += [] if gain is None else [gain.shape[:-1]]
    try:
        settings = np.broadcast_shapes(*own)
        lead = np.broadcast_shapes(fields.shape[:-1], settings)
    except ValueError:
        raise InputError(
            complaint(
                "Leading dimensions do not broadcast",
                where="fields, phases, splitter errors, losses",
                got=", ".join(str(tuple(shape)) for shape in (fields.shape[:-1], *own)),
            )
        ) from None
    settings = (1,) * (len(lead) - len(settings)) + tuple(settings)
    # trailing dimensions of size one in the settings run over vectors of the same mesh
    split = len(settings)
    while split and settings[split - 1] == 1:
        split -= 1
    tiled = lead[:split]
    tiles, vectors = math.prod(tiled), math.prod(lead[split:])

    def rows(tensor: Tensor, own: int) -> Tensor:
        """A setting as (T, ...): its leading dimensions without those of the vectors."""
        shape = tensor.shape[-own:] if own else ()
        full = (1,) * (len(lead) - (tensor.ndim - own)) + tuple(tensor.shape[: tensor.ndim - own])
        return tensor.reshape(*full[:split], *shape).expand(*tiled, *shape).reshape(tiles, *shape)

    width = fields.shape[-1]
    return Batch(
        fields.expand(*lead, width).reshape(tiles, vectors, width),
        rows(phases, 1),
        None if errors is None else rows(errors, 2),
        None if gain is None else (gain.reshape(1, 1).expand(tiles, 1) if not gain.ndim else rows(gain, 1)),
        (*lead, width),
    )
