"""ONNX element types as torch types.

Types narrower than a byte (int4, uint4, int2, uint2) are held one value an 8-bit integer; their range is kept by the
operators that produce them. Strings and floats of four and six bits have no torch form: they are numpy arrays on the
host, and the onnx package's reference implementation computes with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper

from ....runtime.errors import CaptureError, complaint

_T = TensorProto

TORCH_TYPES: dict[int, torch.dtype] = {
    _T.FLOAT: torch.float32,
    _T.UINT8: torch.uint8,
    _T.INT8: torch.int8,
    _T.UINT16: torch.uint16,
    _T.INT16: torch.int16,
    _T.INT32: torch.int32,
    _T.INT64: torch.int64,
    _T.BOOL: torch.bool,
    _T.FLOAT16: torch.float16,
    _T.DOUBLE: torch.float64,
    _T.UINT32: torch.uint32,
    _T.UINT64: torch.uint64,
    _T.COMPLEX64: torch.complex64,
    _T.COMPLEX128: torch.complex128,
    _T.BFLOAT16: torch.bfloat16,
    _T.FLOAT8E4M3FN: torch.float8_e4m3fn,
    _T.FLOAT8E4M3FNUZ: torch.float8_e4m3fnuz,
    _T.FLOAT8E5M2: torch.float8_e5m2,
    _T.FLOAT8E5M2FNUZ: torch.float8_e5m2fnuz,
    _T.FLOAT8E8M0: torch.float8_e8m0fnu,
    _T.UINT4: torch.uint8,
    _T.INT4: torch.int8,
    _T.UINT2: torch.uint8,
    _T.INT2: torch.int8,
}

NARROW: dict[int, tuple[int, int, int]] = {
    _T.UINT4: (4, 0, 15),
    _T.INT4: (4, -8, 7),
    _T.UINT2: (2, 0, 3),
    _T.INT2: (2, -2, 1),
}
"""Types narrower than a byte: bits, lowest and highest value."""

FOREIGN = frozenset(
    code for name, code in _T.DataType.items() if name in ("STRING", "FLOAT4E2M1", "FLOAT6E2M3", "FLOAT6E3M2")
)
"""Types that torch lacks."""

ONNX_TYPES: dict[torch.dtype, int] = {
    dtype: code for code, dtype in reversed(list(TORCH_TYPES.items())) if code not in NARROW
}

_STRINGS = ("classlabels_strings", "values_strings", "value_string", "value_strings")
"""Attributes that make an operator yield strings."""
_STRING_KEYS = ("values_strings", "value_string", "value_strings", "keys_strings", "cats_strings", "pool_strings")
_PASSING = frozenset({"If", "Loop", "Scan", "Identity", "Shape", "Size", "SplitToSequence"})

_MOVING = frozenset(
    [
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "DepthToSpace",
        "SpaceToDepth",
        "Tile",
    ]
)
"""Operators that only move elements: what goes in as int4 comes out as int4."""


def narrow_result(op: str, attributes: Mapping[str, Any], inputs: Sequence[int]) -> int:
    """The type of a node's first output where it is narrower than a byte or unknown to torch, else 0.

    Args:
        op: The operator.
        attributes: Its attributes.
        inputs: The same of its inputs.
    """
    if op == "Cast":
        code = attributes.get("to", 0)
    elif op == "QuantizeLinear":
        code = attributes.get("output_dtype", 0) or (inputs[2] if len(inputs) > 2 else 0)
    elif op == "CastLike":
        code = inputs[1] if len(inputs) > 1 else 0
    elif op in ("StringNormalizer", "StringConcat", "StringSplit") or any(attributes.get(key) for key in _STRINGS):
        code = int(_T.STRING)
    elif op == "Constant":
        value = attributes.get("value")
        code = helper.np_dtype_to_tensor_dtype(value.dtype) if isinstance(value, np.ndarray) else 0
    else:
        code = inputs[0] if op in _MOVING and inputs else 0
    return code if code in NARROW or code in FOREIGN else 0


def is_foreign(op: str, attributes: Mapping[str, Any], inputs: Sequence[int]) -> bool:
    """Whether a node computes with values that torch has no type for; operators that only pass values on do not."""
    if op in _PASSING or op.startswith(("Sequence", "Optional")):
        return False
    types = (*inputs, narrow_result(op, attributes, inputs))
    named = any(attributes.get(key) for key in _STRING_KEYS)
    if attributes.get("classlabels_strings") and not any(code in FOREIGN for code in inputs):
        return False
    return named or any(code in FOREIGN for code in types)


WIDE_UNSIGNED = frozenset({torch.uint16, torch.uint32, torch.uint64})
"""Types that torch stores but hardly computes with."""

FLOAT8 = frozenset(dtype for dtype in ONNX_TYPES if str(dtype).startswith("torch.float8"))


def type_name(code: int) -> str:
    """The ONNX name of an element type, for messages."""
    try:
        return str(_T.DataType.Name(code))  # type: ignore[arg-type]
    except ValueError:
        return f"type {code}"


def torch_type(code: int, where: str) -> torch.dtype:
    """The torch type that holds an ONNX element type.

    Raises:
        CaptureError: torch has no such type; names ``where``.
    """
    dtype = TORCH_TYPES.get(code)
    if dtype is None:
        raise CaptureError(
            complaint(
                "torch has no type for these elements",
                where=where,
                got=type_name(code),
                allowed="numbers and booleans",
                next_step="take the part of the model that works on strings or packed floats out of the graph",
            )
        )
    return dtype
