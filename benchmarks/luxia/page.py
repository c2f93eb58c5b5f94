"""Write the tables and figures of docs/luxia.md from the results.

    python benchmarks/luxia/page.py [--page docs/luxia.md] [--results docs/luxia]

What stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is written anew; the rest of the page stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import tables
from shared import Options

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    "accuracy": ("accuracy.json", tables.accuracy_table),
    "choices": ("accuracy.json", tables.choices_table),
    "resources": ("resources.json", tables.resource_table),
    "memory": ("resources.json", tables.memory_table),
    "machine": ("resources.json", tables.notes),
    "insitu": ("insitu.json", tables.insitu_table),
}
"""Parts of the page: the file they are made of, and by what."""


def texts(results: Path) -> dict[str, str]:
    """The parts whose results are there."""
    found = {name: results / file for name, (file, _) in SOURCES.items()}
    return {
        name: SOURCES[name][1](json.loads(path.read_text(encoding="utf-8")))
        for name, path in found.items()
        if path.exists()
    }


def render(page: str, parts: Mapping[str, str]) -> str:
    """The page with its generated parts written anew.

    Raises:
        ValueError: a part that the page has no markers for, or has them twice.
    """
    for name, text in parts.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        page, count = pattern.subn(lambda match, text=text: f"{match[1]}{text}\n{match[2]}", page)
        if count != 1:
            raise ValueError(f"the page has markers of {name!r} {count} times, wanted once")
    return page


def draw(results: Path) -> None:
    """The figures, beside the results."""
    import figures

    accuracy = results / "accuracy.json"
    if accuracy.exists():
        records = json.loads(accuracy.read_text(encoding="utf-8"))
        for data in {cell["data"] for cell in tables.accuracy_cells(records)}:
            figures.save(figures.curves(records, data), results / f"curves-{data}.png")
    resources = results / "resources.json"
    if resources.exists():
        found = json.loads(resources.read_text(encoding="utf-8"))
        if found["memory"]:
            figures.save(figures.memory(found), results / "memory.png")


def main() -> None:
    """Tables into the page, figures beside the results."""
    parser = Options(__doc__, "matplotlib")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "luxia.md")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "luxia")
    options = parser.parse_args()
    options.page.write_text(render(options.page.read_text(encoding="utf-8"), texts(options.results)), encoding="utf-8")
    draw(options.results)


if __name__ == "__main__":
    main()
