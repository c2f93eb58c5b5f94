"""The safetensors member: written as a stream, read as views on the mapped file.

Layout (https://github.com/huggingface/safetensors#format): a little-endian uint64 length, that many
bytes of JSON ``{name: {dtype, shape, data_offsets}}`` padded with spaces, then the data without holes.
Tensors are stored widest item first, so that every view is aligned.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from .codec import MAX_DIM, shorten
from .container import Member, damaged

ALIGNMENT = 64
MAX_HEADER_BYTES = 64 << 20
MAX_RANK = 32

STORED: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
    "F8_E4M3": np.dtype("u1"),
    "F8_E4M3FNUZ": np.dtype("u1"),
    "F8_E5M2": np.dtype("u1"),
    "F8_E5M2FNUZ": np.dtype("u1"),
    "F8_E8M0": np.dtype("u1"),
}
"""safetensors dtype names and the numpy dtypes that hold their bytes (what numpy lacks as raw integers)."""

RAW: dict[str, torch.dtype] = {
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
}
"""The torch dtypes that numpy lacks, by safetensors name."""

_RAW_NAMES = {dtype: name for name, dtype in RAW.items()}
_NUMPY = {dtype: name for name, dtype in STORED.items() if name not in RAW}


@dataclass(frozen=True, slots=True)
class Blob:
    """A tensor ready to be stored: its name, safetensors dtype and C-contiguous bytes."""

    name: str
    dtype: str
    array: np.ndarray


def array_blob(name: str, array: np.ndarray) -> Blob:
    """A numpy array as a blob. Raises KeyError for a dtype that safetensors has no name for."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
    return Blob(name, _NUMPY[little.dtype], little)


def tensor_blob(name: str, tensor: torch.Tensor) -> Blob:
    """A torch tensor as a blob; complex tensors get a trailing axis of (real, imaginary)."""
    plain = tensor.detach().cpu().contiguous()
    if plain.is_complex():
        plain = torch.view_as_real(plain.resolve_conj())
    if plain.dtype in _RAW_NAMES:
        raw = torch.uint16 if plain.itemsize == 2 else torch.uint8
        return Blob(name, _RAW_NAMES[plain.dtype], plain.view(raw).numpy())
    return array_blob(name, plain.resolve_neg().numpy())


def write_tensors(file: IO[bytes], blobs: Iterable[Blob]) -> dict[str, dict[str, Any]]:
    """Stream the blobs; returns ``{name: {dtype, shape, sha256}}`` for the manifest."""
    ordered = sorted(blobs, key=lambda blob: -blob.array.itemsize)
    header: dict[str, Any] = {}
    position = 0
    for blob in ordered:
        end = position + blob.array.nbytes
        header[blob.name] = {
            "dtype": blob.dtype,
            "shape": list(blob.array.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    file.write(struct.pack("<Q", len(text)) + text)
    entries: dict[str, dict[str, Any]] = {}
    for blob in ordered:
        raw = _bytes(blob.array)
        file.write(raw)
        digest = hashlib.sha256(raw).hexdigest()
        entries[blob.name] = {"dtype": blob.dtype, "shape": list(blob.array.shape), "sha256": digest}
    return entries


def _bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def read_tensors(
    data: mmap.mmap, member: Member, expected: dict[str, tuple[str, tuple[int, ...], str]], path: Path
) -> dict[str, np.ndarray]:
    """Views on the mapped tensors, each checked against the manifest's dtype, shape and SHA-256.

    Args:
        expected: name -> (safetensors dtype, shape, sha256 hex digest), as the manifest declares.

    Raises:
        ArtefactError: for offsets that overlap, leave holes or pass the end, shapes that do not fit
            their bytes, tensors that the manifest does not declare, and damaged bytes.
    """
    header, start, size = _header(data, member, path)
    if set(header) != set(expected):
        odd = sorted(set(header) ^ set(expected))
        raise damaged("its manifest and its tensors disagree", path, shorten(odd[:3]))
    spans: list[tuple[int, int]] = []
    arrays: dict[str, np.ndarray] = {}
    for name, (dtype, shape, digest) in expected.items():
        begin, end = _entry(header[name], dtype, shape, name, path)
        if not 0 <= begin <= end <= size:
            raise damaged("a tensor reaches past the file", path, shorten(name))
        spans.append((begin, end))
        raw = np.frombuffer(data, np.uint8, end - begin, start + begin)
        if hashlib.sha256(raw.data).hexdigest() != digest:
            raise damaged("a tensor does not match its checksum", path, shorten(name))
        if dtype == "BOOL" and raw.size and raw.max() > 1:
            raise damaged("a boolean tensor holds other bytes than 0 and 1", path, shorten(name))
        arrays[name] = raw.view(STORED[dtype]).reshape(shape)
    spans.sort()
    edges = [0, *(edge for span in spans for edge in span), size]
    if edges[0::2] != edges[1::2]:
        raise damaged("its tensors overlap or leave gaps", path)
    return arrays


def _header(data: mmap.mmap, member: Member, path: Path) -> tuple[dict[str, Any], int, int]:
    """The parsed header, where the data begins in the file, and how many bytes of data there are."""
    if member.size < 8:
        raise damaged("its tensors are cut short", path)
    (length,) = struct.unpack_from("<Q", data, member.start)
    if length > min(member.size - 8, MAX_HEADER_BYTES):
        raise damaged("the header of its tensors has an impossible size", path, f"{length} bytes")
    begin = member.start + 8
    try:
        header = json.loads(data[begin : begin + length].decode())
    except (ValueError, RecursionError) as error:
        raise damaged("the header of its tensors cannot be read", path) from error
    if not isinstance(header, dict):
        raise damaged("the header of its tensors is no object", path)
    return header, begin + length, member.size - 8 - length


def _entry(entry: Any, dtype: str, shape: tuple[int, ...], name: str, path: Path) -> tuple[int, int]:
    """The data offsets of a tensor, after its dtype, shape and size have been checked."""
    match entry:
        case {"dtype": str(stored), "shape": list(dims), "data_offsets": [int(begin), int(end)]} if len(entry) == 3:
            pass
        case _:
            raise damaged("the header of a tensor is garbled", path, shorten(name))
    if stored != dtype or tuple(dims) != shape or any(type(dim) is not int for dim in dims):
        raise damaged("its manifest and its tensors disagree", path, shorten(name))
    count = 1
    for dim in shape:
        if len(shape) > MAX_RANK or not 0 <= dim < MAX_DIM:
            raise damaged("a tensor has an impossible shape", path, shorten(name))
        count *= dim
    extent = 1
    for dim in shape:
        extent *= max(dim, 1)
    if dtype not in STORED or extent * 16 >= 2**63 or end - begin != count * STORED[dtype].itemsize:
        raise damaged("the shape of a tensor does not fit its bytes", path, shorten(name))
    return begin, end
