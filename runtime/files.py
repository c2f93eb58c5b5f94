"""Files that results go to: whether they can be written, told before the work; and text files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .errors import InputError, LightloomError, complaint, shorten


def as_path(path: object, kind: type[LightloomError] = InputError) -> Path:
    """The path that a text or a path object names.

    Raises:
        InputError: (or ``kind``) it is neither, or no file can have that name.
    """
    try:
        place = Path(path)  # type: ignore[arg-type]
        _look(place, kind)
    except (TypeError, ValueError) as error:  # a number, bytes, a null character
        text = complaint("not a path", got=shorten(path), allowed="a text or a pathlib.Path")
        raise kind(text) from error
    return place


def _look(place: Path, kind: type[LightloomError]) -> None:
    try:
        os.stat(place)
    except OSError as error:  # that nothing is there is no fault of the name
        if error.errno == errno.ENAMETOOLONG:
            raise kind(complaint("the name is too long", where=shorten(str(place)))) from error


def check_writable(path: str | os.PathLike[str], kind: type[LightloomError] = InputError) -> Path:
    """The path, where a file can be written there: its folder exists, it is no folder itself, both may be written.

    Raises:
        InputError: (or ``kind``) it cannot, with the reason.
    """
    place = as_path(path, kind)
    folder = place.parent
    reason, step = "", ""
    if not os.fspath(path):
        reason, step = "no file name", "name a file"
    elif place.is_dir():
        reason, step = "a folder", "name a file in it"
    elif not folder.is_dir():
        reason, step = f"no folder {folder}", "check that the folder exists"
    elif not os.access(place if place.exists() else folder, os.W_OK):
        reason, step = "no permission to write there", "choose another place"
    if reason:
        where = repr(os.fspath(path))
        raise kind(complaint("the file cannot be written", where=where, got=reason, next_step=step))
    return place


def check_folder(path: str | os.PathLike[str]) -> Path:
    """The path, where a folder is or can be made: nothing else is in its way, and it may be written.

    Raises:
        InputError: it cannot, with the reason.
    """
    place = as_path(path)
    there = next(found for found in (place, *place.absolute().parents) if found.exists())
    if not there.is_dir():
        raise InputError(complaint("the folder cannot be made", where=str(place), got=f"{there} is a file"))
    if not os.access(there, os.W_OK):
        raise InputError(complaint("the folder cannot be made", where=str(place), got=f"no permission in {there}"))
    return place


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text file in UTF-8.

    Raises:
        InputError: it cannot be written.
    """
    place = check_writable(path)
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(complaint("the file cannot be written", where=str(place), got=reason)) from error
    return place
