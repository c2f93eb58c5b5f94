"""Messages between client and server: one JSON frame, then one frame for each array. Nothing is executed on reading.

The JSON frame is ``{"version", "kind", "id", "session", "fields", "arrays": [[name, dtype, shape], ...]}``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import DeviceError, complaint

VERSION = 1
DTYPES = ("<f4", "<f8", "<u4", "<i4", "<i8", "|u1")
MAX_ARRAYS, MAX_BYTES = 16, 1 << 30
ERROR = "error"
"""Kind of an answer that refuses; ``fields`` hold ``message``."""


@dataclass(frozen=True)
class Message:
    """A request or its answer: ``id`` numbers the requests of a session, the answer repeats it."""

    kind: str
    id: int
    session: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def pack(message: Message) -> list[bytes]:
    """The frames of a message. Arrays keep their dtype; it must be one of :data:`DTYPES`."""
    table: list[list[Any]] = []
    frames: list[bytes] = []
    for name, array in message.arrays.items():
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        if plain.dtype.str not in DTYPES:
            raise DeviceError(complaint("no such array on the wire", where=name, got=str(array.dtype)))
        table.append([name, plain.dtype.str, list(plain.shape)])
        frames.append(plain.tobytes())
    head = {
        "version": VERSION,
        "kind": message.kind,
        "id": message.id,
        "session": message.session,
        "fields": dict(message.fields),
        "arrays": table,
    }
    return [json.dumps(head, separators=(",", ":")).encode(), *frames]


def unpack(frames: Sequence[bytes]) -> Message:
    """The message in some frames.

    Raises:
        DeviceError: another version, or frames that are no message.
    """
    try:
        head = json.loads(frames[0])
        if head["version"] != VERSION:
            raise DeviceError(
                complaint("the other side speaks another version", got=head["version"], allowed=str(VERSION))
            )
        table = head["arrays"]
        if len(table) != len(frames) - 1 or len(table) > MAX_ARRAYS:
            raise ValueError(f"{len(frames) - 1} arrays, {len(table)} announced")
        arrays = {
            str(name): _array(frame, dtype, shape)
            for (name, dtype, shape), frame in zip(table, frames[1:], strict=True)
        }
        kind, number, session, fields = head["kind"], head["id"], head["session"], head["fields"]
        if not (
            isinstance(kind, str) and isinstance(number, int) and isinstance(session, str) and isinstance(fields, dict)
        ):
            raise ValueError("a part of the wrong type")
    except DeviceError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, UnicodeDecodeError, RecursionError) as error:
        raise DeviceError(complaint("not a message", got=f"{type(error).__name__}: {error}")) from error
    return Message(kind, number, session, fields, arrays)


def _array(frame: bytes, dtype: str, shape: list[int]) -> np.ndarray:
    if dtype not in DTYPES or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError(f"an array of {dtype} {shape}")
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if wanted != len(frame) or wanted > MAX_BYTES:
        raise ValueError(f"{len(frame)} bytes for {dtype} {shape}")
    return np.frombuffer(frame, dtype).reshape(shape)
