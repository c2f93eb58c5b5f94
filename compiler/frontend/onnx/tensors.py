"""TensorProto to torch tensors, without copying what can be referred to."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import SparseTensorProto, TensorProto, numpy_helper

from ....runtime.errors import CaptureError, complaint
from .dtypes import FOREIGN, NARROW, torch_type, type_name
from .external import external_array

MAX_BYTES = 2**36
"""Largest tensor that a declared shape may ask for; its data must be there as well."""

_FIELDS: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.COMPLEX64: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.COMPLEX128: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
}
_COMPLEX = (TensorProto.COMPLEX64, TensorProto.COMPLEX128)


def tensor_of(proto: TensorProto, where: str, folder: Path | None = None) -> Any:
    """The tensor a TensorProto declares.

    Raw data is referred to, external data mapped into memory; only typed fields and packed elements are copied. Of a
    type that torch lacks it is a numpy array.

    Args:
        proto: The tensor.
        where: What it is, for messages.
        folder: Folder of the model, the only place external data may lie in.

    Raises:
        CaptureError: no torch type, a negative or absurd size, or data of another length than the shape declares.
    """
    if proto.data_type in FOREIGN:
        return _foreign_array(proto, where)
    dtype = torch_type(proto.data_type, where)
    shape = tuple(proto.dims)
    if any(size < 0 for size in shape):
        raise CaptureError(complaint("a tensor has a negative size", where=where, got=list(shape)))
    count = math.prod(shape)
    bits = NARROW[proto.data_type][0] if proto.data_type in NARROW else dtype.itemsize * 8
    size = (count * bits + 7) // 8
    if size > MAX_BYTES:
        raise CaptureError(
            complaint("a tensor is absurdly large", where=where, got=list(shape), allowed=f"{MAX_BYTES} bytes")
        )
    if proto.data_location == TensorProto.EXTERNAL:
        array = external_array(proto, size, where, folder)
        return _reinterpreted(torch.from_numpy(array), proto.data_type, dtype, shape)
    if proto.HasField("raw_data"):
        raw = proto.raw_data
        if len(raw) != size:
            raise _length(where, shape, proto.data_type, len(raw), size, "bytes")
        with warnings.catch_warnings():
            # The bytes are a copy that protobuf made for this call: nobody else sees writes to them.
            warnings.simplefilter("ignore")
            flat = torch.frombuffer(raw, dtype=torch.uint8) if size else torch.empty(0, dtype=torch.uint8)
        return _reinterpreted(flat, proto.data_type, dtype, shape)
    return _from_fields(proto, dtype, shape, count, where)


def _foreign_array(proto: TensorProto, where: str) -> np.ndarray:
    count = math.prod(proto.dims) if all(size >= 0 for size in proto.dims) else -1
    if proto.data_location == TensorProto.EXTERNAL or not 0 <= count <= 2**24:
        raise CaptureError(complaint("a tensor of this type must be small and in the model itself", where=where))
    if proto.data_type == TensorProto.STRING and len(proto.string_data) != count:
        raise _length(where, tuple(proto.dims), proto.data_type, len(proto.string_data), count, "elements")
    try:
        array = numpy_helper.to_array(proto)
    except (ValueError, TypeError, UnicodeDecodeError) as error:
        raise CaptureError(complaint("a tensor's data cannot be read", where=where, got=str(error))) from error
    return array.astype(object) if array.dtype.kind in "US" else array


def _reinterpreted(flat: torch.Tensor, code: int, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    """Bytes as elements."""
    if code in NARROW:
        return unpacked(flat, code, math.prod(shape)).reshape(shape)
    if dtype is torch.bool:
        return (flat != 0).reshape(shape)
    if flat.data_ptr() % dtype.itemsize:
        flat = flat.clone()
    return flat.view(dtype).reshape(shape)


def unpacked(flat: torch.Tensor, code: int, count: int) -> torch.Tensor:
    """Packed 4- or 2-bit elements, lowest bits first, as one 8-bit integer each."""
    bits, low, _ = NARROW[code]
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8)
    values = ((flat.reshape(-1, 1) >> shifts) & (2**bits - 1)).reshape(-1)[:count]
    if low == 0:
        return values
    signed = values.to(torch.int8)
    return torch.where(signed >= 2 ** (bits - 1), signed - 2**bits, signed)


def _from_fields(
    proto: TensorProto, dtype: torch.dtype, shape: tuple[int, ...], count: int, where: str
) -> torch.Tensor:
    field = _FIELDS.get(int(proto.data_type), "int32_data")
    length = len(getattr(proto, field))
    needed = 2 * count if proto.data_type in _COMPLEX else count
    if proto.data_type in NARROW:
        bits = NARROW[proto.data_type][0]
        needed = (count * bits + 7) // 8
        flat = torch.tensor([value & 255 for value in getattr(proto, field)], dtype=torch.uint8)
        if length != needed:
            raise _length(where, shape, proto.data_type, length, needed, "elements")
        return unpacked(flat, proto.data_type, count).reshape(shape)
    if length != needed:
        raise _length(where, shape, proto.data_type, length, needed, "elements")
    try:
        array = np.ascontiguousarray(numpy_helper.to_array(proto)).reshape(-1)
    except (ValueError, TypeError, OverflowError) as error:
        raise CaptureError(complaint("a tensor's data cannot be read", where=where, got=str(error))) from error
    if dtype is torch.bool:
        return torch.from_numpy(array.astype(np.bool_)).reshape(shape)
    return torch.from_numpy(array.view(np.uint8)).view(dtype).reshape(shape).clone()


def sparse_tensor_of(proto: SparseTensorProto, where: str, folder: Path | None = None) -> torch.Tensor:
    """A sparse tensor, written out.

    Raises:
        CaptureError: indices that do not fit the shape, or a shape of more than 2**28 elements.
    """
    values = tensor_of(proto.values, where, folder)
    indices = tensor_of(proto.indices, where, folder).to(torch.int64)
    shape = tuple(proto.dims)
    if any(size < 0 for size in shape) or math.prod(shape) > 2**28:
        raise CaptureError(complaint("a sparse tensor's shape is absurd", where=where, got=list(shape)))
    rows = values.shape[0] if values.ndim else 0
    if indices.ndim == 2 and tuple(indices.shape) == (rows, len(shape)):
        strides = torch.tensor([math.prod(shape[axis + 1 :]) for axis in range(len(shape))], dtype=torch.int64)
        if bool(((indices < 0) | (indices >= torch.tensor(shape))).any()):
            raise CaptureError(complaint("a sparse tensor's index lies outside its shape", where=where))
        indices = (indices * strides).sum(1)
    if tuple(indices.shape) != (rows,) or (
        rows and not 0 <= int(indices.min()) <= int(indices.max()) < math.prod(shape)
    ):
        raise CaptureError(complaint("a sparse tensor's indices do not fit it", where=where, got=list(indices.shape)))
    dense = torch.zeros(math.prod(shape), dtype=values.dtype)
    dense[indices] = values
    return dense.reshape(shape)


def _length(where: str, shape: tuple[int, ...], code: int, got: int, needed: int, unit: str) -> CaptureError:
    return CaptureError(
        complaint(
            "a tensor's data does not have the length its shape declares",
            where=where,
            got=f"{got} {unit}",
            allowed=f"{needed} {unit} for {type_name(code)} of shape {list(shape)}",
            next_step="the file is damaged: export the model again",
        )
    )
