"""What the demo shows: the table in the terminal, and the page."""

from __future__ import annotations

from .demo import Demo, Row
from .runtime.report.figures import bar_chart, line_chart
from .runtime.report.html import HtmlTable, Section, page
from .runtime.report.tables import aligned, si
from .runtime.report.text import assumptions
from .runtime.targets import Target

HEADER = ("chip", "accuracy", "vs float", "energy", "latency", "tiles", "utilisation")


def cells(row: Row, exact: Row) -> list[str]:
    """A row of the table as text."""
    change = 100 * (row.accuracy - exact.accuracy)
    return [
        row.name,
        f"{row.accuracy:.1%}",
        "" if row is exact else f"{change:+.1f}" if change else "0.0",
        "" if row.energy_j is None else si(row.energy_j, "J", 3),
        "" if row.latency_s is None else si(row.latency_s, "s", 3),
        "" if row.tiles is None else str(row.tiles),
        "" if row.utilization is None else f"{row.utilization:.0%}",
    ]


def notes(demo: Demo) -> list[str]:
    """How to read the table, one sentence a line."""
    found = [f"{row.name}: {row.what}." for row in demo.rows]
    stay = "its tiles stay on the chip" if demo.resident else "its tiles take turns on the chip"
    return [
        *found,
        f"Accuracy on {demo.images} test images, its change in percentage points. Energy and latency per inference, "
        f"in a batch of {demo.images}, programming the tiles included.",
        f"An image alone takes {si(demo.alone_s, 's', 3)} and {si(demo.alone_j, 'J', 3)}: {stay}.",
        "Energy per sample is the preset's in every row; converters are not priced anew for fewer bits.",
    ]


def terminal_table(demo: Demo) -> str:
    """The demo's table for a terminal, as wide as its numbers need."""
    rows = [cells(row, demo.rows[0]) for row in demo.rows]
    return f"Digits CNN on {demo.target}\n\n{aligned(HEADER, rows)}\n"


def html_page(demo: Demo) -> str:
    """The demo's page: the same table, two figures, the layers and the chip's assumptions."""
    exact = demo.rows[0]
    program = demo.program
    layers = program.explain().layers
    layer_rows = [
        [
            ", ".join(layer.layers),
            f"{layer.rows} x {layer.cols}",
            f"{layer.grid[0]} x {layer.grid[1]}",
            str(layer.tiles),
            f"{layer.utilization:.0%}",
            str(layer.vectors_per_sample),
        ]
        for layer in layers
    ]
    target = program.target
    parts = {
        part: {"streaming the images": entry["streaming"], "programming the tiles": entry["programming"]}
        for part, entry in demo.parts.items()
    }
    sections = [
        Section(
            "Accuracy, energy and latency",
            table=HtmlTable(HEADER, [cells(row, exact) for row in demo.rows]),
            notes=notes(demo),
        ),
        Section(
            "Accuracy against bits",
            "How many bits each part of the chip needs. Each line changes the resolution of some parts and leaves "
            f"the others as {demo.target} has them. Detector noise is off.",
            figure=line_chart(
                demo.sweeps,
                title="Accuracy on the test images against the resolution in bits",
                x_label="resolution in bits",
                y_label="accuracy",
                reference=("float32", exact.accuracy),
            ),
        ),
        Section(
            "Energy by part",
            f"Joules per inference in a batch of {demo.images}, on a logarithmic axis. Streaming is paid for every "
            "image, programming once a batch.",
            figure=bar_chart(
                parts, title="Energy per inference by part of the chip", unit="J", axis="energy per inference"
            ),
        ),
        Section(
            "Layers on the chip",
            table=HtmlTable(("layer", "matrix", "grid", "tiles", "utilisation", "vectors per image"), layer_rows),
        ),
        Section(
            f"The numbers of {demo.target} and where they come from",
            table=HtmlTable(("number", "kind", "source"), _numbers(target), left=3),
            folded=True,
        ),
    ]
    tiles, ports = demo.rows[2].tiles, target.mesh.ports
    lead = (
        "A small convolutional network, trained on scikit-learn's Digits, compiled to "
        f"{tiles} tiles of {ports} x {ports} and simulated on {demo.images} images it has not seen."
    )
    return page(f"Digits on a photonic chip: {demo.target}", lead, sections)


def _numbers(target: Target) -> list[list[str]]:
    """Every number of the target: value, kind, source."""
    rows: list[list[str]] = []
    kind = ""
    for line in assumptions(target).splitlines():
        if line.startswith("  "):
            number, _, source = line.strip().partition(": ")
            rows.append([number, kind, source])
        else:
            kind = line.split()[0].rstrip(":").lower()
    return rows
