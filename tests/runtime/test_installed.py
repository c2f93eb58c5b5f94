"""Hints of how to install an extra are true for how lightloom was installed."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from lightloom.runtime import installed
from lightloom.runtime.errors import LightloomError

ROOT = Path(__file__).parent.parent.parent
FILES = [file for folder in ("compiler", "lightloom", "models", "runtime") for file in (ROOT / folder).rglob("*.py")]


class Installed:
    """An installed distribution, as its metadata tell where it came from."""

    def __init__(self, origin: str | None) -> None:
        self.origin = origin

    def __call__(self, name: str) -> Installed:
        assert name == "lightloom"
        return self

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.origin


@pytest.mark.parametrize(
    ("origin", "hint"),
    [
        (None, "pip install 'lightloom[demo]'"),
        ({"url": "{here}", "dir_info": {"editable": True}}, "pip install -e '.[demo]' in the folder {folder}"),
        ({"url": "{here}", "dir_info": {}}, "pip install '.[demo]' in the folder {folder}"),
        ({"url": "file:///no/such", "dir_info": {}}, "pip install '.[demo]' in the folder of its sources"),
        ({"url": "https://host/a.whl", "archive_info": {}}, "pip install 'lightloom[demo] @ https://host/a.whl'"),
        (
            {"url": "https://host/a.git", "vcs_info": {"vcs": "git", "commit_id": "12ab"}},
            "pip install 'lightloom[demo] @ git+https://host/a.git@12ab'",
        ),
    ],
)
def test_by_origin(origin, hint, tmp_path, monkeypatch):
    folder = tmp_path / "a folder"
    folder.mkdir()
    if origin is not None and origin["url"] == "{here}":
        origin["url"] = folder.as_uri()
    monkeypatch.setattr(installed, "distribution", Installed(None if origin is None else json.dumps(origin)))
    assert installed.install_hint("demo") == hint.format(folder=folder)


def test_run_from_its_sources(monkeypatch):
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installed, "distribution", absent)
    assert installed.install_hint("serve") == "install what the extra 'serve' lists in pyproject.toml"


def test_a_missing_library_is_told_with_the_hint(monkeypatch):
    monkeypatch.setattr(installed, "distribution", Installed(None))
    error = installed.missing("Parquet", "pyarrow", "sweep", "take CSV")
    assert isinstance(error, LightloomError)
    assert str(error) == "Parquet needs pyarrow, which is not installed. pip install 'lightloom[sweep]', or take CSV."


def test_nothing_else_names_a_package_to_install():
    found = [file.name for file in FILES if re.search(r"lightloom\[\w", file.read_text(encoding="utf-8"))]
    assert not found


def test_every_extra_that_is_named_exists():
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text().partition("optional-dep")[2], re.M))
    calls = r'missing\("[^"]+", "[^"]+", "(\w+)"|install_hint\([\'"](\w+)'
    named = {name for file in FILES for pair in re.findall(calls, file.read_text(encoding="utf-8")) for name in pair}
    assert {"demo", "serve", "sweep", "gpu"} <= named - {""} <= extras
