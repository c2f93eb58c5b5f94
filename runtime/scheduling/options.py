"""The ways in which a matrix step can be dealt, with what each takes: seconds, configurations, joules that differ.

Estimates, on idle cores: which of them are best together only a deal of the whole program shows, see :mod:`.planning`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import TargetError, complaint
from ..pricing.counts import active_cols, active_rows
from ..program import MatrixStep, ProgramBody
from ..targets.schema import Target
from ..widths import HOST_BYTES, number_bytes, settings_per_tile
from .latency import configure_s, spills, stream_s, tile_setting_bytes
from .plan import DATAFLOWS, Dataflow, StepPlan

GAIN = 0.01
"""More blocks than another plan has must save this share of its time."""

ROWS_PER_CORE = 64
"""Streams of one step, for each core, up to which tiles are cut into blocks only to level the cores."""


@dataclass(frozen=True, slots=True)
class Option:
    """A plan of a step. ``stream_s``: of the core that streams most; ``configures``: of all cores; ``joules``: of what
    differs from plan to plan, memories and configurations."""

    plan: StepPlan
    stream_s: float
    configures: int
    joules: float


def fixed(body: ProgramBody, step: MatrixStep, dataflow: Dataflow, batch: int) -> StepPlan:
    """A step's plan in a dataflow that is asked for: as few blocks as there can be.

    Raises: TargetError where the memory beside a core holds no vector.
    """
    vectors = max(batch * body.costs[step.name].vectors, 1)
    block = largest_block(body, step, dataflow)
    if block == 0:
        name, what = _MEMORY[dataflow]
        got = getattr(body.target.memory, name)
        raise TargetError(
            complaint(
                f"the {dataflow}-stationary dataflow needs {what} beside each core",
                where=step.path or step.name,
                got=f"no memory.{name}" if got is None else f"memory.{name} = {got}",
                allowed=f"memory.{name} of {_bytes_per_vector(body, step, dataflow)} bytes or more, for one vector",
                next_step=f"raise memory.{name}, or take dataflow 'weight' or 'auto'",
            )
        )
    return StepPlan(dataflow, vectors if block is None else min(block, vectors))


def largest_block(body: ProgramBody, step: MatrixStep, dataflow: Dataflow) -> int | None:
    """Vectors that the memory beside a core holds in a dataflow: None where there is no limit."""
    if dataflow == "weight":
        return None
    capacity: int | None = getattr(body.target.memory, _MEMORY[dataflow][0])
    return 0 if capacity is None else capacity // max(_bytes_per_vector(body, step, dataflow), 1)


_MEMORY = {"output": ("accumulator_bytes", "accumulators"), "input": ("input_buffer_bytes", "an input buffer")}


def _bytes_per_vector(body: ProgramBody, step: MatrixStep, dataflow: Dataflow) -> int:
    """Bytes of one vector: its sums of a full tile, or its part for one."""
    spec = body.banks[step.bank].spec
    if dataflow == "output":
        return min(spec.ports, spec.rows) * HOST_BYTES
    return min(spec.ports, spec.cols) * number_bytes(body.target_for(step.bank).encoding.dac_bits)


def options(body: ProgramBody, step: MatrixStep, batch: int) -> list[Option]:
    """The plans of a step that are worth a trial, all vectors in one block first."""
    vectors, spec = batch * body.costs[step.name].vectors, body.banks[step.bank].spec
    if not vectors or not spec.tiles:
        return [Option(StepPlan("weight", max(vectors, 1)), 0.0, 0, 0.0)]
    price = _Price(body, step, vectors)
    found = [price.option(plan) for plan in _copies(body, step, vectors)]
    for dataflow in DATAFLOWS[1:]:
        most = largest_block(body, step, dataflow)
        if most:
            found += [price.option(plan) for plan in _chains(body, dataflow, vectors, min(most, vectors))]
    return found


def _copies(body: ProgramBody, step: MatrixStep, vectors: int) -> Iterator[StepPlan]:
    """Weight-stationary plans: more and more blocks, each of them a gain."""
    tiles, cores = body.banks[step.bank].spec.tiles, body.target.mesh.cores
    target = body.target_for(step.bank)
    yield StepPlan("weight", vectors)
    best = -(-tiles // cores) * stream_s(target, vectors)
    most = max(cores // tiles, ROWS_PER_CORE * cores // tiles if tiles < ROWS_PER_CORE * cores else 1)
    block = vectors
    for blocks in range(2, min(most, vectors, 2 * max(cores, ROWS_PER_CORE)) + 1):
        smaller = -(-vectors // blocks)
        if smaller == block:
            continue
        block = smaller
        seconds = -(-tiles * -(-vectors // block) // cores) * stream_s(target, block)
        if seconds < best * (1 - GAIN):
            best = seconds
            yield StepPlan("weight", block)


def _chains(body: ProgramBody, dataflow: Dataflow, vectors: int, most: int) -> Iterator[StepPlan]:
    """Plans of chains: the largest blocks that fit, and smaller ones that more cores can share."""
    fewest = -(-vectors // most)
    for factor in (1, 2, 4, 8, 16):
        blocks = min(fewest * factor, vectors)
        if factor == 1 or blocks <= body.target.mesh.cores:
            yield StepPlan(dataflow, most if factor == 1 else -(-vectors // blocks))


class _Price:
    """What plans of one step take."""

    def __init__(self, body: ProgramBody, step: MatrixStep, vectors: int) -> None:
        self.mesh = body.target.mesh
        self.target: Target = body.target_for(step.bank)
        self.vectors = vectors
        bank = body.banks[step.bank]
        self.tiles = bank.spec.tiles
        rows, cols = active_rows(bank), active_cols(bank)
        self.rows, self.cols = int(rows.sum()), int(cols.sum())
        self.lines: dict[str, tuple[int, int]] = {}  # of each dataflow: its chains, and their rows or columns
        for dataflow, across, size in (("output", "row", rows), ("input", "col", cols)):
            spec = bank.spec
            grid = spec.grid_rows if across == "row" else spec.grid_cols
            line = bank.columns["group"].astype(int) * grid + bank.columns[across]
            widest: dict[int, int] = dict(zip(line.tolist(), size.tolist(), strict=True))
            self.lines[dataflow] = (len(widest), sum(widest.values()))
        memory, energy = body.target.memory, body.target.energy
        setting = tile_setting_bytes(body.target)
        dram_j = (memory.dram_j_per_byte or 0.0) if spills(body) else 0.0
        self.configure_j = settings_per_tile(self.mesh) * energy.reconfigure_j_per_phase
        self.configure_j += setting * (energy.memory_j_per_byte + dram_j)
        self.sram_j, self.local_j = energy.memory_j_per_byte, memory.local_j_per_byte or 0.0

    def option(self, plan: StepPlan) -> Option:
        """What a plan takes."""
        cores, blocks = self.mesh.cores, plan.blocks(self.vectors)
        stream = stream_s(self.target, min(plan.block, self.vectors))
        encoding, detection = self.target.encoding, self.target.detection
        number, sample = number_bytes(encoding.dac_bits), number_bytes(detection.adc_bits)
        samples = self.vectors * encoding.rails * self.rows
        inputs = self.vectors * self.cols * number
        if plan.dataflow == "weight":
            items = self.tiles * blocks
            configures = items if items <= cores else min(items, self.tiles + (cores - 1 if blocks > 1 else 0))
            return Option(
                plan,
                -(-items // cores) * stream,
                configures,
                configures * self.configure_j + (inputs + samples * sample) * self.sram_j,
            )
        chains, across = self.lines[plan.dataflow]
        length = -(-self.tiles // chains)
        if length <= self.mesh.buffers:
            configures = min(self.tiles * blocks, self.tiles + cores * length)
        else:
            configures = self.tiles * blocks
        joules = configures * self.configure_j
        if plan.dataflow == "output":
            joules += (inputs + self.vectors * across * HOST_BYTES) * self.sram_j
            joules += 2 * HOST_BYTES * samples * self.local_j
        else:
            once = self.vectors * across * number
            joules += (once + samples * sample) * self.sram_j + inputs * self.local_j
        return Option(plan, -(-chains * blocks // cores) * length * stream, configures, joules)


def configure_share_s(body: ProgramBody) -> float:
    """Seconds that one configuration takes of all cores' time."""
    return configure_s(body).later_s / body.target.mesh.cores
