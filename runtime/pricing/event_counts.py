"""What one event does, counted: a configuration, a stream, a host op, a move.

One stream of V vectors through a tile with r active rows and c active columns (edge tiles have fewer than
``ports``) is ``V * shots`` shots of light, ``V * rails * c`` DAC samples (a modulator sample each) and
``V * rails * r`` ADC samples (a detector sample each), each of which is scaled and accumulated digitally
once. What it asks of the memories depends on the dataflow:

========  =======================================================  =====================================================
dataflow  SRAM                                                     input buffer and accumulators, beside the core
========  =======================================================  =====================================================
weight    V c inputs read, V rails r readings written              nothing
output    V c inputs read; behind the last tile of a grid row      every reading: a sum read and written, 4 bytes each
          its V r sums written, 4 bytes each
input     V rails r readings written; before the first tile of a   V c inputs written by the first tile of a grid
          grid column its V c inputs read                          column as they come, and read by its other tiles
========  =======================================================  =====================================================

Inputs are as wide as the DAC, readings as the ADC, in whole bytes. A configuration reads every setting of a tile from
memory, and writes every phase shifter of both meshes and every attenuator, or those that change (``mesh.writes``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..program import BankSpec, ProductStep, ProgramBody, StepCost
from ..scheduling.plan import Dataflow
from ..targets.schema import MeshSpec, Target
from ..widths import HOST_BYTES, number_bytes, settings_per_tile
from .occupancy import active_cols, active_rows, chain_ends


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of a run, or of a part of one. Counts add: ``a + b``, ``sum(parts, Counts())``.

    ``phases_written``: settings, attenuators included; ``tile_vectors``: vectors sent through tiles (one vector
    through two tiles counts two); ``shots``: of light, of which ``encoding.lanes`` share a window; ``accumulations``:
    digital results of the chip (scaled ADC samples and biases); ``host_macs`` and ``host_elements``:
    multiply-accumulates and output elements of host ops. Bytes: ``memory_bytes`` through the chip's SRAM,
    ``local_bytes`` of input buffers and accumulators, ``dram_bytes``, ``link_bytes`` between host and chip.
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
    local_bytes: int = 0
    dram_bytes: int = 0
    link_bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        names = [item.name for item in dataclasses.fields(Counts)]
        return Counts(*(getattr(self, name) + getattr(other, name) for name in names))

    def to_dict(self) -> dict[str, int]:
        """Counts by name."""
        return dataclasses.asdict(self)


def total(parts: Iterable[Counts]) -> Counts:
    """Sum of counts."""
    return sum(parts, Counts())


def configure_counts(
    spec: MeshSpec | BankSpec, tiles: int, *, written: int | None = None, from_dram: bool = False
) -> Counts:
    """Counts of configuring ``tiles`` tiles: every setting is read from memory once, and written once.

    Args:
        written: settings written, where only those that change are; all if not given.
        from_dram: whether the settings come from DRAM, through the SRAM: see :func:`..scheduling.latency.spills`.
    """
    settings = tiles * settings_per_tile(spec)
    read = settings * number_bytes(spec.phase_bits)
    return Counts(
        configures=tiles,
        phases_written=settings if written is None else written,
        memory_bytes=read,
        dram_bytes=read if from_dram else 0,
    )


def stream_counts(
    target: Target, vectors: int, rows: int, cols: int, dataflow: Dataflow = "weight", ends: int = 0
) -> Counts:
    """Counts of streaming, from sums over the tiles: ``vectors`` of tile vectors, ``rows`` of active rows
    times vectors, ``cols`` of active columns times vectors. For one tile: ``(V, V * r, V * c)``.

    ``ends``: numbers that come or go with the ends of chains, :func:`.occupancy.chain_ends` times vectors.
    """
    rails = target.encoding.rails
    samples = rails * rows
    inputs, readings = number_bytes(target.encoding.dac_bits), number_bytes(target.detection.adc_bits)
    if dataflow == "output":
        memory, local = cols * inputs + ends * HOST_BYTES, 2 * HOST_BYTES * samples
    elif dataflow == "input":
        memory, local = ends * inputs + samples * readings, cols * inputs
    else:
        memory, local = cols * inputs + samples * readings, 0
    return Counts(
        tile_vectors=vectors,
        shots=vectors * target.encoding.shots,
        dac_samples=rails * cols,
        adc_samples=samples,
        accumulations=samples,
        memory_bytes=memory,
        local_bytes=local,
    )


def host_counts(cost: StepCost, batch: int) -> Counts:
    """Counts of a host op: its elements are written once and read once."""
    return Counts(
        host_macs=batch * cost.macs,
        host_elements=batch * cost.elements,
        memory_bytes=2 * HOST_BYTES * batch * cost.elements,
    )


def window_counts(
    body: ProgramBody, bank: str, tiles: np.ndarray, vectors: np.ndarray, dataflow: Dataflow = "weight"
) -> Counts:
    """Counts of streams of ``vectors`` (W,) through ``tiles`` (W,) of a bank."""
    table = body.banks[bank]
    return stream_counts(
        body.target_for(bank),
        int(vectors.sum()),
        int((vectors * active_rows(table)[tiles]).sum()),
        int((vectors * active_cols(table)[tiles]).sum()),
        dataflow,
        int((vectors * chain_ends(table, dataflow)[tiles]).sum()),
    )


def factor_counts(body: ProgramBody, step: ProductStep, batch: int) -> Counts:
    """Counts of factorising the matrices of a batch."""
    return host_counts(StepCost(0, 0, body.costs[step.name].elements), batch)
