"""The floors of the house: who may import whom, and always relatively.

``runtime`` stands on nothing, ``models`` and ``compiler`` on ``runtime``, ``lightloom`` on all of them.
An absolute ``import runtime`` would load a second copy beside ``lightloom.runtime``.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "runtime": {"runtime"},
    "models": {"models", "runtime"},
    "compiler": {"compiler", "runtime"},
    "lightloom": {"lightloom", "compiler", "models", "runtime"},
}
"""Folder -> folders that it may import."""


def package_of(file: Path) -> list[str]:
    """The import package that a file belongs to: runtime/optics/noise.py -> lightloom, runtime, optics."""
    parts = list(file.parts[:-1])
    return parts if parts[0] == "lightloom" else ["lightloom", *parts]


def imported_modules(file: Path, node: ast.Import | ast.ImportFrom) -> list[str]:
    """Absolute names of the modules that a statement may load."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not node.level:
        base = node.module or ""
    else:
        package = package_of(file)
        base = ".".join(package[: len(package) - node.level + 1] + ([node.module] if node.module else []))
    return [f"{base}.{alias.name}" for alias in node.names]


def violations(file: Path, source: str) -> list[str]:
    """What a file (path relative to the root) imports against the rules."""
    found = []
    allowed = FLOORS[file.parts[0]]
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for name in imported_modules(file, node):
            top, _, rest = name.partition(".")
            below = rest.partition(".")[0]
            floor = below if below in FLOORS else "lightloom"
            if top in FLOORS and top != "lightloom":
                found.append(f"{file}:{node.lineno}: absolute import of {name}; write lightloom.{name}")
            elif top == "lightloom" and floor not in allowed:
                found.append(f"{file}:{node.lineno}: {file.parts[0]} imports {name} from a floor above")
            elif top == "lightloom" and isinstance(node, ast.ImportFrom) and not node.level:
                found.append(f"{file}:{node.lineno}: import {name} relatively")
    return found


def test_every_file_keeps_to_its_floor():
    files = [file for folder in FLOORS for file in (ROOT / folder).rglob("*.py")]
    assert {file.relative_to(ROOT).parts[0] for file in files} == set(FLOORS)
    found = [text for file in files for text in violations(file.relative_to(ROOT), file.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_tests_and_examples_import_the_installed_package():
    found = []
    for folder in ("tests", "examples", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
                    for name in imported_modules(file, node):
                        if name.split(".")[0] in FLOORS.keys() - {"lightloom"}:
                            found.append(f"{file.relative_to(ROOT)}:{node.lineno}: {name}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("runtime/optics/made_up.py", "from ...compiler.ir import graph"),
        ("runtime/made_up.py", "from ..compiler import pipeline"),
        ("runtime/made_up.py", "from .. import compiler"),
        ("runtime/made_up.py", "from .. import program"),
        ("runtime/made_up.py", "import lightloom.compiler.ir"),
        ("runtime/made_up.py", "from lightloom import compile"),
        ("runtime/made_up.py", "def f():\n    from ..models import mlp"),
        ("models/made_up.py", "from ..compiler.passes import fold"),
        ("compiler/passes/made_up.py", "from ...lightloom import program"),
        ("compiler/passes/made_up.py", "from ...models import MLP"),
        ("compiler/made_up.py", "import runtime"),
        ("compiler/made_up.py", "from runtime.values import Ref"),
        ("lightloom/made_up.py", "from models.mlp import MLP"),
        ("lightloom/made_up.py", "from lightloom.runtime import values"),
    ],
)
def test_the_check_catches(file, line):
    assert violations(Path(file), line)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("runtime/optics/made_up.py", "from ..errors import complaint\nimport numpy\nfrom torch import nn"),
        ("runtime/made_up.py", "from . import values\nfrom .models import thing"),
        ("models/made_up.py", "from ..runtime.errors import InputError"),
        ("compiler/passes/made_up.py", "from ...runtime.program import TileBank\nfrom ..ir import graph"),
        ("lightloom/made_up.py", "from .compiler.pipeline import x\nfrom . import models\nfrom .demo import run"),
    ],
)
def test_the_check_lets_through(file, line):
    assert not violations(Path(file), line)
