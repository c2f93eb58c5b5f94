"""The page on describing a chip: its tables are the schema's, its examples run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from lightloom.runtime import targets
from lightloom.runtime.targets import Target, units
from lightloom.runtime.targets.toml import split_numbers

PAGE = (Path(__file__).parents[3] / "docs" / "targets.md").read_text(encoding="utf-8")
PARTS = ("mesh", "encoding", "detection", "timing", "energy", "memory", "link", "area")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def table(part: str) -> dict[str, tuple[str, str]]:
    """Unit and default of every field in the table of a part."""
    section = PAGE.partition(f"### {part}:")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|", section.partition("| name |")[0], flags=re.MULTILINE)
    return {name: (unit.strip(), default.strip()) for name, unit, default in rows}


@pytest.mark.parametrize("part", PARTS)
def test_every_field_has_its_row(part: str) -> None:
    fields = Target.model_fields[part].annotation.model_fields  # type: ignore[union-attr]
    rows = table(part)
    assert list(rows) == list(fields)
    for name, (unit, default) in rows.items():
        is_text = isinstance(fields[name].default, (str, bool))
        assert unit == ("" if is_text else units.unit_of(name)), name
        wanted = fields[name].default
        if wanted is PydanticUndefined:
            assert default == "", name
        elif wanted is None:
            assert default == "-", name
        elif is_text:
            assert default == f"`{str(wanted).lower() if isinstance(wanted, bool) else wanted}`", name
        else:
            assert float(default) == wanted, name


def test_every_part_has_its_table() -> None:
    parts = [name for name, info in Target.model_fields.items() if hasattr(info.annotation, "model_fields")]
    assert set(parts) == set(PARTS)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "docs/targets.md", "exec"), names)
    printed = capsys.readouterr().out
    # what the page shows of the error is what is said
    shown = re.findall(r"^# (target 'mzi16'.*?)\n```", PAGE, flags=re.DOTALL | re.MULTILINE)
    for part in shown[0].replace("\n# ", " ").split(" ... "):
        assert part in printed


def test_the_fragments_are_parts_of_targets() -> None:
    found = [split_numbers(tomllib.loads(block)) for block in blocks("toml")]
    assert len(found) == 2
    assert all(not faults for _, _, faults in found)
    assert found[1][0]["link"] == targets.linked(targets.get("mzi16"), "nvqlink").link.model_dump(exclude_none=True)


def test_the_links_are_as_stated() -> None:
    for name in targets.links():
        link = targets.linked(targets.get("mzi16"), name).link
        row = re.search(rf"^\| `{name}` \| ([\d.]+) us \| ([\d.]+) GB/s \| (.*?) \|", PAGE, flags=re.MULTILINE)
        assert row is not None
        assert float(row[1]) * 1e-6 == pytest.approx(link.latency_s)
        assert float(row[2]) * 1e9 == pytest.approx(link.bytes_per_s)
        if link.j_per_byte is None:
            assert row[3] == "not stated"
        else:
            value, _, unit = row[3].partition(" ")
            assert units.to_si("j_per_byte", float(value), unit) == link.j_per_byte
