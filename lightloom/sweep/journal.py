"""What a sweep has finished so far: one JSON line a point, on disk before the next one counts as done."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..runtime.errors import InputError, complaint


class Journal:
    """The finished points of a sweep in a folder. Only one process writes it: others are refused while it is open.

    Args:
        path: The file; begun where it is not there.
        settings: What all points share; a journal of other settings is refused.

    Raises:
        InputError: the file belongs to another sweep, another sweep writes it, it is damaged, or cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.entries: dict[str, dict[str, Any]] = {}
        head = {"settings": json.loads(json.dumps(settings))}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        except OSError as error:
            raise self._fault(str(error)) from error
        try:
            self._begin(head)
        except BaseException:
            self._file.close()
            raise

    def add(self, point: str, entry: Mapping[str, Any]) -> None:
        """Note a finished point; it is on disk when this returns.

        Raises InputError where it cannot be written.
        """
        line = {"point": point, **entry}
        try:
            self._append(line)
        except OSError as error:
            raise self._fault(str(error)) from error
        self.entries[point] = line

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _begin(self, head: dict[str, Any]) -> None:
        """Read what is there, and stand behind its last whole line."""
        if not _locked(self._file):
            raise InputError(
                complaint(
                    "another sweep is at work in this folder",
                    where=str(self.path),
                    next_step="wait for it, stop it, or give another folder with --out",
                )
            )
        try:
            whole, newline, _ = self._file.read().rpartition(b"\n")
            lines = whole.decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise self._fault(str(error)) from error
        entries: list[dict[str, Any]] = []
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise self._fault(f"line {number}: {error}") from error
            if not isinstance(entry, dict) or not set(entry) >= (_ENTRY if number > 1 else {"settings"}):
                raise self._fault(f"line {number}: no entry of a journal")
            entries.append(entry)
        if entries and entries[0] != head:
            old, new = entries[0]["settings"], head["settings"]
            raise InputError(
                complaint(
                    "the folder holds another sweep",
                    where=str(self.path),
                    got=", ".join(k for k in {**old, **new} if old.get(k) != new.get(k)),
                    next_step="give another folder with --out, or delete it",
                )
            )
        for entry in entries[1:]:
            self.entries[entry["point"]] = entry
        try:
            # a line that a kill cut short is written over
            self._file.seek(len(whole + newline))
            self._file.truncate()
            if not entries:
                self._append(head)
        except OSError as error:
            raise self._fault(str(error)) from error

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry, sort_keys=True).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _fault(self, got: str) -> InputError:
        return InputError(
            complaint("the journal of the sweep cannot be used", where=str(self.path), got=got, next_step="delete it")
        )


_ENTRY = {"point", "fields", "options", "metrics", "error"}


def _locked(file: BinaryIO) -> bool:
    """Whether this process has the file to itself from now on; the system frees it even after a kill.

    Where there is no such lock (Windows, some network file systems) it is taken for granted.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
