"""Times of events, and the latency of a scheduled program.

- a stream of V vectors through a tile: ``pipeline_latency_s + V * shots * window_s``
- a tile's configuration: ``reconfigure_s``
- a host op: ``(macs + elements) / host_ops_per_s``
"""

from __future__ import annotations

from dataclasses import dataclass
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

    ``chip_busy_s`` is core time spent configuring and streaming, ``configure_s`` the first part of it.
    """

    batch: int
    makespan_s: float
    lower_bound_s: float
    cores: int
    chip_busy_s: float
    configure_s: float
    host_busy_s: float
    steps: Table

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
        return self.chip_busy_s / (self.makespan_s * self.cores) if self.makespan_s else 0.0

    def table(self) -> Table:
        """The figures, one a row."""
        rows: list[tuple[str, float, str]] = [
            ("makespan", self.makespan_s, si(self.makespan_s, "s")),
            ("lower bound", self.lower_bound_s, si(self.lower_bound_s, "s")),
            ("ratio", self.ratio, f"{self.ratio:.3f}"),
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
            "ratio": self.ratio,
            "per_inference_s": self.per_inference_s,
            "cores": self.cores,
            "utilization": self.utilization,
            "chip_busy_s": self.chip_busy_s,
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
    )
