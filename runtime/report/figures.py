"""Figures as SVG text: a line chart and a bar chart that stand in a page without any other file.

Colours are the page's CSS variables ``--series-1 ..``, text and axes its ``currentColor``, so that both
follow a light or dark page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from .tables import si

WIDTH, HEIGHT = 680, 380
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 20, 52


@dataclass(frozen=True)
class _Scale:
    """Maps a data range to a pixel range."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    reference: tuple[str, float] | None = None,
) -> str:
    """Percentages against whole numbers, one line with markers for each series.

    Args:
        series: name -> points (x whole, y in 0..1); at least one point.
        title: what the figure shows, for readers who cannot see it.
        x_label: name of the x axis. y_label: name of the y axis.
        reference: name and value of a horizontal line.

    Returns:
        An ``<svg>`` element.
    """
    ticks = sorted({x for points in series.values() for x, _ in points})
    x = _Scale(ticks[0], max(ticks[-1], ticks[0] + 1), LEFT + 16, WIDTH - RIGHT - 16)
    y = _Scale(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    parts = _frame(title, HEIGHT)
    for percent in range(0, 101, 20):
        parts += _grid_line(LEFT, y(percent / 100), WIDTH - RIGHT, y(percent / 100))
        parts.append(_text(LEFT - 10, y(percent / 100) + 4, f"{percent} %", "end"))
    parts += [_text(x(tick), HEIGHT - BOTTOM + 20, f"{tick:g}", "middle") for tick in ticks]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle"))
    parts.append(
        f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2:.1f}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_label)}</text>'
    )
    if reference:
        name, value = reference
        parts.append(
            f'<line class="reference" x1="{LEFT}" y1="{y(value):.1f}" x2="{WIDTH - RIGHT}" y2="{y(value):.1f}"/>'
        )
        parts.append(_text(LEFT + 6, y(value) - 7, name, "start"))
    for number, (name, points) in enumerate(series.items(), 1):
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        parts.append(f'<polyline class="line s{number}" points="{path}"/>')
        for a, b in points:
            tip = f"<title>{escape(name)}: {b:.1%} at {a:g}</title>"
            parts.append(_marker(number, x(a), y(b), tip))
    for number, name in enumerate(series, 1):
        top = HEIGHT - BOTTOM - 18 - 22 * (len(series) - number)
        parts.append(f'<line class="line s{number}" x1="{WIDTH - 268}" y1="{top}" x2="{WIDTH - 240}" y2="{top}"/>')
        parts.append(_marker(number, WIDTH - 254, top, ""))
        parts.append(_text(WIDTH - 232, top + 4, name, "start"))
    return "\n".join([*parts, "</svg>"])


def bar_chart(bars: Mapping[str, Mapping[str, float]], *, title: str, unit: str, axis: str) -> str:
    """Horizontal bars on a logarithmic axis, grouped by row, each labelled with its value.

    Args:
        bars: row -> series -> value, 0 or more; every row has the same series, at least one value above 0.
        title: what the figure shows, for readers who cannot see it.
        unit: SI unit of the values. axis: name of the axis.

    Returns:
        An ``<svg>`` element.
    """
    values = [value for row in bars.values() for value in row.values() if value > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    names = list(next(iter(bars.values())))
    left, bar, gap = 104, 15, 16
    row_height = bar * len(names) + gap
    top = TOP + 24
    height = top + row_height * len(bars) + BOTTOM
    x = _Scale(low, max(high, low + 1), left, WIDTH - RIGHT - 76)
    parts = _frame(title, height)
    step = max(1, round((high - low) / 7))
    for power in range(low, high + 1, step):
        parts += _grid_line(x(power), top - 4, x(power), height - BOTTOM)
        parts.append(_text(x(power), height - BOTTOM + 20, si(10.0**power, unit, 3), "middle"))
    parts.append(_text((left + WIDTH - RIGHT) / 2, height - 8, axis, "middle"))
    for number, name in enumerate(names, 1):
        at = left + (number - 1) * 250
        parts.append(f'<rect class="bar s{number}" x="{at}" y="{TOP - 11}" width="14" height="14" rx="2"/>')
        parts.append(_text(at + 21, TOP, name, "start"))
    for index, (row, entries) in enumerate(bars.items()):
        base = top + index * row_height + gap / 2
        parts.append(_text(left - 12, base + bar * len(names) / 2 + 4, row, "end"))
        for number, (name, value) in enumerate(entries.items(), 1):
            y = base + (number - 1) * bar
            label = si(value, unit, 3)
            if value > 0:
                end = x(math.log10(value))
                parts.append(
                    f'<rect class="bar s{number}" x="{left}" y="{y:.1f}" width="{max(end - left, 1.5):.1f}" '
                    f'height="{bar - 2}" rx="2"><title>{escape(f"{row}, {name}: {label}")}</title></rect>'
                )
                parts.append(_text(max(end, left + 1.5) + 7, y + bar - 4.5, label, "start", "small"))
            else:
                parts.append(_text(left + 7, y + bar - 4.5, "none", "start", "small"))
    return "\n".join([*parts, "</svg>"])


def _frame(title: str, height: float) -> list[str]:
    return [f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">']


def _grid_line(x1: float, y1: float, x2: float, y2: float) -> list[str]:
    return [f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>']


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _marker(number: int, x: float, y: float, inside: str) -> str:
    """Circle, square or triangle: series differ in shape as well as in colour."""
    if number % 3 == 1:
        return f'<circle class="mark s{number}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{inside}</circle>'
    if number % 3 == 2:
        return f'<rect class="mark s{number}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8">{inside}</rect>'
    corners = f"{x:.1f},{y - 5.5:.1f} {x + 5.2:.1f},{y + 4:.1f} {x - 5.2:.1f},{y + 4:.1f}"
    return f'<polygon class="mark s{number}" points="{corners}">{inside}</polygon>'
