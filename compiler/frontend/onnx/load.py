"""Any form of an ONNX model to a ModelProto whose frame is sound; nodes are checked when they are built."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, defs

from ....runtime.errors import CaptureError, InputError, complaint

NEWEST_OPSET = defs.onnx_opset_version()
"""The newest opset of the default domain that the installed onnx package knows."""
MAX_FILE_BYTES = 2**31
"""Protobuf's own limit; larger models keep their weights as external data."""


@dataclass(frozen=True)
class Loaded:
    """A model and where it came from.

    Attributes:
        proto: The model; external data not loaded.
        folder: Folder that external data may lie in; None where there is none.
        opsets: Opset of every domain the model imports; "" is the default domain.
        name: What to call it.
    """

    proto: ModelProto
    folder: Path | None
    opsets: dict[str, int]
    name: str


def load(model: str | os.PathLike[str] | bytes | ModelProto, folder: str | os.PathLike[str] | None = None) -> Loaded:
    """Read a model.

    Args:
        model: Path of a ``.onnx`` file, its bytes, or a ModelProto (not changed).
        folder: Where external data lies, for models that are not given as a path.

    Raises:
        InputError: not one of these, or no such file.
        CaptureError: not an ONNX model, or of an opset that the onnx package does not know.
    """
    base = Path(folder) if folder is not None else None
    if isinstance(model, ModelProto):
        proto, name = model, "the model"
    elif isinstance(model, (bytes, bytearray, memoryview)):
        proto, name = _parse(bytes(model), "the given bytes"), "the model"
    elif isinstance(model, (str, os.PathLike)):
        path = Path(model)
        proto, name = _parse(_read(path), str(path)), path.name
        base = path.parent if base is None else base
    else:
        raise InputError(
            complaint("not an ONNX model", got=type(model).__name__, allowed="a path, bytes or onnx.ModelProto")
        )
    if not proto.HasField("graph"):
        raise CaptureError(complaint("the file holds no graph", where=name, next_step="export the model again"))
    return Loaded(proto, base, _opsets(proto, name), proto.graph.name or name)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_dir() or size > MAX_FILE_BYTES:
            what = "a folder" if path.is_dir() else f"{size} bytes"
            raise InputError(
                complaint(
                    "not an ONNX file",
                    where=str(path),
                    got=what,
                    allowed=f"a file of at most {MAX_FILE_BYTES} bytes",
                    next_step="save large models with save_as_external_data=True",
                )
            )
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise InputError(complaint("the model cannot be read", where=str(path), got=error.strerror)) from error


def _parse(data: bytes, where: str) -> ModelProto:
    try:
        return onnx.load_model_from_string(data)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise CaptureError(
            complaint(
                "not an ONNX model, or a damaged one",
                where=where,
                got=f"{len(data)} bytes that protobuf cannot read",
                allowed="the binary form that onnx.save writes",
                next_step="copy or export the model again",
            )
        ) from error


def _opsets(proto: ModelProto, name: str) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for entry in proto.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if domain in opsets and opsets[domain] != entry.version:
            raise CaptureError(
                complaint(
                    "the model imports two versions of one domain",
                    where=name,
                    got=f"{domain or 'ai.onnx'}: {opsets[domain]} and {entry.version}",
                )
            )
        opsets[domain] = entry.version
    # Before IR version 3 a model had no field for it, and meant the first opset.
    if "" not in opsets and (proto.ir_version < 3 or not opsets):
        opsets[""] = 1
    version = opsets.get("")
    if version is not None and not 1 <= version <= NEWEST_OPSET:
        raise CaptureError(
            complaint(
                "the model is of an opset this onnx package does not know",
                where=name,
                got=f"opset {version} of ai.onnx",
                allowed=f"1 to {NEWEST_OPSET} (onnx {onnx.__version__})",
                next_step="install a newer onnx package, or convert the model with onnx.version_converter",
            )
        )
    for domain, imported in opsets.items():
        newest = max((schema.since_version for schema in defs.get_all_schemas() if schema.domain == domain), default=0)
        if domain and newest and not 1 <= imported <= newest:
            raise CaptureError(
                complaint(
                    "the model is of an opset this onnx package does not know",
                    where=name,
                    got=f"opset {imported} of {domain}",
                    allowed=f"1 to {newest} (onnx {onnx.__version__})",
                    next_step="install a newer onnx package",
                )
            )
    return opsets
