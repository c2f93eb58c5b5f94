"""Times of events, and the latency of a scheduled program.

- a stream of V vectors through a tile: ``pipeline_latency_s + V * shots * window_s``
- a tile's configuration: ``reconfigure_s``
- a host op: ``(macs + elements) / host_ops_per_s``
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .report.tables import Column, Table, percent, si
from .targets.schema import Target

if TYPE_CHECKING:
    from .program import ProgramBody
    from .schedule import Schedule


def stream_s(target: Target, vectors: int) -> float:
    """Seconds to send ``vectors`` vectors through a configured tile, first shot in to last number out."""
    if not vectors:
        return 0.0
    timing = target.timing
    return timing.pipeline_latency_s + vectors * target.encoding.shots * timing.window_s


def vectors_per_s(target: Target) -> float:
    """Vectors that one configured core takes in a second."""
    return 1 / (target.timing.window_s * target.encoding.shots)


def detection_window_s(target: Target, commanded_s: float = 0.0) -> tuple[float, float]:
    """When the detectors of a tile's first window open and close, its weights commanded at ``commanded_s``.

    The symbol starts when the weights have settled. The detectors open a margin after the inputs have, and close after
    their integration, or with the symbol where none is stated.
    """
    timing = target.timing
    start = commanded_s + timing.reconfigure_s
    opens = start + (timing.encode_s or 0.0) + (timing.detector_margin_s or 0.0)
    return opens, start + timing.window_s if timing.integrate_s is None else opens + timing.integrate_s


def spare_s(target: Target) -> float:
    """What settling, margin and integration leave of a window."""
    timing = target.timing
    return timing.window_s - (
        (timing.encode_s or 0.0) + (timing.detector_margin_s or 0.0) + (timing.integrate_s or 0.0)
    )


def host_s(target: Target, macs: int, elements: int) -> float:
    """Seconds that the host takes for an op of so many multiply-accumulates and output elements."""
    return (macs + elements) / target.energy.host_ops_per_s


def peak_ops_per_s(target: Target) -> float:
    """Operations per second (two a multiply-accumulate) with every core streaming full tiles."""
    window = target.timing.window_s * target.encoding.shots
    return 2 * target.mesh.cores * target.mesh.ports**2 / window


@dataclass(frozen=True)
class LatencyReport:
    """Latency of one scheduled run of a batch.

    ``chip_busy_s`` is core time spent configuring and streaming, ``configure_s`` the first part of it; a core with
    two buffers can do both at once: ``core_busy_s`` is the time in which it does either. ``bound`` names what the
    lower bound counts, ``naive_s`` is the time of one core that takes tile after tile.
    """

    batch: int
    makespan_s: float
    lower_bound_s: float
    cores: int
    chip_busy_s: float
    configure_s: float
    host_busy_s: float
    steps: Table
    core_busy_s: float
    bound: str = ""
    naive_s: float = 0.0

    @property
    def ratio(self) -> float:
        """Makespan over its lower bound."""
        return self.makespan_s / self.lower_bound_s if self.lower_bound_s else 1.0

    @property
    def per_inference_s(self) -> float:
        """Makespan over the batch."""
        return self.makespan_s / self.batch

    @property
    def utilization(self) -> float:
        """Share of the cores' time that they configure or stream."""
        return self.core_busy_s / (self.makespan_s * self.cores) if self.makespan_s else 0.0

    def table(self) -> Table:
        """The figures, one a row."""
        rows: list[tuple[str, float, str]] = [
            ("makespan", self.makespan_s, si(self.makespan_s, "s")),
            (
                "lower bound",
                self.lower_bound_s,
                f"{si(self.lower_bound_s, 's')}{f' ({self.bound})' * bool(self.bound)}",
            ),
            ("ratio", self.ratio, f"{self.ratio:.3f}"),
            ("one core, tile by tile", self.naive_s, si(self.naive_s, "s")),
            ("per inference", self.per_inference_s, si(self.per_inference_s, "s")),
            ("core time, configuring", self.configure_s, si(self.configure_s, "s")),
            ("core time, all", self.chip_busy_s, si(self.chip_busy_s, "s")),
            ("core utilization", self.utilization, percent(self.utilization, 1)),
            ("host time", self.host_busy_s, si(self.host_busy_s, "s")),
        ]
        texts = {name: text for name, _, text in rows}
        data = tuple((name, (name, value)) for name, value, _ in rows)
        columns = (Column("figure", "figure"), Column("value", "value", lambda item: texts[item[0]]))
        return Table(columns, data)

    def to_dict(self) -> dict[str, Any]:
        """Figures in SI units, and the table of steps."""
        return {
            "batch": self.batch,
            "makespan_s": self.makespan_s,
            "lower_bound_s": self.lower_bound_s,
            "bound": self.bound,
            "ratio": self.ratio,
            "naive_s": self.naive_s,
            "per_inference_s": self.per_inference_s,
            "cores": self.cores,
            "utilization": self.utilization,
            "chip_busy_s": self.chip_busy_s,
            "core_busy_s": self.core_busy_s,
            "configure_s": self.configure_s,
            "host_busy_s": self.host_busy_s,
            "steps": self.steps.to_dict(),
        }

    def __str__(self) -> str:
        return str(self.table())


def latency(body: ProgramBody, schedule: Schedule) -> LatencyReport:
    """Latency figures of a schedule."""
    seconds = schedule.end_s - schedule.start_s
    on_chip = schedule.core >= 0
    return LatencyReport(
        batch=schedule.batch,
        makespan_s=schedule.makespan_s,
        lower_bound_s=schedule.lower_bound_s,
        cores=body.target.mesh.cores,
        chip_busy_s=float(np.sum(seconds[on_chip])),
        configure_s=float(np.sum(seconds[schedule.kind == 0])),
        host_busy_s=float(np.sum(seconds[~on_chip])),
        steps=schedule.table(),
        core_busy_s=_core_busy_s(schedule) if schedule.buffers > 1 else float(np.sum(seconds[on_chip])),
        bound=schedule.bound,
        naive_s=schedule.naive_s,
    )


def _core_busy_s(schedule: Schedule) -> float:
    """Time in which cores configure or stream: of both at once, one."""
    seconds = 0.0
    rows = np.argsort(schedule.core, kind="stable")
    edges = np.searchsorted(schedule.core[rows], np.arange(int(schedule.core.max(initial=-1)) + 2))
    for first, last in pairwise(edges.tolist()):
        start, end = schedule.start_s[rows[first:last]], schedule.end_s[rows[first:last]]
        before = np.maximum.accumulate(np.append(0.0, end))[:-1]
        seconds += float(np.maximum(end - np.maximum(start, before), 0.0).sum())
    return seconds
