"""Requests and responses of the device protocol as fields and arrays of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..device import ConfigureRequest, Header, StreamRequest, TileId, UpdateRequest
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
        core, step, batch, configuration, calibration, sequence = map(whole, fields["numbers"])
        tile = TileId(str(bank), whole(bank_index), whole(index), _three(place), _three(grid))
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceError(complaint("not a header", got=repr(error))) from error
    return Header(tile, core, step, batch, configuration, calibration, sequence)


MAX_SETTINGS = 1 << 25
"""Settings that a tile may have on the wire."""


def configure_fields(request: ConfigureRequest, compact: bool) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A configuration as fields and arrays; ``compact``: codes in as few bytes as they need."""
    fields = {
        "header": header_fields(request.header),
        "phase_bits": request.phase_bits,
        "attenuator_bits": request.attenuator_bits,
        "lit_ports": request.lit_ports,
        "measure_offset": request.measure_offset,
        "buffer": request.buffer,
    }
    codes = {"left": request.left, "right": request.right, "attenuators": request.attenuators}
    if compact:
        codes = {name: _narrow(array) for name, array in codes.items()}
    return fields, {**codes, "adc_full_scale": request.adc_full_scale}


def configure_request(message: Message) -> ConfigureRequest:
    """The configuration in a message."""
    fields, arrays = message.fields, message.arrays
    return ConfigureRequest(
        header(fields["header"]),
        _codes(arrays["left"]),
        _codes(arrays["right"]),
        _codes(arrays["attenuators"]),
        _bits(fields["phase_bits"]),
        _bits(fields["attenuator_bits"]),
        _gains(arrays["adc_full_scale"]),
        whole(fields["lit_ports"]),
        bool(fields["measure_offset"]),
        whole(fields.get("buffer", 0)),
    )


def update_fields(request: UpdateRequest) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """An update as fields and arrays: which settings as a list of numbers or a bit for each, whichever is shorter."""
    fields = {
        "header": header_fields(request.header),
        "base": request.base,
        "lit_ports": request.lit_ports,
        "measure_offset": request.measure_offset,
        "buffer": request.buffer,
    }
    arrays = {"codes": _narrow(request.codes)}
    listed = _narrow(request.at)
    if listed.size and listed.nbytes > int(request.at[-1]) // 8 + 1:
        mask = np.zeros(int(request.at[-1]) + 1, bool)
        mask[request.at] = True
        arrays["mask"] = np.packbits(mask)
    else:
        arrays["at"] = listed
    if request.adc_full_scale is not None:
        arrays["adc_full_scale"] = request.adc_full_scale
    return fields, arrays


def update_request(message: Message) -> UpdateRequest:
    """The update in a message."""
    fields, arrays = message.fields, message.arrays
    if "mask" in arrays:
        mask = arrays["mask"]
        if mask.dtype != np.uint8 or mask.ndim != 1 or mask.size > MAX_SETTINGS // 8:
            raise ValueError(f"a mask of {mask.dtype} {mask.shape}")
        at = np.flatnonzero(np.unpackbits(mask)).astype(np.uint32)
    else:
        at = _codes(arrays["at"])
    gains = arrays.get("adc_full_scale")
    return UpdateRequest(
        header(fields["header"]),
        whole(fields["base"]),
        at,
        _codes(arrays["codes"]),
        None if gains is None else _gains(gains),
        whole(fields["lit_ports"]),
        bool(fields["measure_offset"]),
        whole(fields["buffer"]),
    )


def stream_request(message: Message) -> StreamRequest:
    """The window in a message."""
    return StreamRequest(header(message.fields["header"]), window(message))


def window_fields(codes: Tensor, compact: bool) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Codes of a window (rails, V, n): whole numbers in as few bytes as they need where the other side takes that."""
    plain = codes.detach().contiguous().numpy()
    if not compact or not plain.size:
        return {}, {"codes": plain}
    low, high = (float(limit) for limit in torch.aminmax(codes))
    for kind in (np.uint8, np.int8, np.uint16, np.int16):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:  # NaN fits nothing
            narrow = plain.astype(kind)
            if np.array_equal(narrow, plain):
                return {"dtype": plain.dtype.newbyteorder("<").str}, {"codes": narrow}
            break  # fractions
    return {}, {"codes": plain}


def window(message: Message) -> Tensor:
    """The codes in a message: float32 or float64 (rails, V, n)."""
    codes = message.arrays["codes"]
    dtype = message.fields.get("dtype", codes.dtype.str)
    if dtype not in ("<f4", "<f8") or codes.ndim != 3:
        raise ValueError(f"a window of {dtype} {codes.shape}")
    return torch.from_numpy(codes.astype(dtype))


def _codes(array: np.ndarray) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind != "u" or array.size > MAX_SETTINGS:
        raise ValueError(f"codes of {array.dtype} {array.shape}")
    return array.astype(np.uint32)


def _gains(array: np.ndarray) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(f"ADC full scales of {array.dtype} {array.shape}")
    return array.astype(np.float32)


def _narrow(codes: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 on, in as few bytes as they need."""
    return codes.astype(np.min_scalar_type(int(codes.max(initial=0))))


def _bits(value: object) -> int | None:
    return None if value is None else whole(value)


def whole(value: object) -> int:
    """A whole number as it came. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _three(values: Sequence[object]) -> tuple[int, int, int]:
    first, second, third = map(whole, values)
    return first, second, third
