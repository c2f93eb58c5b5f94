"""Tables that are written once and read as text, dict, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

_PREFIXES = [(10.0 ** (3 * index), prefix) for index, prefix in zip(range(8, -8, -1), "YZEPTGMk munpfaz", strict=True)]


def si(value: float, unit: str, digits: int = 4) -> str:
    """A quantity with an SI prefix and ``digits`` significant digits: ``si(2e-9, "s") == "2 ns"``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    # Rounded first, so that 999.99 us becomes 1 ms and not 1000 us.
    rounded = float(f"{value:.{digits - 1}e}")
    factor, prefix = next((item for item in _PREFIXES if abs(rounded) >= item[0]), _PREFIXES[-1])
    return f"{rounded / factor:.{digits}g} {prefix.strip()}{unit}"


def micro(text: str) -> str:
    """The same with the sign for micro in its quantities, where plain text has a ``u``."""
    return re.sub(r"(?<=\d )u(?=[A-Za-z])", "µ", text)


def micro_area(area_m2: float) -> str:
    """An area in square micrometres: footprints of parts."""
    value = area_m2 * 1e12
    return f"{value:,.0f} µm²" if value >= 100 else f"{value:.3g} µm²"


def percent(part: float, whole: float) -> str:
    """Share of a whole, ``-`` where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, indent: str = "") -> str:
    """Lines of a table with aligned columns: the first ``left`` flush left, the others flush right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, ["-" * width for width in widths], *rows]
    ]
    return "\n".join(indent + line for line in lines)


@dataclass(frozen=True)
class Column:
    """A column of a table: its key in data, its heading and how a value is written in text."""

    key: str
    heading: str
    text: Callable[[Any], str] = str


@dataclass(frozen=True)
class Table:
    """Rows of values under columns.

    ``left``: how many columns of the text form are flush left. ``notes``: numbers that belong to the
    whole table; they are in the dict and the JSON, not in the CSV.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    left: int = 1
    notes: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """The notes, and a list of values for each column key."""
        keys = [column.key for column in self.columns]
        return {**self.notes, **{key: [row[i] for row in self.rows] for i, key in enumerate(keys)}}

    def to_json(self, indent: int | None = None) -> str:
        """The dict as JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def to_csv(self) -> str:
        """A header line of keys and one line a row; numbers in full precision."""
        return csv_text([column.key for column in self.columns], self.rows)

    def __str__(self) -> str:
        cells = [[column.text(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]
        return aligned([column.heading for column in self.columns], cells, self.left)


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """CSV of a header and rows, one line each, ended by a line feed."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()
