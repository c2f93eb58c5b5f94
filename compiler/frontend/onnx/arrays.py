"""Torch values as numpy arrays of ONNX's types and back, for callers that speak numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import torch
from onnx import TensorProto, TypeProto, helper

from ....runtime.errors import InputError, complaint
from .dtypes import NARROW, ONNX_TYPES

_ML_DTYPES: dict[Any, torch.dtype] = {
    np.dtype(ml_dtypes.bfloat16): torch.bfloat16,
    np.dtype(ml_dtypes.float8_e4m3fn): torch.float8_e4m3fn,
    np.dtype(ml_dtypes.float8_e4m3fnuz): torch.float8_e4m3fnuz,
    np.dtype(ml_dtypes.float8_e5m2): torch.float8_e5m2,
    np.dtype(ml_dtypes.float8_e5m2fnuz): torch.float8_e5m2fnuz,
    np.dtype(ml_dtypes.float8_e8m0fnu): torch.float8_e8m0fnu,
}
_NARROW: dict[Any, torch.dtype] = {
    np.dtype(ml_dtypes.int4): torch.int8,
    np.dtype(ml_dtypes.uint4): torch.uint8,
    np.dtype(ml_dtypes.int2): torch.int8,
    np.dtype(ml_dtypes.uint2): torch.uint8,
}
_FOREIGN = frozenset(
    np.dtype(getattr(ml_dtypes, name))
    for name in ("float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn")
    if hasattr(ml_dtypes, name)
)


def to_torch(value: Any, where: str = "value") -> Any:
    """A numpy array as a tensor (bits kept; four- and two-bit integers widened to eight), sequences element by element.

    Strings and floats of four and six bits stay numpy arrays: torch has no type for them.

    Raises:
        InputError: whatever else torch has no type for.
    """
    if value is None or isinstance(value, torch.Tensor):
        return value
    if isinstance(value, (list, tuple)):
        return [to_torch(item, where) for item in value]
    array = np.asarray(value)
    dtype = array.dtype
    if dtype in _ML_DTYPES:
        carrier = np.int16 if dtype.itemsize == 2 else np.uint8
        bits = np.array(array, order="C", copy=True).view(carrier)
        return torch.from_numpy(bits).view(_ML_DTYPES[dtype])
    if dtype in _NARROW:
        return torch.from_numpy(array.astype(np.int8)).to(_NARROW[dtype])
    if dtype.kind in "OSU" or dtype in _FOREIGN:
        return array.astype(object) if dtype.kind in "SU" else array
    if dtype.kind not in "biufc" or dtype.itemsize > 16:
        raise InputError(
            complaint(
                "torch has no type for these elements", where=where, got=str(dtype), allowed="numbers and booleans"
            )
        )
    native = array.astype(dtype.newbyteorder("="), copy=True, order="C")
    return torch.from_numpy(native)


def to_numpy(value: Any, kind: TypeProto | None = None) -> Any:
    """A tensor as a numpy array of the type the model declares (``kind``), or of the tensor's own; lists stay lists."""
    if value is None or isinstance(value, np.ndarray):
        return value
    if isinstance(value, (list, tuple)):
        return [to_numpy(item, _element(kind)) for item in value]
    tensor = value.detach().cpu()
    code = _declared(kind)
    if code in NARROW:
        return tensor.numpy().astype(helper.tensor_dtype_to_np_dtype(code))
    own = ONNX_TYPES.get(tensor.dtype, TensorProto.FLOAT)
    array_type = helper.tensor_dtype_to_np_dtype(own)
    if array_type in _ML_DTYPES:
        carrier = torch.int16 if tensor.dtype.itemsize == 2 else torch.uint8
        return tensor.contiguous().view(carrier).numpy().view(array_type)
    return tensor.resolve_conj().resolve_neg().numpy()


def _element(kind: TypeProto | None) -> TypeProto | None:
    if kind is None:
        return None
    if kind.HasField("optional_type"):
        return _element(kind.optional_type.elem_type)
    return kind.sequence_type.elem_type if kind.HasField("sequence_type") else None


def _declared(kind: TypeProto | None) -> int:
    """The element type a type declares, 0 for none."""
    if kind is None:
        return 0
    if kind.HasField("optional_type"):
        return _declared(kind.optional_type.elem_type)
    return kind.tensor_type.elem_type if kind.HasField("tensor_type") else 0


def element_types(kinds: Sequence[TypeProto]) -> set[int]:
    """Every element type that the types mention."""
    found: set[int] = set()
    for kind in kinds:
        if kind.HasField("tensor_type"):
            found.add(kind.tensor_type.elem_type)
        elif kind.HasField("sparse_tensor_type"):
            found.add(kind.sparse_tensor_type.elem_type)
        elif kind.HasField("sequence_type"):
            found |= element_types([kind.sequence_type.elem_type])
        elif kind.HasField("optional_type"):
            found |= element_types([kind.optional_type.elem_type])
        elif kind.HasField("map_type"):
            found |= {kind.map_type.key_type} | element_types([kind.map_type.value_type])
    return found - {0}
