"""Times of events, and the latency of a scheduled program.

- a stream of V vectors through a tile: ``pipeline_latency_s + ceil(V * shots / lanes) * window_s``, or longer where the
  core's share of the memory's bandwidth does not keep up (:func:`stream_s`)
- a tile's configuration: ``reconfigure_s``, or ``update_s`` where the buffer holds a setting already; or longer where
  its settings do not arrive as fast (:func:`configure_s`)
- a move over the link: ``latency_s + bytes / bytes_per_s``
- a host op: ``(macs + elements) / host_ops_per_s``
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..report.tables import Column, Table, percent, si
from ..targets.schema import Target
from ..widths import number_bytes, settings_per_tile

if TYPE_CHECKING:
    from ..program import ProductStep, ProgramBody
    from .schedule import Schedule


def stream_s(target: Target, vectors: int) -> float:
    """Seconds to send ``vectors`` vectors through a configured tile, first shot in to last number out.

    The light takes a window for every ``lanes`` shots. Where the SRAM's bandwidth is stated, its share of one core must
    carry the inputs and readings of a full tile meanwhile; the slower of the two counts.
    """
    if not vectors:
        return 0.0
    timing, memory = target.timing, target.memory
    light = -(-vectors * target.encoding.shots // target.encoding.lanes) * timing.window_s
    if memory.sram_bytes_per_s is not None:
        share = memory.sram_bytes_per_s / target.mesh.cores
        light = max(light, vectors * vector_bytes(target) / share)
    return timing.pipeline_latency_s + light


def vector_bytes(target: Target) -> int:
    """Bytes that one vector through a full tile moves: its numbers at the DAC's width, its readings at the ADC's."""
    encoding = target.encoding
    per_port = number_bytes(encoding.dac_bits) + encoding.rails * number_bytes(target.detection.adc_bits)
    return target.mesh.ports * per_port


@dataclass(frozen=True, slots=True)
class ConfigureTimes:
    """Seconds of a configuration: ``first_s`` of an empty buffer, ``later_s`` of one that holds a setting."""

    first_s: float
    later_s: float


def configure_s(body: ProgramBody) -> ConfigureTimes:
    """How long a program's configurations take: the drivers and settling, or the way from the memory if it is longer.

    A program whose settings do not fit into ``memory.sram_bytes`` reads them from DRAM for every configuration.
    """
    target = body.target
    timing = target.timing
    arrive = tile_setting_bytes(target) * target.mesh.cores / settings_bytes_per_s(body)
    later = timing.reconfigure_s if timing.update_s is None else timing.update_s
    return ConfigureTimes(max(timing.reconfigure_s, arrive), max(later, arrive))


def tile_setting_bytes(target: Target) -> int:
    """Bytes of the settings of one tile."""
    return settings_per_tile(target.mesh) * number_bytes(target.mesh.phase_bits)


def spills(body: ProgramBody) -> bool:
    """Whether a program's settings do not fit into the chip's SRAM, so that they are read from DRAM."""
    capacity = body.target.memory.sram_bytes
    if capacity is None:
        return False
    tiles = sum(bank.spec.tiles for bank in body.banks.values() if not bank.spec.dynamic)
    return tiles * tile_setting_bytes(body.target) > capacity


def settings_bytes_per_s(body: ProgramBody) -> float:
    """Rate at which settings reach all cores together; infinite where the memory's bandwidth is not stated."""
    memory = body.target.memory
    rate = memory.dram_bytes_per_s if spills(body) else memory.sram_bytes_per_s
    return math.inf if rate is None else rate


def move_s(target: Target, count: int) -> float:
    """Seconds of moving ``count`` bytes over the link between host and chip; 0 without a link or without bytes."""
    link = target.link
    if not link.present or not count:
        return 0.0
    return (link.latency_s or 0.0) + (0.0 if link.bytes_per_s is None else count / link.bytes_per_s)


def vectors_per_s(target: Target) -> float:
    """Vectors that one configured core takes in a second."""
    return target.encoding.lanes / (target.timing.window_s * target.encoding.shots)


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


def factor_s(body: ProgramBody, step: ProductStep, batch: int) -> float:
    """Seconds that the host takes to factorise the matrices of a batch."""
    return host_s(body.target, 0, batch * body.costs[step.name].elements)


def peak_ops_per_s(target: Target) -> float:
    """Operations per second (two a multiply-accumulate) with every core streaming full tiles."""
    return 2 * target.mesh.cores * target.mesh.ports**2 * vectors_per_s(target)


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
    link_busy_s: float = 0.0

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
            ("link time", self.link_busy_s, si(self.link_busy_s, "s")),
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
            "link_busy_s": self.link_busy_s,
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
        host_busy_s=float(np.sum(seconds[schedule.kind == 2])),
        steps=schedule.table(),
        core_busy_s=_core_busy_s(schedule) if schedule.buffers > 1 else float(np.sum(seconds[on_chip])),
        bound=schedule.bound,
        naive_s=schedule.naive_s,
        link_busy_s=float(np.sum(seconds[schedule.kind == 3])),
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
