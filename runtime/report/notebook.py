"""Programs, schedules and energies as a notebook shows them: fragments of HTML without scripts or style sheets.

Styles are written into the elements, in colours and transparencies that suit light and dark pages alike.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Collection, Mapping, Sequence
from html import escape

import numpy as np

from ..pricing.events import EVENT_NAMES
from ..pricing.ledger import IDLE, ITEMS, PARTS, EnergyReport
from ..program import ProgramBody
from ..scheduling.schedule import Schedule
from .explain import explain
from .lanes import lanes_picture
from .tables import Table, micro, percent, si

ROWS = 40
"""Rows of a table that are listed; the objects themselves list all."""

BARS = 12
"""Layers that have a bar of their own."""

_PARTS = ("#C98500", "#8E63D6", "#2F7FE0", "#17938A", "#C2487C", "#7B8794", "#7A9A2A")
_EVENTS = ("#8D99A8", "#17938A", "#2F7FE0", "#8E63D6", "#7A9A2A", "#C2487C", "#C98500", "#7B8794")
COLOURS = {**dict(zip(EVENT_NAMES, _EVENTS, strict=True)), **dict(zip(PARTS, _PARTS, strict=True))}
_RULE = "1px solid rgba(128,128,128,.35)"


def notebook_html(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> str:
    """A program: what runs where, headline figures, energy by layer, layers."""
    from .page_data import summary_data

    explained = explain(body)
    title = (
        f"<p><b>{_safe(body.name)}</b> on <b>{_safe(body.target.name)}</b>, batch of {schedule.batch}: "
        f"{_safe(explained.headline)}</p>"
    )
    cards = _cards([(name, value) for name, value, _ in summary_data(body, schedule, energy)])
    paths = {step.name: step.path or step.name for step in body.steps}
    bars = _layer_bars(energy, paths)
    return title + cards + bars + _folded("Layers", table_html(explained.layer_table()))


def schedule_html(schedule: Schedule) -> str:
    """A schedule: its time and bounds, a picture of its lanes, its steps."""
    cards = [
        ("makespan", si(schedule.makespan_s, "s", 3)),
        (f"lower bound{f', {schedule.bound}' if schedule.bound else ''}", si(schedule.lower_bound_s, "s", 3)),
        ("one core, tile by tile", si(schedule.naive_s, "s", 3)),
        ("events", f"{len(schedule):,}"),
    ]
    title = f"<p>Schedule for a batch of {schedule.batch}: <b>{schedule.ratio:.3f}</b> times its lower bound</p>"
    return title + _cards(cards) + _lanes(schedule) + _folded("Steps", table_html(schedule.table()))


def energy_html(energy: EnergyReport) -> str:
    """An energy report: headline figures, bars of items and events, layers."""
    cards = [
        ("energy of the run", si(energy.total_j, "J", 3)),
        ("per inference, with configuration", si(energy.amortised_j, "J", 3)),
        ("per MAC, with configuration", si(energy.amortised_per_mac_j, "J", 3)),
        ("average power", si(energy.average_power_w, "W", 3)),
        ("efficiency", f"{si(energy.ops_per_j, 'OPS/W', 3)}"),
    ]
    by_item = {item: value for item, value in energy.run.by_item().items() if value > 0}
    items = [(item, [(ITEMS[item][0], value)], False) for item, value in sorted(by_item.items(), key=lambda p: -p[1])]
    events = [(name, [(name, value)], False) for name, value in energy.by_event().items() if value > 0]
    title = f"<p>Energy of a batch of {energy.batch}, configuration and execution</p>"
    return (
        title
        + _cards(cards)
        + _bars("By item", items, energy.total_j, _legend(PARTS, {ITEMS[item][0] for item in by_item}))
        + _bars("By kind of event", events, energy.total_j, "")
        + _folded("Layers", table_html(energy.layers()))
    )


def table_html(table: Table) -> str:
    """A table as HTML, texts left and numbers right; its first rows where it is long."""
    sides = ["left" if place < table.left else "right" for place in range(len(table.columns))]
    head = "".join(
        f'<th style="text-align:{side}">{_safe(column.heading)}</th>'
        for side, column in zip(sides, table.columns, strict=True)
    )
    lines = [
        "".join(
            f'<td style="text-align:{side}">{_safe(column.text(value))}</td>'
            for side, column, value in zip(sides, table.columns, row, strict=True)
        )
        for row in table.rows[:ROWS]
    ]
    more = len(table.rows) - ROWS
    note = f"<p>... and {more} more</p>" if more > 0 else ""
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _layer_bars(energy: EnergyReport, paths: Mapping[str, str]) -> str:
    table = energy.run.table()
    rows = sorted((row for row in table.rows if row[0] != "total" and row[-1] > 0), key=lambda row: -row[-1])
    found: list[tuple[str, list[tuple[str, float]], bool]] = [
        (paths.get(row[0], row[0]), list(zip(PARTS, row[1:-1], strict=True)), row[0] == IDLE) for row in rows[:BARS]
    ]
    rest = rows[BARS:]
    if rest:
        sums = [sum(row[1 + place] for row in rest) for place in range(len(PARTS))]
        found.append((f"{len(rest)} more", list(zip(PARTS, sums, strict=True)), True))
    there = {part for _, pieces, _ in found for part, value in pieces if value > 0}
    return _bars("Energy by layer", found, energy.total_j, _legend(PARTS, there))


def _bars(title: str, rows: Sequence[tuple[str, list[tuple[str, float]], bool]], total: float, legend: str) -> str:
    """Stacked bars: name, (what, joules) pieces, and whether it is set aside, so that it does not set the scale."""
    sums = [sum(value for _, value in pieces) for _, pieces, _ in rows]
    scaled = [value for value, row in zip(sums, rows, strict=True) if not row[2]] or sums
    most = max(scaled, default=0.0)
    lines: list[str] = []
    for (name, pieces, _), whole in zip(rows, sums, strict=True):
        unit = max(whole, most)
        parts = "".join(
            f'<span title="{_safe(what)}: {_safe(si(value, "J", 3))}" style="display:block;height:11px;'
            f'width:{100 * value / unit:.2f}%;background:{COLOURS[what]}"></span>'
            for what, value in pieces
            if value > 0
        )
        cut = " //" if whole > most * 1.0001 else ""
        text = f"{si(whole, 'J', 3)}, {percent(whole, total)}{cut}"
        lines.append(
            '<div style="display:flex;align-items:center;gap:8px;line-height:17px;font-size:12px">'
            '<span style="width:170px;text-align:right;overflow:hidden;text-overflow:ellipsis;white-space:nowrap" '
            f'title="{_safe(name)}">{_safe(name)}</span>'
            f'<span style="display:flex;width:320px">{parts}</span><span>{_safe(text)}</span></div>'
        )
    return f'<p style="margin:10px 0 4px"><b>{_safe(title)}</b> {legend}</p>{"".join(lines)}' if lines else ""


def _legend(names: Sequence[str], there: Collection[str]) -> str:
    shown = [name for name in names if name in there]
    return " ".join(
        f'<span style="font-size:12px;white-space:nowrap"><span style="display:inline-block;width:10px;height:10px;'
        f'background:{COLOURS[name]}"></span> {_safe(name)}</span>'
        for name in shown
    )


def _cards(cards: Sequence[tuple[str, str]]) -> str:
    inside = "".join(
        f'<div style="border:{_RULE};border-radius:6px;padding:4px 10px"><div style="font-size:11px;opacity:.75">'
        f'{_safe(name)}</div><div style="font-size:16px;font-weight:600">{_safe(value)}</div></div>'
        for name, value in cards
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px;margin:6px 0">{inside}</div>'


def _folded(title: str, inside: str) -> str:
    head = f'<summary style="cursor:pointer"><b>{_safe(title)}</b></summary>'
    return f'<details style="margin:10px 0">{head}{inside}</details>'


def _lanes(schedule: Schedule) -> str:
    """A picture of every lane over time, in the colours of the steps, grey where cores are configured."""
    names, pictures = lanes_picture(schedule, 900)
    if not names or not schedule.makespan_s:
        return ""
    height = max(3, min(16, 320 // len(names)))
    pictures = np.repeat(pictures, 4 // pictures.shape[1], 1)
    source = base64.b64encode(_png(pictures.reshape(-1, *pictures.shape[2:]))).decode("ascii")
    cores = len(set(schedule.core[schedule.core >= 0].tolist()))
    first = [] if not cores else ["core 0"] if cores == 1 else [f"{cores} cores"]
    listed = ", ".join(first + [name for name in names if not name.startswith("core")])
    return (
        f'<img alt="What the lanes do over time" src="data:image/png;base64,{source}" style="display:block;'
        f"width:100%;max-width:900px;height:{height * len(names)}px;border:{_RULE};image-rendering:pixelated;"
        f'background:none"><div style="font-size:12px;opacity:.75">0 to {_safe(si(schedule.makespan_s, "s", 3))}; '
        f"from the top: {listed}; grey: configuring, other colours: steps</div>"
    )


def _png(picture: np.ndarray) -> bytes:
    """A picture of floats in 0..1 (rows, columns, 4) as a PNG file (ISO/IEC 15948), 8 bits a channel."""
    rows, columns, _ = picture.shape
    raw = np.zeros((rows, 1 + 4 * columns), np.uint8)  # each row after the number of its filter, none
    raw[:, 1:] = np.rint(picture * 255).astype(np.uint8).reshape(rows, -1)

    def chunk(kind: bytes, inside: bytes) -> bytes:
        return struct.pack(">I", len(inside)) + kind + inside + struct.pack(">I", zlib.crc32(kind + inside))

    head = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    data = zlib.compress(raw.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _safe(text: object) -> str:
    """Escaped, and without characters that no page may hold."""
    letters = (letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in micro(str(text)))
    return escape("".join(letters))
