"""How lightloom was installed, for hints that work where they are read."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .errors import LightloomError, complaint

PACKAGE = "lightloom"


def install_hint(extra: str) -> str:
    """The command that adds an extra (``demo``, ``serve``, ...) to this installation.

    From a checkout it names the folder, from an archive or a repository its address: the name alone is good only for
    who got lightloom by that name.
    """
    origin = _origin()
    if origin is None:  # run from its sources: all that can be named is what the extra lists
        return f"install what the extra '{extra}' lists in pyproject.toml"
    url = str(origin.get("url", ""))
    folder = origin.get("dir_info")
    if isinstance(folder, dict):
        flag = "-e " if folder.get("editable") else ""
        place = Path(url2pathname(urlsplit(url).path))
        if place.is_dir():
            return f"pip install {flag}'.[{extra}]' in the folder {place}"
        return f"pip install {flag}'.[{extra}]' in the folder of its sources"
    repository = origin.get("vcs_info")
    if isinstance(repository, dict):
        url = f"{repository.get('vcs', 'git')}+{url}@{repository.get('commit_id', '')}"
    return f"pip install '{PACKAGE}[{extra}] @ {url}'" if url else f"pip install '{PACKAGE}[{extra}]'"


def missing(what: str, library: str, extra: str, otherwise: str = "") -> LightloomError:
    """The error of something that needs a library of an extra that is not installed.

    Args:
        what: what needs it. library: its name. extra: the extra that brings it. otherwise: what to do without it.
    """
    step = install_hint(extra) + (f", or {otherwise}" if otherwise else "")
    return LightloomError(complaint(f"{what} needs {library}, which is not installed", next_step=step))


def _origin() -> dict[str, Any] | None:
    """Where the package came from (PEP 610); empty where it came by its name, None where it is not installed."""
    try:
        found = distribution(PACKAGE)
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError, OSError):
        return None
    return origin if isinstance(origin, dict) else {}
