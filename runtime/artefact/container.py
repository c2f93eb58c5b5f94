"""The zip around the two members, read strictly and mapped into memory.

A ``.loom`` file is an ordinary zip (any tool opens it), but only the plain subset that
:func:`lightloom.runtime.artefact.save` writes is read back: two stored members, no comment, no
encryption, nothing overlapping, nothing before, between or after that is not accounted for.
Source: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3 (zip64).
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import ArtefactError, complaint

MANIFEST = "manifest.json"
TENSORS = "tensors.safetensors"
MAX_MANIFEST_BYTES = 256 << 20

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_DIRECTORY_BYTES = 4096
_UINT32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Member:
    """Where the bytes of a member lie in the file, and their CRC-32."""

    start: int
    size: int
    crc: int


def damaged(what: str, path: Path, got: object = None, allowed: str = "") -> ArtefactError:
    """An error about the container itself."""
    return ArtefactError(
        complaint(
            f"Not a sound .loom file: {what}",
            where=str(path),
            got=got,
            allowed=allowed,
            next_step="copy the file again from its source, or compile and save the model again",
        )
    )


def map_file(path: Path) -> mmap.mmap:
    """The file's bytes, mapped copy-on-write (writing to the map never reaches the file).

    Raises ArtefactError for what cannot be opened, is no regular file (a pipe would hang) or is empty.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise damaged("it is no regular file", path.absolute())
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size < _END.size:
                raise damaged("it is too short", path)
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        text = complaint("The .loom file cannot be opened", where=str(path), got=reason, next_step="check the path")
        raise ArtefactError(text) from error


def find_members(data: mmap.mmap, path: Path) -> dict[str, Member]:
    """The two members of the file. Raises ArtefactError for anything that ``save`` does not write."""
    try:
        offset, size, end = _directory(data, path)
        members, spans = _central(data, path, offset, size)
    except struct.error as error:
        raise damaged("a zip record is cut short", path) from error
    spans.sort()
    edges = [0, *(edge for span in spans for edge in span), offset]
    if edges[0::2] != edges[1::2] or offset + size != end:
        raise damaged("its members overlap or leave gaps", path)
    return members


def read_manifest(data: mmap.mmap, member: Member, path: Path) -> bytes:
    """The bytes of the manifest, checked against their CRC."""
    if member.size > MAX_MANIFEST_BYTES:
        raise damaged("its manifest is too large", path, f"{member.size} bytes", f"{MAX_MANIFEST_BYTES} bytes")
    text = data[member.start : member.start + member.size]
    if zlib.crc32(text) != member.crc:
        raise damaged("its manifest does not match its checksum", path)
    return text


def _directory(data: mmap.mmap, path: Path) -> tuple[int, int, int]:
    """Offset and size of the central directory, and where the end records begin."""
    start = len(data) - _END.size
    magic, disk, disk0, here, total, size, offset, comment = _END.unpack_from(data, start)
    if magic != b"PK\5\6" or comment:
        raise damaged("the zip directory is not where it belongs (truncated, or not a zip)", path)
    locator_at = start - _LOCATOR64.size
    if locator_at >= 0 and data[locator_at : locator_at + 4] == b"PK\6\7":
        _, disk, start, _ = _LOCATOR64.unpack_from(data, locator_at)
        if start + _END64.size != locator_at:
            raise damaged("the zip64 directory is not where it belongs", path)
        record = _END64.unpack_from(data, start)
        magic, (disk, disk0, here, total, size, offset) = record[0], record[4:]
        if magic != b"PK\6\6":
            raise damaged("the zip64 directory is not where it belongs", path)
    if disk or disk0 or here != 2 or total != 2:
        raise damaged("it has the wrong number of members", path, total, f"{MANIFEST} and {TENSORS}")
    if size > _MAX_DIRECTORY_BYTES or offset + size != start:
        raise damaged("the zip directory has an impossible size", path, f"{size} bytes")
    return offset, size, start


def _central(data: mmap.mmap, path: Path, offset: int, size: int) -> tuple[dict[str, Member], list[tuple[int, int]]]:
    """The members that the central directory lists, and the bytes that each takes up, header included."""
    members: dict[str, Member] = {}
    spans: list[tuple[int, int]] = []
    position = offset
    for _ in range(2):
        record = _CENTRAL.unpack_from(data, position)
        magic, _, _, flags, method, _, _, crc, packed, plain, name_len, extra_len, note_len = record[:13]
        disk, header = record[13], record[16]
        if magic != b"PK\1\2" or note_len or disk:
            raise damaged("its zip directory is garbled", path)
        position += _CENTRAL.size
        raw = data[position : position + name_len]
        extra = data[position + name_len : position + name_len + extra_len]
        position += name_len + extra_len
        name = raw.decode("ascii", "replace")
        if name not in (MANIFEST, TENSORS) or name in members:
            raise damaged("it has an unexpected or repeated member", path, repr(name[:80]), f"{MANIFEST} and {TENSORS}")
        if flags & ~0x800 or method:
            raise damaged("a member is compressed or encrypted", path, name, "stored members")
        plain, packed, header = _widen(extra, [plain, packed, header], path)
        if packed != plain:
            raise damaged("a member has two sizes", path, name)
        start = _local(data, path, header, raw)
        if start + plain > offset:
            raise damaged("a member reaches past its end", path, name)
        members[name] = Member(start, plain, crc)
        spans.append((header, start + plain))
    if position != offset + size:
        raise damaged("its zip directory has an impossible size", path)
    return members, spans


def _widen(extra: bytes, values: list[int], path: Path) -> list[int]:
    """Replace 32-bit fields that say 'see zip64' by the 64-bit ones of the extra field."""
    wide: list[int] = []
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = list(struct.unpack_from(f"<{length // 8}Q", extra, 4))
        extra = extra[4 + length :]
    if len(wide) < sum(value == _UINT32 for value in values):
        raise damaged("a zip64 size is missing", path)
    return [wide.pop(0) if value == _UINT32 else value for value in values]


def _local(data: mmap.mmap, path: Path, header: int, name: bytes) -> int:
    """Where the bytes of a member begin, after its local header."""
    if header + _LOCAL.size > len(data):
        raise damaged("a member lies outside the file", path, name.decode())
    record = _LOCAL.unpack_from(data, header)
    name_len, extra_len = record[9], record[10]
    at = header + _LOCAL.size
    if record[0] != b"PK\3\4" or data[at : at + name_len] != name:
        raise damaged("a member does not match the zip directory", path, name.decode())
    return at + name_len + extra_len
