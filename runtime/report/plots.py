"""The figures of a scheduled program, drawn with matplotlib: energy, time, the schedule, the tiles.

Every function draws one figure of its own on a ``Figure`` that it is given. Colours are those of Okabe and Ito, which
people with any colour vision tell apart (M. Okabe, K. Ito, Color Universal Design, 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..pricing.energy import EnergyReport
from ..pricing.events import EVENT_NAMES
from ..pricing.ledger import IDLE, ITEMS, PARTS
from ..program import ProgramBody, TileBank
from ..scheduling.schedule import EventKind, Schedule
from .lanes import PIXELS, lanes_picture, layer_colour
from .page_tiles import coarse_grid, used_cells
from .page_time import step_seconds
from .profile import cores_busy, power
from .tables import micro, percent, si

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.ticker import EngFormatter

PART_COLOURS: dict[str, str] = dict(
    zip(PARTS, ("#E69F00", "#CC79A7", "#0072B2", "#009E73", "#D55E00", "#8C8C8C", "#56B4E9"), strict=True)
)
KIND_COLOURS = {
    EventKind.CONFIGURE: "#B3B3B3",
    EventKind.STREAM: "#0072B2",
    EventKind.HOST: "#E69F00",
    EventKind.MOVE: "#D55E00",
}
BARS = 30
"""Layers that have a bar of their own; the others share one."""

GRIDS = 12
"""Layers whose tile grids are drawn, the largest."""


def energy_by_layer(figure: Figure, body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> None:
    """Joules of the run, a bar a layer, stacked by part."""
    table = energy.run.table()
    paths = {step.name: step.path or step.name for step in body.steps}
    rows: list[tuple[str, np.ndarray, bool]] = [
        (paths.get(row[0]) or str(row[0]), np.array(row[1 : 1 + len(PARTS)]), bool(row[0] == IDLE))
        for row in table.rows
        if row[0] != "total"
    ]
    _stacked(figure, rows, list(PART_COLOURS.items()), "J", f"Energy of a batch of {schedule.batch} by layer")


def time_by_layer(figure: Figure, body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> None:
    """Seconds of all cores, the host and the link, a bar a layer, stacked by what they are spent on."""
    seconds = step_seconds(schedule)
    rows = [(step.path or step.name, seconds[place], False) for place, step in enumerate(body.steps)]
    kinds = [(kind.name.lower(), colour) for kind, colour in KIND_COLOURS.items()]
    title = f"Time of a batch of {schedule.batch} by layer, all cores, host and link together"
    _stacked(figure, rows, kinds, "s", title)


def energy_by_item(figure: Figure, body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> None:
    """Joules of the run, a bar an item of the price list, of execution and configuration."""
    execution, configuration = energy.execution.by_item(), energy.configuration.by_item()
    items = sorted(ITEMS, key=lambda item: -(execution[item] + configuration[item]))
    items = [item for item in items if execution[item] + configuration[item] > 0]
    figure.set_size_inches(8, 1.3 + 0.3 * max(len(items), 2))
    axes = figure.add_subplot()
    title = f"Energy of a batch of {schedule.batch} by item, hatched: configuration"
    if not items:
        _nothing(axes, title)
        return
    places = np.arange(len(items))
    colours = [PART_COLOURS[ITEMS[item][0]] for item in items]
    spent, setup = (np.array([found[item] for item in items]) for found in (execution, configuration))
    whole = spent + setup
    most = _scale(whole.tolist())
    shrunk = np.minimum(1.0, 1.04 * most / whole)
    axes.barh(places, spent * shrunk, color=colours)
    axes.barh(places, setup * shrunk, left=spent * shrunk, color=colours, hatch="////", edgecolor="white", linewidth=0)
    for place, joules in enumerate(whole.tolist()):
        end, share = joules * shrunk[place], percent(joules, energy.total_j)
        if shrunk[place] < 1:
            _cut(axes, end, place, most)
        text = f" {_text(joules, 'J')}, {'< 0.1 %' if share == '0.0 %' else share}"
        axes.text(end, place, text, va="center", fontsize=9)
    _bar_axes(axes, [f"{item}" for item in items], "J", most * 1.34, title)
    used = [part for part in PARTS if any(ITEMS[item][0] == part for item in items)]
    _legend(figure, [(part, PART_COLOURS[part]) for part in used])


def energy_by_event(figure: Figure, body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> None:
    """Joules and seconds of each kind of event, side by side."""
    joules = energy.by_event()
    seconds = {name: found.busy_s for name, found in energy.activity.items()}
    names = [name for name in EVENT_NAMES if joules[name] or seconds.get(name)]
    figure.set_size_inches(9, 1.4 + 0.32 * max(len(names), 2))
    for place, (title, unit, values) in enumerate(
        ((f"Energy of a batch of {schedule.batch} by event", "J", joules), ("Time, all cores", "s", seconds))
    ):
        axes = figure.add_subplot(1, 2, 1 + place)
        if not names:
            _nothing(axes, title)
            continue
        found = np.array([values.get(name, 0.0) for name in names])
        axes.barh(np.arange(len(names)), found, color="#0072B2" if unit == "J" else "#009E73")
        for at, value in enumerate(found.tolist()):
            axes.text(value, at, f" {_text(value, unit)}" if value else " none", va="center", fontsize=9)
        _bar_axes(axes, names if place == 0 else [""] * len(names), unit, float(found.max()) * 1.3, title)


def timeline(figure: Figure, body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> None:
    """Cores, host and link over time in the colours of the layers; above, cores at work and power."""
    lanes, pictures = lanes_picture(schedule)
    if not lanes or not schedule.makespan_s:
        figure.set_size_inches(8, 2)
        _nothing(figure.add_subplot(), "Schedule")
        return
    height = 0.4 + min(6.5, 0.24 * len(lanes))
    figure.set_size_inches(10, 3.0 + height)
    parts = figure.subplots(4, 1, sharex=True, height_ratios=[0.7, 0.7, 0.22, height], gridspec_kw={"hspace": 0.12})
    title = f"Schedule of a batch of {schedule.batch}: {_text(schedule.makespan_s, 's')}"
    curves = (
        ("cores\nbusy", cores_busy(schedule), "#0072B2"),
        ("power", power(schedule, energy, body.target.mesh.cores), "#CC79A7"),
    )
    for axes, (name, curve, colour) in zip(parts, curves, strict=False):
        curve = curve.averaged(PIXELS)
        axes.stairs(curve.values, curve.edges_s, fill=True, color=colour)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.set_ylim(0, max(float(curve.values.max(initial=0.0)) * 1.08, 1e-30))
        if name == "power":
            axes.yaxis.set_major_formatter(_engineering("W"))
        axes.locator_params(axis="y", nbins=3, integer=name != "power")
    parts[0].set_title(title, loc="left")
    _layer_strip(parts[2], body, schedule)
    parts[3].imshow(
        pictures.reshape(-1, *pictures.shape[2:]),
        aspect="auto",
        interpolation="nearest",
        extent=(0.0, schedule.makespan_s, len(lanes), 0.0),
    )
    every = max(1, len(lanes) // 24)
    shown = [at for at, name in enumerate(lanes) if at % every == 0 or not name.startswith("core")]
    parts[3].set_yticks([at + 0.5 for at in shown], [lanes[at] for at in shown])
    parts[3].tick_params(axis="y", length=0)
    parts[3].set_xlabel("time, grey: configuring, other colours: layers")
    parts[3].xaxis.set_major_formatter(_engineering("s"))


def tile_grids(figure: Figure, body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> None:
    """Of the largest layers, the share of each tile's cells that hold weights; places left white hold no tile."""
    banks = sorted(
        (bank for bank in body.banks.values() if not bank.spec.dynamic and bank.spec.tiles),
        key=lambda bank: -bank.spec.tiles,
    )[:GRIDS]
    if not banks:
        figure.set_size_inches(8, 2)
        _nothing(figure.add_subplot(), "Cells used of each tile")
        return
    figure.set_layout_engine("none")
    across, box, title = 4, 2.5, 0.5
    shares = [_used_shares(bank) for bank in banks]
    largest = max(max(share.shape) for share in shares)
    sizes = [_fitted(share.shape, box, largest) for share in shares]
    lines = [range(first, min(first + across, len(banks))) for first in range(0, len(banks), across)]
    heights = [max(sizes[place][1] for place in line) + title + 0.15 for line in lines]
    wide, high = across * (box + 0.2) + 1.1, sum(heights) + 0.2
    figure.set_size_inches(wide, high)
    drawn: list[AxesImage] = []
    for line, top in zip(lines, np.cumsum([0.1, *heights]), strict=False):
        for column, place in enumerate(line):
            (w, h), spec = sizes[place], banks[place].spec
            left, bottom = 0.15 + column * (box + 0.2), high - top - title - h
            axes = figure.add_axes((left / wide, bottom / high, w / wide, h / high))
            image = axes.imshow(shares[place], cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            drawn.append(image)
            axes.set(xticks=[], yticks=[])
            if max(shares[place].shape) <= 80:  # places told apart
                down, across_ = shares[place].shape
                axes.hlines(np.arange(1, down) - 0.5, -0.5, across_ - 0.5, color="white", linewidth=0.5)
                axes.vlines(np.arange(1, across_) - 0.5, -0.5, down - 0.5, color="white", linewidth=0.5)
            axes.spines[:].set(visible=True, color="#8C8C8C", linewidth=0.6)
            held = f"{spec.tiles:,} tiles, {spec.utilization:.0%} of their cells"
            held = held if spec.tiles != 1 else f"1 tile, {spec.utilization:.0%} of its cells"
            text = f"{_short(spec.name, 30)}\n{held}"
            axes.set_title(text, fontsize=8.5, loc="left")
    tall = min(2.2, high - 0.8)
    bar = figure.add_axes(((wide - 0.85) / wide, (high - 0.6 - tall) / high, 0.14 / wide, tall / high))
    figure.colorbar(drawn[0], cax=bar, format=lambda share, _: f"{share:.0%}")


def _used_shares(bank: TileBank) -> np.ndarray:
    """Share of the cells that hold weights, float64 (grid rows, grid columns); NaN where there is no tile."""
    spec = bank.spec
    group, row, col = (bank.columns[axis].astype(np.int64) for axis in ("group", "row", "col"))
    row, col, by = coarse_grid(spec, group, row, col, 4096)
    shape = (-(-spec.groups * spec.grid_rows // by), -(-spec.grid_cols // by))
    place = row * shape[1] + col
    held = np.bincount(place, minlength=shape[0] * shape[1]).astype(float)
    return (np.bincount(place, used_cells(bank), len(held)) / np.where(held > 0, held, np.nan)).reshape(shape)


def _fitted(shape: tuple[int, ...], box: float, largest: int) -> tuple[float, float]:
    """Width and height of a grid of square places, where the ``largest`` of all fills a box: one scale for all of them.

    What would be too thin to see is drawn thicker than it is.
    """
    down, across = shape
    scale = box / largest
    return max(across * scale, box / 14), max(down * scale, box / 14)


def _layer_strip(axes: Axes, body: ProgramBody, schedule: Schedule) -> None:
    """The chip's layers, each from its first stream to that of the next, named where there is room."""
    streams = schedule.kind == EventKind.STREAM
    steps = [place for place, rows in enumerate(schedule.by_step) if streams[rows].any()]
    first = {
        place: float(schedule.start_s[schedule.by_step[place][streams[schedule.by_step[place]]]].min())
        for place in steps
    }
    order = sorted(steps, key=lambda place: first[place])
    ends = [*(first[place] for place in order[1:]), schedule.makespan_s]
    for place, end in zip(order, ends, strict=True):
        wide = end - first[place]
        axes.broken_barh([(first[place], wide)], (0, 1), color=layer_colour(place), linewidth=0)
        room = int(wide / schedule.makespan_s * 115)
        if room > 4:
            name = _short(body.steps[place].path or body.steps[place].name, room)
            axes.text(first[place] + wide / 2, 0.45, name, ha="center", va="center", fontsize=7.5, color="white")
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_ylabel("layer", rotation=0, ha="right", va="center")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="x", length=0)


def _stacked(
    figure: Figure,
    rows: Sequence[tuple[str, np.ndarray, bool]],
    series: Sequence[tuple[str, str]],
    unit: str,
    title: str,
) -> None:
    """Horizontal stacked bars, the largest first; rows aside (the third of a row) and the rest do not set the scale."""
    rows = sorted((row for row in rows if row[1].sum() > 0), key=lambda row: -row[1].sum())
    if len(rows) > BARS + 1:
        rest = sum((row[1] for row in rows[BARS:]), np.zeros(len(series)))
        rows = [*rows[:BARS], (f"{len(rows) - BARS} more", rest, True)]
    figure.set_size_inches(9, 1.3 + 0.24 * max(len(rows), 3))
    axes = figure.add_subplot()
    if not rows:
        _nothing(axes, title)
        return
    most = max((row[1].sum() for row in rows if not row[2]), default=rows[0][1].sum())
    values = np.array([row[1] for row in rows])
    whole = values.sum(1)
    long = whole > most * 1.0001
    shown = np.where(long, most * 1.04 / whole, 1.0)[:, None] * values
    places, left = np.arange(len(rows)), np.zeros(len(rows))
    for at, (_, colour) in enumerate(series):
        axes.barh(places, shown[:, at], left=left, color=colour, height=0.72)
        left = left + shown[:, at]
    for place in places.tolist():
        if long[place]:
            _cut(axes, left[place], place, most)
        axes.text(left[place], place, f" {_text(whole[place], unit)}", va="center", fontsize=8.5)
    _bar_axes(axes, [_short(name, 34) for name, _, _ in rows], unit, most * 1.2, title)
    there = [pair for at, pair in enumerate(series) if any(row[1][at] > 0 for row in rows)]
    _legend(figure, there)


TOWERS = 6
"""A bar so many times longer than the next would hide it: it is cut, and all below it set the scale."""


def _scale(values: Sequence[float]) -> float:
    """The largest of values in descending order that does not tower over the next."""
    return next((one for one, below in pairwise(values) if one <= TOWERS * below), values[-1])


def _cut(axes: Axes, end: float, place: int, most: float) -> None:
    """The mark of a bar that is longer than it is drawn."""
    axes.text(end - 0.03 * most, place, "//", color="white", va="center", ha="center", weight="bold")


def _bar_axes(axes: Axes, names: Sequence[str], unit: str, most: float, title: str) -> None:
    axes.set_yticks(np.arange(len(names)), [printable(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, most or 1.0)
    axes.xaxis.set_major_formatter(_engineering(unit))
    axes.locator_params(axis="x", nbins=5, prune="upper")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#D9D9D9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left")


def _legend(figure: Figure, entries: Sequence[tuple[str, str]]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=name) for name, colour in entries]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(entries), frameon=False, fontsize=9)


def _text(value: float, unit: str) -> str:
    return micro(si(float(value), unit, 3))


def _nothing(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left")
    axes.text(0.5, 0.5, "nothing to show", ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()


def _engineering(unit: str) -> EngFormatter:
    from matplotlib.ticker import EngFormatter

    return EngFormatter(unit=unit)


def _short(name: str, most: int) -> str:
    """The end of a long name: what tells layers apart."""
    return printable(name if len(name) <= most else f"…{name[len(name) - most + 1 :]}")


def printable(name: str) -> str:
    """A name without characters that no file of text may hold."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
