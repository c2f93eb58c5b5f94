"""No file of the package imports itself by way of others, also not inside functions or for types only."""

from __future__ import annotations

import ast
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"compiler": "lightloom.compiler", "runtime": "lightloom.runtime", "models": "lightloom.models"}


def modules(root: Path, rooms: dict[str, str]) -> dict[str, Path]:
    """Files by dotted name; a folder's name stands for its ``__init__``."""
    found: dict[str, Path] = {}
    for folder, package in rooms.items():
        for file in (root / folder).rglob("*.py"):
            parts = [package, *file.relative_to(root / folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(root: Path, rooms: dict[str, str]) -> nx.DiGraph:
    """Which file imports which, wherever in the file; folders' ``__init__`` only gather names and do not count."""
    known = modules(root, rooms)
    graph = nx.DiGraph()
    for name, file in known.items():
        home = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                start = home[: len(home) - node.level + 1] if node.level else []
                base = ".".join([*start, *(node.module or "").split(".")]).strip(".")
                for item in node.names:
                    target = f"{base}.{item.name}" if f"{base}.{item.name}" in known else base
                    if target in known and target != name and known[target].name != "__init__.py":
                        graph.add_edge(name, target)
    return graph


def circles(graph: nx.DiGraph) -> list[list[str]]:
    return [sorted(found) for found in nx.strongly_connected_components(graph) if len(found) > 1]


def test_no_circle() -> None:
    graph = imports(ROOT, {**ROOMS, "lightloom": "lightloom"})
    assert graph.number_of_edges() > 1000
    assert circles(graph) == []


@pytest.mark.parametrize(
    "how", ["from .b import y", "def f():\n    from .b import y", "if TYPE_CHECKING:\n    from . import b"]
)
def test_a_circle_is_found_however_it_is_closed(how: str, tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "a.py").write_text(how, encoding="utf-8")
    (tmp_path / "room" / "b.py").write_text("from pkg.room.a import x", encoding="utf-8")
    assert circles(imports(tmp_path, {"room": "pkg.room"})) == [["pkg.room.a", "pkg.room.b"]]
