"""What a built wheel puts on a user's disk."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "lightloom": "lightloom",
    "compiler": "lightloom/compiler",
    "runtime": "lightloom/runtime",
    "models": "lightloom/models",
}
DATA = (".toml", ".j2", ".typed", ".json", ".css", ".js")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel of a copy of the sources, so that building leaves nothing in the tree."""
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    tracked = [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    for folder in FOLDERS:
        tracked += [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    for file in tracked:
        place = copy / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.fail(f"building the wheel failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def test_only_lightloom_lands_in_site_packages(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    info = {top for top in tops if top.endswith(".dist-info")}
    assert len(info) == 1
    assert tops - info == {"lightloom"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_source_and_data_file_is_in(wheel, folder):
    names = set(wheel.namelist())
    wanted = {
        f"{FOLDERS[folder]}/{file.relative_to(ROOT / folder).as_posix()}"
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and (file.suffix == ".py" or file.suffix in DATA) and "__pycache__" not in file.parts
    }
    assert wanted
    assert wanted <= names, f"missing: {sorted(wanted - names)}; list the folder in pyproject.toml's packages"


def test_nothing_else_is_in(wheel):
    for name in wheel.namelist():
        assert name.endswith((".py", *DATA)) or ".dist-info/" in name, name
        assert "/tests/" not in name, name


def test_presets_templates_and_types_are_in(wheel):
    names = wheel.namelist()
    assert "lightloom/py.typed" in names
    assert any(name.startswith("lightloom/runtime/targets/presets/") for name in names)
    assert any(name.startswith("lightloom/runtime/report/") and name.endswith(".html.j2") for name in names)


def test_metadata(wheel):
    (path,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(path).decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert {"demo", "test", "dev", "docs"} <= set(metadata.get_all("Provides-Extra"))
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    (entry,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "lightloom = lightloom.cli:main" in wheel.read(entry).decode()
