"""Saving a program: written to a temporary file beside its place, synced, then moved there in one step."""

from __future__ import annotations

import os
import secrets
import zipfile
from typing import Any

from ..errors import ArtefactError, complaint
from ..files import check_writable
from ..program import HostStep, ProductStep, ProgramBody, RecurrentStep, Step
from ..values import dtype_name
from .check import check_body
from .codec import encode_arg, encode_geometry, encode_plain, encode_type, fault
from .container import MANIFEST, MAX_MANIFEST_BYTES, TENSORS
from .manifest import write_manifest
from .tensors import ALIGNMENT, Blob, array_blob, tensor_blob, write_tensors

_EPOCH = (1980, 1, 1, 0, 0, 0)
_ZIP64_BYTES = 1 << 31
_LOCAL_HEADER_BYTES = 30
_ZIP64_EXTRA_BYTES = 20
_PADDING_ID = 0x4C4C


def save(body: ProgramBody, path: str | os.PathLike[str]) -> None:
    """Write a program to a ``.loom`` file.

    The same body gives the same bytes. A failed save leaves neither a new file nor a changed one.

    Raises:
        ArtefactError: if the body is not one that :func:`load` would accept (a broken reference, an
            op outside the allow-list, a value that JSON cannot hold), or the file cannot be written.
    """
    place = check_writable(path, ArtefactError)
    check_body(body, where=body.name)
    fields, blobs = _fields(body)
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(6)}.tmp")
    try:
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "w+b") as file:
            _write(file, fields, blobs)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, place)
    except OSError as error:
        raise ArtefactError(
            complaint(
                "The program cannot be saved",
                where=str(place),
                got=error.strerror or str(error),
                next_step="check that the folder exists, may be written to and has room",
            )
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write(file: Any, fields: dict[str, Any], blobs: list[Blob]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        large = sum(blob.array.nbytes for blob in blobs) > _ZIP64_BYTES
        with archive.open(_aligned(large), "w", force_zip64=large) as member:
            tensors = write_tensors(member, blobs)  # type: ignore[arg-type]
        manifest = write_manifest({**fields, "tensors": tensors})
        if len(manifest) > MAX_MANIFEST_BYTES:
            raise fault("The program's manifest is too large", MANIFEST, len(manifest), f"{MAX_MANIFEST_BYTES} bytes")
        archive.writestr(_info(MANIFEST), manifest)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o644 << 16
    return info


def _aligned(large: bool) -> zipfile.ZipInfo:
    """The header of the first member, padded so that the tensors' bytes begin on an aligned offset."""
    info = _info(TENSORS)
    used = _LOCAL_HEADER_BYTES + len(TENSORS) + (_ZIP64_EXTRA_BYTES if large else 0) + 4
    padding = -used % ALIGNMENT
    info.extra = _PADDING_ID.to_bytes(2, "little") + padding.to_bytes(2, "little") + bytes(padding)
    return info


def _fields(body: ProgramBody) -> tuple[dict[str, Any], list[Blob]]:
    """The manifest's fields (all but ``tensors``) and the tensors of a program."""
    blobs: list[Blob] = []
    constants: list[dict[str, str]] = []
    for name, tensor in body.constants.items():
        blobs.append(tensor_blob(f"constant.{name}", tensor))
        constants.append({"name": name, "dtype": dtype_name(tensor.dtype), "tensor": blobs[-1].name})
    banks: list[dict[str, Any]] = []
    for name, bank in body.banks.items():
        columns: dict[str, str] = {}
        for column, array in bank.columns.items():
            blobs.append(array_blob(f"bank.{name}.{column}", array))
            columns[column] = blobs[-1].name
        spec = bank.spec
        banks.append(
            {
                "name": name,
                "topology": spec.topology,
                "ports": spec.ports,
                "groups": spec.groups,
                "rows": spec.rows,
                "cols": spec.cols,
                "tiles": spec.tiles,
                "phase_bits": spec.phase_bits,
                "attenuator_bits": spec.attenuator_bits,
                "blocks": spec.blocks,
                "layers": spec.layers,
                "dynamic": spec.dynamic,
                "columns": columns,
            }
        )
    fields = {
        "name": body.name,
        "target": encode_plain(body.target.model_dump(), "target"),
        "layer_targets": {
            name: encode_plain(target.model_dump(), f"target of {name}") for name, target in body.layer_targets.items()
        },
        "example_batch": body.example_batch,
        "inputs": [{"name": spec.name, "type": encode_type(spec.type)} for spec in body.inputs],
        "constants": constants,
        "steps": [_step(step) for step in body.steps],
        "outputs": [encode_arg(arg, "outputs") for arg in body.outputs],
        "structure": encode_plain(body.structure, "structure"),
        "banks": banks,
        "costs": {
            name: {"macs": cost.macs, "vectors": cost.vectors, "elements": cost.elements}
            for name, cost in body.costs.items()
        },
        "ir": dict(body.ir),
        "provenance": encode_plain(body.provenance, "provenance"),
        "plan": {"dataflow": body.plan.dataflow, "objective": body.plan.objective},
        "parameters": [
            {"name": parameter.name, "tree": encode_plain(parameter.tree, f"parameter {parameter.name}")}
            for parameter in body.parameters
        ],
        "ranges": {symbol: {"low": low, "high": high} for symbol, (low, high) in body.ranges.items()},
    }
    return fields, blobs


def _step(step: Step) -> dict[str, Any]:
    shared = {"name": step.name, "type": encode_type(step.type), "path": step.path, "reason": step.reason}
    if isinstance(step, HostStep):
        args = [encode_arg(arg, step.name) for arg in step.args]
        kwargs = [[key, encode_arg(arg, f"{step.name}.{key}")] for key, arg in step.kwargs]
        return {"kind": "host", "op": step.op, "args": args, "kwargs": kwargs, **shared}
    if isinstance(step, RecurrentStep):
        return {
            "kind": "recurrent",
            "cell": step.kind,
            "bank": step.bank,
            "projection": step.projection,
            "input": step.input,
            "states": list(step.states),
            "bias": step.bias,
            "reverse": step.reverse,
            **shared,
        }
    if isinstance(step, ProductStep):
        return {"kind": "product", "bank": step.bank, "left": step.left, "right": step.right, **shared}
    geometry = encode_geometry(step.geometry)
    return {
        "kind": "matrix",
        "bank": step.bank,
        "input": step.input,
        "geometry": geometry,
        "bias": step.bias,
        **shared,
    }
