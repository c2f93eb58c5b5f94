"""Requests and responses of the device protocol as fields and arrays of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..device import ConfigureRequest, Header, StreamRequest, TileId
from ..errors import DeviceError, complaint
from .wire import Message


def header_fields(header: Header) -> dict[str, Any]:
    """A header as JSON fields."""
    tile = header.tile
    return {
        "tile": [tile.bank, tile.bank_index, tile.index, list(tile.place), list(tile.grid)],
        "numbers": [
            header.core,
            header.step,
            header.batch,
            header.configuration,
            header.calibration,
            header.sequence,
        ],
    }


def header(fields: Mapping[str, Any]) -> Header:
    """The header in some fields. Raises DeviceError for anything else."""
    try:
        bank, bank_index, index, place, grid = fields["tile"]
        core, step, batch, configuration, calibration, sequence = map(_whole, fields["numbers"])
        tile = TileId(str(bank), _whole(bank_index), _whole(index), _three(place), _three(grid))
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceError(complaint("not a header", got=repr(error))) from error
    return Header(tile, core, step, batch, configuration, calibration, sequence)


def configure_fields(request: ConfigureRequest) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A configuration as fields and arrays."""
    fields = {
        "header": header_fields(request.header),
        "phase_bits": request.phase_bits,
        "attenuator_bits": request.attenuator_bits,
        "lit_ports": request.lit_ports,
        "measure_offset": request.measure_offset,
        "buffer": request.buffer,
    }
    arrays = {
        "left": request.left,
        "right": request.right,
        "attenuators": request.attenuators,
        "adc_full_scale": request.adc_full_scale,
    }
    return fields, arrays


def configure_request(message: Message) -> ConfigureRequest:
    """The configuration in a message."""
    fields, arrays = message.fields, message.arrays
    return ConfigureRequest(
        header(fields["header"]),
        np.array(arrays["left"]),
        np.array(arrays["right"]),
        np.array(arrays["attenuators"]),
        _bits(fields["phase_bits"]),
        _bits(fields["attenuator_bits"]),
        np.array(arrays["adc_full_scale"]),
        _whole(fields["lit_ports"]),
        bool(fields["measure_offset"]),
        _whole(fields.get("buffer", 0)),
    )


def stream_request(message: Message) -> StreamRequest:
    """The window in a message."""
    return StreamRequest(header(message.fields["header"]), torch.from_numpy(np.array(message.arrays["codes"])))


def _bits(value: object) -> int | None:
    return None if value is None else _whole(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _three(values: Sequence[object]) -> tuple[int, int, int]:
    first, second, third = map(_whole, values)
    return first, second, third
