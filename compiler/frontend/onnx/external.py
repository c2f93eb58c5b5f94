"""External data: weights in files beside the model, mapped into memory, and never read from anywhere else."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from onnx import TensorProto

from ....runtime.errors import CaptureError, complaint


def external_array(proto: TensorProto, size: int, where: str, folder: Path | None) -> np.ndarray:
    """The bytes of a tensor with external data, as a private mapping of the file: uint8, shape (size,).

    Args:
        proto: A tensor whose data_location is EXTERNAL.
        size: Bytes that its type and shape declare.
        where: What it is, for messages.
        folder: Folder of the model file, or None where the model did not come from a file.

    Raises:
        CaptureError: the location leaves the folder (absolute, "..", or through a symbolic link), is no file, or
            offset and length do not lie in the file or do not match the shape.
    """
    fields = {entry.key: entry.value for entry in proto.external_data}
    location = fields.get("location", "")
    path = resolve(location, where, folder)
    offset = _number(fields, "offset", 0, where)
    length = _number(fields, "length", size, where)
    if length != size:
        raise CaptureError(
            complaint(
                "external data does not have the length its shape declares",
                where=where,
                got=f"{length} bytes",
                allowed=f"{size} bytes for shape {list(proto.dims)}",
            )
        )
    try:
        available = path.stat().st_size
        if offset + size > available:
            raise CaptureError(
                complaint(
                    "external data lies beyond the end of its file",
                    where=where,
                    got=f"offset {offset}, length {size}",
                    allowed=f"{location!r} has {available} bytes",
                    next_step="copy the whole data file beside the model",
                )
            )
        if size == 0:
            return np.empty(0, dtype=np.uint8)
        return np.memmap(path, dtype=np.uint8, mode="c", offset=offset, shape=(size,))
    except OSError as error:
        raise CaptureError(
            complaint("external data cannot be read", where=where, got=f"{location!r}: {error}")
        ) from error


def resolve(location: str, where: str, folder: Path | None) -> Path:
    """The file of a location below the model's folder.

    Raises:
        CaptureError: there is no folder, or the location leads out of it or to no regular file.
    """
    if folder is None:
        raise CaptureError(
            complaint(
                "the model keeps weights in a file of its own",
                where=where,
                got=repr(location),
                allowed="external data only for models given as a path",
                next_step="pass the path of the model, or folder=, the folder that holds its data",
            )
        )
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    parts = {*posix.parts, *windows.parts}
    if (
        not location.strip()
        or "\0" in location
        or posix.is_absolute()
        or windows.is_absolute()
        or windows.drive
        or ".." in parts
    ):
        raise _outside(location, where)
    base = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(base, location))
    if os.path.commonpath([base, path]) != base or path == base:
        raise _outside(location, where)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise CaptureError(
            complaint(
                "external data is missing",
                where=where,
                got=f"{location!r}: {error.strerror}",
                next_step="copy the data file beside the model, under the name the model was saved with",
            )
        ) from error
    if not stat.S_ISREG(mode):
        raise CaptureError(complaint("external data is no regular file", where=where, got=repr(location)))
    return Path(path)


def _outside(location: str, where: str) -> CaptureError:
    return CaptureError(
        complaint(
            "external data leads out of the model's folder",
            where=where,
            got=repr(location),
            allowed="a relative path below the folder of the model, without '..' and links that leave it",
        )
    )


def _number(fields: dict[str, str], key: str, default: int, where: str) -> int:
    text = fields.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise CaptureError(
            complaint(f"external data has an impossible {key}", where=where, got=text[:40], allowed="bytes, 0 or more")
        )
    return int(text)
