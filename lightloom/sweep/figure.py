"""The figure of a sweep: its points in the plane of two objectives, and the Pareto front among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.installed import missing
from ..runtime.report.tables import si
from .spec import SweepSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from .run import Finished

LABELS: dict[str, tuple[str, Callable[[float], str] | None]] = {
    "latency_s": ("latency of the run", lambda value: si(value, "s", 3)),
    "latency_per_inference_s": ("time per inference", lambda value: si(value, "s", 3)),
    "energy_per_inference_j": ("energy per inference, execution only", lambda value: si(value, "J", 3)),
    "amortised_energy_j": ("energy per inference, configuration included", lambda value: si(value, "J", 3)),
    "energy_per_mac_j": ("energy per MAC", lambda value: si(value, "J", 3)),
    "edp_js": ("energy of the run times latency", lambda value: si(value, "J s", 3)),
    "power_w": ("average power", lambda value: si(value, "W", 3)),
    "peak_power_w": ("peak power", lambda value: si(value, "W", 3)),
    "tops": ("throughput", lambda value: si(1e12 * value, "op/s", 3)),
    "tops_per_w": ("efficiency", lambda value: si(1e12 * value, "op/s/W", 3)),
    "area_m2": ("area", lambda value: f"{1e6 * value:.3g} mm\N{SUPERSCRIPT TWO}"),
    "tops_per_mm2": ("throughput by area", lambda value: si(1e12 * value, "op/s/mm\N{SUPERSCRIPT TWO}", 3)),
    "tiles": ("tiles", None),
    "utilization": ("share of the meshes' cells that hold weights", None),
    "accuracy": ("accuracy", None),
}
"""What each metric is called at an axis, and how its values are written."""

FIGURES = ("pareto.svg", "pareto.png")
"""Files of a figure."""

NUMBERED = 24
"""Points of a front that are numbered; more would cover one another."""

APART = 10.0
"""Points of the figure, 1/72 inch or so, between two that have a number each."""


def figure(
    spec: SweepSpec, inside: Sequence[Finished], beyond: Sequence[Finished], front: Sequence[Finished], folder: Path
) -> list[Path]:
    """Write the figure.

    Args:
        spec: A sweep of two objectives.
        inside: Points within the limits. beyond: points that have both objectives but break a limit.
        front: The Pareto front, in the order of the first objective; numbered from 1 in that order.

    Raises:
        LightloomError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing("figures", "matplotlib", "demo") from error
    across, up = spec.objectives
    chart = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = chart.add_subplot()

    def places(items: Sequence[Finished]) -> tuple[list[float], list[float]]:
        return [item.metrics[across] for item in items], [item.metrics[up] for item in items]

    if beyond:
        axes.scatter(*places(beyond), s=18, marker="x", lw=0.8, color="#c9a7a7", label=f"beyond limits ({len(beyond)})")
    axes.scatter(*places(inside), s=20, color="#9aa6b5", lw=0, alpha=0.75, label=f"points ({len(inside)})")
    # what the front reaches: from one point on, nothing better until the next
    axes.step(*places(front), where="post", color="#1f6fd1", lw=1.4)
    axes.scatter(*places(front), s=36, color="#1f6fd1", zorder=3, label=f"Pareto front ({len(front)})")
    for axis, name in ((axes.xaxis, across), (axes.yaxis, up)):
        values = [item.metrics[name] for item in (*inside, *beyond)]
        if min(values) > 0 and max(values) > 8 * min(values):
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
        _dress(axis, name, values)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    if len(front) <= NUMBERED:
        _number(axes, list(zip(*places(front), strict=True)))
    axes.set_title(f"{spec.model} from {spec.target}: {len(inside) + len(beyond)} points", fontsize=11)
    paths = [folder / name for name in FIGURES]
    for path in paths:
        chart.savefig(path, dpi=150)
    return paths


def _number(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Number the points of a front; neighbours that lie on one another share a label."""
    axes.get_figure().draw_without_rendering()  # type: ignore[union-attr]
    shown = axes.transData.transform(points)
    first = 0
    for last in range(len(points)):
        ends = last + 1 == len(points) or max(abs(shown[last + 1] - shown[first])) > APART
        if ends:
            text = str(first + 1) if first == last else f"{first + 1}-{last + 1}"
            axes.annotate(text, points[first], (4, 4), textcoords="offset points", fontsize=8, color="#17508f")
            first = last + 1


def _dress(axis: Axis, name: str, values: Sequence[float]) -> None:
    """Ticks and label of an axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    label, text = LABELS[name]
    axis.set_label_text(label)
    if axis.get_scale() == "log":
        few = max(values) < 100 * min(values)
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=12))
        axis.set_minor_formatter(NullFormatter())
    if text is not None:
        axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
