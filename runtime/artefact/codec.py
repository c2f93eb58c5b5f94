"""Values of a program to JSON and back, exactly.

References, tokens and non-finite floats become one-key objects (``{"$ref": "x"}``, ``{"$token":
"torch.float32"}``, ``{"$float": "inf"}``); tuples become arrays; everything else is plain JSON.
Decoders refuse whatever an encoder would not have written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import ArtefactError, complaint
from ..program import Conv2dGeometry, Geometry, LinearGeometry
from ..values import DTYPES, Arg, Dim, Ref, ScalarType, TensorType, Token, TupleType, ValueType

MAX_DEPTH = 32
MAX_DIM = 2**40
INT64 = range(-(2**63), 2**64)
SCALARS = ("int", "float", "bool")


def fault(what: str, where: str, got: object = None, allowed: str = "") -> ArtefactError:
    """An error about the content of a manifest, with the next step that all of them share."""
    text = None if got is None else shorten(got)
    return ArtefactError(
        complaint(what, where=where, got=text, allowed=allowed, next_step="compile and save the model again")
    )


def shorten(value: object, width: int = 80) -> str:
    """``repr`` cut to ``width`` characters, so that hostile values cannot flood a message."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def encode_plain(value: object, where: str, depth: int = 0) -> Any:
    """A tree of dicts, lists, tuples and literals as JSON (tuples become arrays).

    Raises ArtefactError where the tree holds anything else, is deeper than MAX_DEPTH, or has keys
    that are not text or begin with ``$``.
    """
    if depth > MAX_DEPTH:
        raise fault("A value is nested too deeply", where, allowed=f"{MAX_DEPTH} levels")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if value not in INT64:
            raise fault("An integer does not fit 64 bits", where, value)
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise fault("A key cannot be stored", where, key, "text that does not begin with '$'")
        return {key: encode_plain(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_plain(item, where, depth + 1) for item in value]
    raise fault("A value of this type cannot be stored", where, type(value), "dicts, lists, text and numbers")


def decode_plain(data: Any, where: str, depth: int = 0) -> Any:
    """The inverse of :func:`encode_plain` (arrays become lists)."""
    if depth > MAX_DEPTH:
        raise fault("A value is nested too deeply", where, allowed=f"{MAX_DEPTH} levels")
    if isinstance(data, int) and not isinstance(data, bool) and data not in INT64:
        raise fault("An integer does not fit 64 bits", where, data)
    if isinstance(data, list):
        return [decode_plain(item, where, depth + 1) for item in data]
    if isinstance(data, dict):
        if set(data) == {"$float"}:
            return _special_float(data["$float"], where)
        if any(key.startswith("$") for key in data):
            raise fault("An unknown tag", where, data)
        return {key: decode_plain(item, f"{where}.{key}", depth + 1) for key, item in data.items()}
    return data


def _special_float(text: object, where: str) -> float:
    if text not in ("inf", "-inf", "nan"):
        raise fault("A special float is misspelt", where, text, "inf, -inf, nan")
    return float(str(text))


def encode_arg(arg: Arg, where: str, depth: int = 0) -> Any:
    """An argument of an op as JSON."""
    if depth > MAX_DEPTH:
        raise fault("An argument is nested too deeply", where, allowed=f"{MAX_DEPTH} levels")
    if isinstance(arg, Ref):
        return {"$ref": arg.name}
    if isinstance(arg, Token):
        return {"$token": arg.text}
    if isinstance(arg, tuple):
        return [encode_arg(item, where, depth + 1) for item in arg]
    if arg is None or isinstance(arg, bool | int | float | str):
        return encode_plain(arg, where)
    raise fault("An argument of this type cannot be stored", where, type(arg))


def decode_arg(data: Any, where: str, depth: int = 0) -> Arg:
    """The inverse of :func:`encode_arg`."""
    if depth > MAX_DEPTH:
        raise fault("An argument is nested too deeply", where, allowed=f"{MAX_DEPTH} levels")
    if isinstance(data, list):
        return tuple(decode_arg(item, where, depth + 1) for item in data)
    if isinstance(data, dict):
        if len(data) == 1:
            ((tag, text),) = data.items()
            if tag == "$float":
                return _special_float(text, where)
            if tag == "$ref" and isinstance(text, str):
                return Ref(text)
            if tag == "$token" and isinstance(text, str):
                return Token(text)
        raise fault("An argument has an unknown tag", where, data, "$ref, $token, $float")
    return decode_plain(data, where)


def encode_type(kind: ValueType | None) -> Any:
    """The type of a value as JSON; None is an absent result."""
    if kind is None:
        return None
    if isinstance(kind, TensorType):
        return {"dtype": kind.dtype, "shape": list(kind.shape)}
    if isinstance(kind, ScalarType):
        return {"scalar": kind.kind}
    return {"tuple": [encode_type(item) for item in kind.items]}


def decode_type(data: Any, where: str, depth: int = 0) -> ValueType:
    """The inverse of :func:`encode_type`."""
    if isinstance(data, dict) and depth <= MAX_DEPTH:
        match data:
            case {"dtype": str(dtype), "shape": list(shape)} if len(data) == 2 and dtype in DTYPES:
                return TensorType(dtype, tuple(_dim(dim, where) for dim in shape))
            case {"scalar": str(kind)} if len(data) == 1 and kind in SCALARS:
                return ScalarType(kind)
            case {"tuple": list(items)} if len(data) == 1:
                types = (None if item is None else decode_type(item, where, depth + 1) for item in items)
                return TupleType(tuple(types))
    raise fault("A type is not understood", where, data)


def decode_tensor_type(data: Any, where: str) -> TensorType:
    """A type that must be a tensor's."""
    kind = decode_type(data, where)
    if not isinstance(kind, TensorType):
        raise fault("A tensor type is needed", where, data)
    return kind


def _dim(dim: Any, where: str) -> Dim:
    if isinstance(dim, str) and 0 < len(dim) <= 256 and dim.isprintable():
        return dim
    if isinstance(dim, int) and not isinstance(dim, bool) and 0 <= dim < MAX_DIM:
        return dim
    raise fault("A dimension is impossible", where, dim, f"0 to {MAX_DIM - 1}, or the text of a symbol")


def encode_geometry(geometry: Geometry) -> Any:
    """How a matrix step cuts its input into vectors, as JSON; null is the linear geometry."""
    if isinstance(geometry, LinearGeometry):
        return None
    return {
        "channels": geometry.channels,
        "kernel": list(geometry.kernel),
        "stride": list(geometry.stride),
        "padding": list(geometry.padding),
        "dilation": list(geometry.dilation),
        "groups": geometry.groups,
    }


_CONV_FIELDS = {"kernel": (2, 1), "stride": (2, 1), "padding": (4, 0), "dilation": (2, 1)}


def decode_geometry(data: Any, where: str) -> Geometry:
    """The inverse of :func:`encode_geometry`, with every number in range."""
    if data is None:
        return LinearGeometry()
    if not isinstance(data, dict) or set(data) != {*_CONV_FIELDS, "channels", "groups"}:
        raise fault("A geometry is not understood", where, data)
    fields: dict[str, Any] = {}
    for name, (length, least) in _CONV_FIELDS.items():
        numbers = data[name]
        if not isinstance(numbers, list) or len(numbers) != length:
            raise fault(f"The {name} of a convolution needs {length} numbers", where, numbers)
        fields[name] = tuple(_count(number, least, f"{where}.{name}") for number in numbers)
    for name in ("channels", "groups"):
        fields[name] = _count(data[name], 1, f"{where}.{name}")
    return Conv2dGeometry(**fields)


def _count(number: Any, least: int, where: str) -> int:
    if isinstance(number, int) and not isinstance(number, bool) and least <= number < 2**31:
        return number
    raise fault("A number is out of range", where, number, f"{least} to {2**31 - 1}")
