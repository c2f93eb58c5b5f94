"""Drawings of meshes with matplotlib: light from left to right, port 0 on top.

Small meshes show what is in a cell: waveguides that touch are splitters, boxes are phase shifters. Wide ones show
a cell as one block. Cells of ports that are not neighbours stand in rows of their own, and their waveguides
cross on the way there and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from ..installed import missing
from .base import Windows
from .describe import window_ports

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DETAIL_PORTS, DETAIL_DEPTH = 12, 26
"""Meshes within these bounds are drawn with the inside of their cells."""

COLOURS = {"inside": "#2f6fb3", "phi": "#d9822b", "screen": "#3c9a5f"}
WIRE, BLOCK = "#5b6470", "#cfe0f3"
_BEND = (1 - np.cos(np.linspace(0, np.pi, 13))) / 2


@dataclass
class _Sheet:
    """What is to be drawn: waveguides as chains of points, boxes (x, y of the centre, width, height) by group."""

    wires: list[np.ndarray] = field(default_factory=list)
    boxes: dict[str, list[tuple[float, float, float, float]]] = field(
        default_factory=lambda: {"block": [], "inside": [], "phi": [], "screen": []}
    )
    labels: list[tuple[float, float, str]] = field(default_factory=list)

    def wire(self, x: float, y: float, to_x: float, to_y: float) -> None:
        """A waveguide, bent smoothly where it changes rows."""
        if y == to_y:
            self.wires.append(np.array([[x, y], [to_x, to_y]]))
        else:
            along = np.linspace(0, 1, len(_BEND))
            self.wires.append(np.stack([x + (to_x - x) * along, y + (to_y - y) * _BEND], axis=1))


def draw(mesh: Windows) -> Figure:
    """The mesh as a matplotlib figure; ``figure.savefig`` writes it.

    Raises:
        LightloomError: matplotlib is not installed (it comes with the ``demo`` extra).
    """
    try:
        from matplotlib.collections import LineCollection, PatchCollection
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch, Rectangle
    except ImportError as error:
        raise missing("drawing a mesh", "matplotlib", "demo") from error
    detailed = mesh.ports <= DETAIL_PORTS and mesh.depth <= DETAIL_DEPTH
    sheet, windows, width = _lay_out(mesh, detailed)
    row_in = 0.55 if detailed else 0.2
    figure = Figure(
        figsize=(max(6.5, (0.9 if detailed else 0.21) * width + 1.4), row_in * (mesh.ports + 1) + 1.3), layout="tight"
    )
    axes = figure.add_subplot()
    axes.add_collection(LineCollection(sheet.wires, colors=WIRE, linewidths=1.3 if detailed else 0.8, zorder=1))
    styles = {"block": (BLOCK, COLOURS["inside"]), **{name: (colour, colour) for name, colour in COLOURS.items()}}
    for name, boxes in sheet.boxes.items():
        patches = [Rectangle((x - w / 2, y - h / 2), w, h) for x, y, w, h in boxes]
        face, edge = styles[name]
        axes.add_collection(PatchCollection(patches, facecolor=face, edgecolor=edge, linewidths=0.7, zorder=2))
    for x, y, text in sheet.labels:
        axes.text(x, y, text, ha="center", va="center", fontsize=7, color=WIRE, zorder=3)
    _label_axes(axes, mesh, windows, width)
    used = [("block", "cell"), ("inside", "/".join(mesh.kind.phases)), ("phi", "phi"), ("screen", "screen")]
    handles = [
        Patch(facecolor=styles[name][0], edgecolor=styles[name][1], label=text)
        for name, text in used
        if sheet.boxes[name]
    ]
    if handles:
        figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=8)
        figure.subplots_adjust(bottom=0.2)
    return figure


def draw_svg(mesh: Windows) -> str:
    """The drawing as SVG text, the same for the same mesh.

    Raises:
        InputError: as :func:`draw`.
    """
    figure = draw(mesh)
    import matplotlib

    text = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "lightloom", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _lay_out(mesh: Windows, detailed: bool) -> tuple[_Sheet, list[float], float]:
    """Everything in place: the sheet, the middle of every window, and the width of all; rows go down from 0."""
    sheet, middles, x, number = _Sheet(), [], 0.0, 0
    phi = set(mesh.phi_cells.tolist())
    for uppers, lowers in window_ports(mesh):
        rows = _rows(mesh.ports, uppers.tolist(), lowers.tolist())
        crossing = 0.0
        if (rows != np.arange(mesh.ports)).any():
            crossing = 0.4 + 0.12 * float(np.abs(rows - np.arange(mesh.ports)).max())
        for port in range(mesh.ports if crossing else 0):
            sheet.wire(x, -port, x + crossing, -rows[port])
            sheet.wire(x + crossing + 1, -rows[port], x + 2 * crossing + 1, -port)
        start = x + crossing
        passing = set(range(mesh.ports)) - {*uppers.tolist(), *lowers.tolist()}
        for port in passing:
            sheet.wire(start, -rows[port], start + 1, -rows[port])
        for upper in uppers.tolist():
            cell = _inside if detailed else _block
            cell(sheet, mesh, start, -float(rows[upper]), number in phi)
            if detailed:
                sheet.labels.append((start + 0.5, -float(rows[upper]) - 0.5, str(number)))
            number += 1
        middles.append(start + 0.5)
        x = start + 1 + crossing
    for port in range(mesh.ports):
        sheet.wire(-0.3, -port, 0, -port)
        sheet.wire(x, -port, x + 0.7, -port)
    for port in mesh.screen_ports.tolist():
        sheet.boxes["screen"].append((x + 0.3, -port, 0.24, 0.36))
    return sheet, middles, x + 0.7


def _rows(ports: int, uppers: list[int], lowers: list[int]) -> np.ndarray:
    """The row where each port runs through a window: the two ports of a cell in neighbouring rows."""
    partner = dict(zip(uppers, lowers, strict=True))
    order = []
    for port in range(ports):
        if port in partner:
            order += [port, partner[port]]
        elif port not in lowers:
            order.append(port)
    rows = np.empty(ports, dtype=np.int64)
    rows[order] = np.arange(ports)
    return rows


def _inside(sheet: _Sheet, mesh: Windows, x: float, y: float, phi: bool) -> None:
    """A cell of width 1 on rows y and y - 1, with its splitters and shifters."""
    two = mesh.cell_splitters == 2
    bends = (0.34, 0.82) if two else (0.74,)
    at = 0.0
    for centre in bends:
        for row, touch in ((y, y - 0.46), (y - 1, y - 0.54)):
            sheet.wire(x + at, row, x + centre - 0.14, row)
            sheet.wire(x + centre - 0.14, row, x + centre - 0.02, touch)
            sheet.wire(x + centre - 0.02, touch, x + centre + 0.02, touch)
            sheet.wire(x + centre + 0.02, touch, x + centre + 0.14, row)
        at = centre + 0.14
    for row in (y, y - 1):
        sheet.wire(x + at, row, x + 1, row)
    inner = x + (0.58 if two else 0.38)
    for arm in range(len(mesh.kind.phases)):
        sheet.boxes["inside"].append((inner, y - arm, 0.15, 0.28))
    if phi:
        sheet.boxes["phi"].append((x + 0.1, y, 0.13, 0.28))


def _block(sheet: _Sheet, mesh: Windows, x: float, y: float, phi: bool) -> None:
    """A cell of width 1 on rows y and y - 1 as a block."""
    for row in (y, y - 1):
        sheet.wire(x, row, x + 1, row)
    sheet.boxes["block"].append((x + 0.55, y - 0.5, 0.6, 1.44))
    for arm in range(len(mesh.kind.phases)):
        sheet.boxes["inside"].append((x + 0.55, y - arm, 0.3, 0.3))
    if phi:
        sheet.boxes["phi"].append((x + 0.12, y, 0.18, 0.3))


def _label_axes(axes, mesh: Windows, windows: list[float], width: float) -> None:
    """Port numbers at the left, window numbers on top, the facts as title."""
    step = 1 if mesh.ports <= 32 else 4
    rows = range(0, mesh.ports, step)
    axes.set_yticks([-row for row in rows], [str(row) for row in rows])
    every = max(1, round(len(windows) / 32))
    axes.set_xticks(windows[::every], [str(window) for window in range(0, len(windows), every)])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=8)
    axes.set_ylabel("port")
    axes.set_title(
        f"{mesh.topology}, {mesh.ports} ports: {mesh.cells} cells, {mesh.depth} windows, {mesh.phases} phases",
        fontsize=10,
    )
    axes.set_xlim(-0.3, width)
    axes.set_ylim(-mesh.ports + 0.2, 0.8)
    for spine in axes.spines.values():
        spine.set_visible(False)
