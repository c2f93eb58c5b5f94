"""What happened, counted: configurations, shots, samples, bytes. Energy is a price list over these counts.

One stream of V vectors through a tile with r active rows and c active columns (edge tiles have fewer than
``ports``) is ``V * shots`` windows, ``V * rails * c`` DAC samples (a modulator sample each) and
``V * rails * r`` ADC samples (a detector sample each), each of which is scaled and accumulated digitally
once. A configuration writes every phase shifter of both meshes and every attenuator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .program import BankSpec, HostStep, ProductStep, ProgramBody, RecurrentStep, StepCost, TileBank
from .targets.schema import MeshSpec, Target
from .widths import HOST_BYTES, number_bytes, settings_per_tile

if TYPE_CHECKING:
    from .schedule import Schedule


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of a run, or of a part of one. Counts add: ``a + b``, ``sum(parts, Counts())``.

    ``tile_vectors``: vectors sent through tiles (one vector through two tiles counts two); ``shots``:
    windows of light; ``accumulations``: digital results of the chip (scaled ADC samples and biases);
    ``host_macs`` and ``host_elements``: multiply-accumulates and output elements of host ops.
    """

    configures: int = 0
    phases_written: int = 0
    tile_vectors: int = 0
    shots: int = 0
    dac_samples: int = 0
    adc_samples: int = 0
    accumulations: int = 0
    memory_bytes: int = 0
    host_macs: int = 0
    host_elements: int = 0

    def __add__(self, other: Counts) -> Counts:
        names = [item.name for item in dataclasses.fields(Counts)]
        return Counts(*(getattr(self, name) + getattr(other, name) for name in names))

    def to_dict(self) -> dict[str, int]:
        """Counts by name."""
        return dataclasses.asdict(self)


def total(parts: Iterable[Counts]) -> Counts:
    """Sum of counts."""
    return sum(parts, Counts())


def tile_sizes(extent: int, tile: int) -> tuple[int, ...]:
    """Sizes of the tiles that cut an extent, the last one possibly smaller: ``(10, 4) -> (4, 4, 2)``."""
    return tuple(min(tile, extent - start) for start in range(0, extent, tile))


def active_rows(bank: TileBank) -> np.ndarray:
    """Outputs that each tile of a bank really has, int64 (T,): ``ports`` but at the lower edge.

    A packed tile is read out only where one of its blocks lies, unless a shift lights every row.
    """
    if bank.spec.blocks > 1 and "shift" not in bank.columns:
        (top, bottom), _, _ = _overlaps(bank)
        return bottom - top
    return np.minimum(bank.spec.ports, bank.spec.rows - bank.columns["row"].astype(np.int64) * bank.spec.ports)


def active_cols(bank: TileBank) -> np.ndarray:
    """Inputs that each tile of a bank really has, int64 (T,): ``ports`` but at the right edge."""
    return np.minimum(bank.spec.ports, bank.spec.cols - bank.columns["col"].astype(np.int64) * bank.spec.ports)


def tile_weights(bank: TileBank) -> np.ndarray:
    """Weights that each tile of a bank holds, int64 (T,): the zeros between packed blocks do not count."""
    if bank.spec.blocks == 1:
        return active_rows(bank) * active_cols(bank)
    rows, cols = bank.spec.block_shape
    (top, bottom), (left, right), (first, last) = _overlaps(bank)
    found = np.zeros(bank.spec.tiles, np.int64)
    for step in range(int((last - first).max(initial=0))):  # the blocks that one tile can meet: few
        block = first + step
        high = np.minimum(bottom, (block + 1) * rows) - np.maximum(top, block * rows)
        wide = np.minimum(right, (block + 1) * cols) - np.maximum(left, block * cols)
        found += np.where(block < last, np.maximum(high, 0) * np.maximum(wide, 0), 0)
    return found


def _overlaps(bank: TileBank) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Of each tile of a packed bank: rows that hold weights, columns, and the blocks it meets, each as (from, to)."""
    spec, n = bank.spec, bank.spec.ports
    rows, cols = spec.block_shape
    top, left = (bank.columns[name].astype(np.int64) * n for name in ("row", "col"))
    bottom, right = np.minimum(top + n, spec.rows), np.minimum(left + n, spec.cols)
    first = np.maximum(top // rows, left // cols)
    last = np.minimum(-(-bottom // rows), -(-right // cols))
    return (np.maximum(top, first * rows), np.minimum(bottom, last * rows)), (left, right), (first, last)


def configure_counts(spec: MeshSpec | BankSpec, tiles: int) -> Counts:
    """Counts of configuring ``tiles`` tiles: every setting is read from memory and written once."""
    settings = tiles * settings_per_tile(spec)
    return Counts(
        configures=tiles,
        phases_written=settings,
        memory_bytes=settings * number_bytes(spec.phase_bits),
    )


def stream_counts(target: Target, vectors: int, rows: int, cols: int) -> Counts:
    """Counts of streaming, from sums over the tiles: ``vectors`` of tile vectors, ``rows`` of active rows
    times vectors, ``cols`` of active columns times vectors. For one tile: ``(V, V * r, V * c)``.

    Memory: each input number is read once at the DAC's width, each ADC sample written at the ADC's width.
    """
    rails = target.encoding.rails
    samples = rails * rows
    return Counts(
        tile_vectors=vectors,
        shots=vectors * target.encoding.shots,
        dac_samples=rails * cols,
        adc_samples=samples,
        accumulations=samples,
        memory_bytes=cols * number_bytes(target.encoding.dac_bits) + samples * number_bytes(target.detection.adc_bits),
    )


def host_counts(cost: StepCost, batch: int) -> Counts:
    """Counts of a host op: its elements are written once and read once."""
    return Counts(
        host_macs=batch * cost.macs,
        host_elements=batch * cost.elements,
        memory_bytes=2 * HOST_BYTES * batch * cost.elements,
    )


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Counts and core time of one step, configuration and execution apart."""

    configuration: Counts
    execution: Counts
    configure_s: float
    stream_s: float

    @property
    def all(self) -> Counts:
        """Configuration and execution together."""
        return self.configuration + self.execution


def step_counts(body: ProgramBody, schedule: Schedule) -> dict[str, StepCounts]:
    """Counts of every step of a scheduled run, by step name, in program order."""
    found: dict[str, StepCounts] = {}
    seconds = schedule.end_s - schedule.start_s
    for step, events in zip(body.steps, schedule.by_step, strict=True):
        cost = body.costs[step.name]
        if isinstance(step, HostStep):
            found[step.name] = StepCounts(Counts(), host_counts(cost, schedule.batch), 0.0, 0.0)
            continue
        if isinstance(step, ProductStep):
            found[step.name] = _product_counts(body, schedule, step, events)
            continue
        kinds = schedule.kind[events]
        configures, streams = events[kinds == 0], events[kinds == 1]
        configuration, execution = Counts(), Counts()
        first = 0  # of the tiles of a bank, counted through all banks of the step
        for name in step.banks:
            bank = body.banks[name]
            own = [rows[_between(schedule.tile[rows], first, bank.spec.tiles)] for rows in (configures, streams)]
            configuration += configure_counts(bank.spec, len(own[0]))
            execution += window_counts(body, name, schedule.tile[own[1]] - first, schedule.vectors[own[1]])
            first += bank.spec.tiles
        if step.bias is not None:
            spec = body.banks[step.bank].spec
            execution += Counts(accumulations=schedule.batch * cost.vectors * spec.groups * spec.rows)
        if isinstance(step, RecurrentStep):
            execution += host_counts(StepCost(0, 0, cost.elements), schedule.batch)
        found[step.name] = StepCounts(
            configuration,
            execution,
            float(seconds[configures].sum()),
            float(seconds[streams].sum()),
        )
    return found


def _product_counts(body: ProgramBody, schedule: Schedule, step: ProductStep, events: np.ndarray) -> StepCounts:
    """Counts of a product of two computed values, whose tiles are counted on from sample to sample."""
    seconds = schedule.end_s - schedule.start_s
    kinds = schedule.kind[events]
    configures, streams = events[kinds == 0], events[kinds == 1]
    spec = body.banks[step.bank].spec
    factors = host_counts(StepCost(0, 0, body.costs[step.name].elements), schedule.batch)
    rows = schedule.tile[streams] % max(spec.tiles, 1)
    execution = window_counts(body, step.bank, rows, schedule.vectors[streams]) + factors
    times = (float(seconds[configures].sum()), float(seconds[streams].sum()))
    return StepCounts(configure_counts(spec, len(configures)), execution, *times)


def window_counts(body: ProgramBody, bank: str, tiles: np.ndarray, vectors: np.ndarray) -> Counts:
    """Counts of windows of ``vectors`` (W,) through ``tiles`` (W,) of a bank."""
    table = body.banks[bank]
    return stream_counts(
        body.target_for(bank),
        int(vectors.sum()),
        int((vectors * active_rows(table)[tiles]).sum()),
        int((vectors * active_cols(table)[tiles]).sum()),
    )


def _between(values: np.ndarray, first: int, count: int) -> np.ndarray:
    return (values >= first) & (values < first + count)


def run_counts(body: ProgramBody, schedule: Schedule) -> Counts:
    """Counts of the whole scheduled run."""
    return total(step.all for step in step_counts(body, schedule).values())
