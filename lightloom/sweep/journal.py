"""What a sweep has finished so far: one JSON line a point, on disk before the next one counts as done."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..runtime.errors import InputError, complaint


class Journal:
    """The finished points of a sweep in a folder. Only one process writes it.

    Args:
        path: The file; begun where it is not there.
        settings: What all points share; a journal of other settings is refused.

    Raises:
        InputError: the file belongs to another sweep, is damaged, or cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.entries: dict[str, dict[str, Any]] = {}
        head = {"settings": json.loads(json.dumps(settings))}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8") if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise self._fault(str(error)) from error
        whole, newline, _ = text.rpartition("\n")
        lines = whole.splitlines()
        try:
            entries = [json.loads(line) for line in lines]
        except json.JSONDecodeError as error:
            raise self._fault(f"line {len(lines)}: {error}") from error
        if entries and entries[0] != head:
            raise InputError(
                complaint(
                    "the folder holds another sweep",
                    where=str(path),
                    got=", ".join(k for k, v in head["settings"].items() if entries[0].get("settings", {}).get(k) != v),
                    next_step="give another folder with --out, or delete it",
                )
            )
        for entry in entries[1:]:
            self.entries[entry["point"]] = entry
        try:
            self._file = path.open("r+b" if path.exists() else "wb")
            # a line that a kill cut short is written over
            self._file.seek(len((whole + newline).encode()))
            self._file.truncate()
            if not entries:
                self._append(head)
        except OSError as error:
            raise self._fault(str(error)) from error

    def add(self, point: str, entry: Mapping[str, Any]) -> None:
        """Note a finished point; it is on disk when this returns."""
        line = {"point": point, **entry}
        self._append(line)
        self.entries[point] = line

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry, sort_keys=True).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _fault(self, got: str) -> InputError:
        return InputError(
            complaint("the journal of the sweep cannot be used", where=str(self.path), got=got, next_step="delete it")
        )
