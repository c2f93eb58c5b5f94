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
DTYPES = ("<f4", "<f8", "<u4", "<i4", "<i8", "|u1", "|i1", "<u2", "<i2")
MAX_ARRAYS, MAX_BYTES, MAX_HEAD = 16, 1 << 28, 1 << 20
"""Arrays of a message; bytes of each, and of its JSON frame. Whoever sends more is cut off."""
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


Frame = bytes | memoryview


def pack(message: Message) -> list[Frame]:
    """The frames of a message. Arrays keep their dtype and are not copied.

    Raises:
        DeviceError: an array of another type than :data:`DTYPES`, or larger than the other side takes.
    """
    table: list[list[Any]] = []
    frames: list[Frame] = []
    for name, array in message.arrays.items():
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        if plain.dtype.str not in DTYPES:
            raise DeviceError(complaint("no such array on the wire", where=name, got=str(array.dtype)))
        if plain.nbytes > MAX_BYTES:
            raise DeviceError(
                complaint("an array is too large for one message", where=name, got=f"{plain.nbytes} bytes",
                          allowed=f"up to {MAX_BYTES}", next_step="run a smaller batch")
            )  # fmt: skip
        table.append([name, plain.dtype.str, list(plain.shape)])
        frames.append(plain.reshape(-1).view(np.uint8).data if plain.size else b"")
    head = {
        "version": VERSION,
        "kind": message.kind,
        "id": message.id,
        "session": message.session,
        "fields": dict(message.fields),
        "arrays": table,
    }
    return [json.dumps(head, separators=(",", ":")).encode(), *frames]


def size(frames: Sequence[Frame]) -> int:
    """Bytes of a message."""
    return sum(map(len, frames))


def unpack(frames: Sequence[Frame]) -> Message:
    """The message in some frames.

    Raises:
        DeviceError: another version, or frames that are no message.
    """
    try:
        if len(frames[0]) > MAX_HEAD:
            raise ValueError(f"{len(frames[0])} bytes of fields")
        head = json.loads(bytes(frames[0]))
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


def _array(frame: Frame, dtype: str, shape: list[int]) -> np.ndarray:
    if dtype not in DTYPES or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError(f"an array of {dtype} {shape}")
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if wanted != len(frame) or wanted > MAX_BYTES:
        raise ValueError(f"{len(frame)} bytes for {dtype} {shape}")
    return np.frombuffer(frame, dtype).reshape(shape)
