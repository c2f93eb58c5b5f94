"""The artefact of the compiler: what a chip is told to do, and nothing else.

A :class:`Program` is a list of steps over named values. Host steps are torch ATen ops from the
allow-list; matrix steps send vectors through a *bank*, the table of mesh tiles of one matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .scheduling.plan import Plan
from .values import Arg, TensorType, TupleType, ValueType

if TYPE_CHECKING:
    from .targets.schema import Target

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class BankSpec:
    """Shape of a bank: the grid of ``ports``-wide tiles that holds one matrix.

    The matrix has ``groups`` independent parts of ``rows x cols`` (groups > 1 only for grouped
    convolutions). Each part is cut into ``grid_rows x grid_cols`` tiles; edge tiles are masked.
    All-zero tiles are not in the table (``tiles < groups * grid_rows * grid_cols``).
    A part of packed small kernels is itself block-diagonal: ``blocks`` equal blocks of
    ``rows / blocks x cols / blocks`` weights, zeros elsewhere, so that neighbouring blocks share tiles.
    ``layers``: windows of the meshes, where the family takes them as an option. A ``dynamic`` bank has no weights
    of its own: its tiles are programmed anew for every sample, with a matrix that the program computes.
    """

    name: str
    topology: str
    ports: int
    groups: int
    rows: int
    cols: int
    tiles: int
    phase_bits: int | None = None
    attenuator_bits: int | None = None
    blocks: int = 1
    layers: int | None = None
    dynamic: bool = False

    @property
    def grid_rows(self) -> int:
        """Tile rows of one group."""
        return -(-self.rows // self.ports)

    @property
    def grid_cols(self) -> int:
        """Tile columns of one group: the partial sums added up in the digital domain."""
        return -(-self.cols // self.ports)

    @property
    def grid_tiles(self) -> int:
        """Tiles of the full grid, all-zero ones included."""
        return self.groups * self.grid_rows * self.grid_cols

    @property
    def weights(self) -> int:
        """Weights of the matrix (also its multiply-accumulates a vector): those of the diagonal blocks."""
        return self.groups * self.rows * self.cols // self.blocks

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of one diagonal block; those of a whole group where nothing is packed."""
        return self.rows // self.blocks, self.cols // self.blocks

    @property
    def utilization(self) -> float:
        """Weights over the cells of the configured tiles, 0 where no tile is configured."""
        return self.weights / (self.tiles * self.ports**2) if self.tiles else 0.0

    @property
    def unpacked_tiles(self) -> int:
        """Tiles that the matrix takes with a grid of its own for every block; ``tiles`` where nothing is packed."""
        if self.blocks == 1:
            return self.tiles
        rows, cols = self.block_shape
        return self.groups * self.blocks * -(-rows // self.ports) * -(-cols // self.ports)

    @property
    def unpacked_utilization(self) -> float:
        """``utilization`` without packing."""
        return self.weights / (self.unpacked_tiles * self.ports**2) if self.unpacked_tiles else 0.0


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TileBank:
    """The tiles of one matrix as a table of arrays, one row a tile.

    A tile holds ``W = scale * U diag(a) V^H`` with ``0 <= a <= 1``. Columns (T tiles, n ports):

    - ``group, row, col`` int32 (T,): place in the grid, sorted by group, then row, then col.
    - ``scale`` float64 (T,): largest singular value, applied digitally.
    - ``attenuation`` uint32 (T, n): ``a`` in units of 1 / (2**32 - 1).
    - ``left.theta``, ``right.theta`` uint32 (T, cells): internal phases of U and V^H in turns / 2**32,
      with ``left.sign``, ``right.sign`` uint8 (T, ceil((cells + n) / 8)): packed sign bits, for real
      matrices on MZI meshes, where every other phase follows (see ``meshes.gauge``); or
    - ``left.phases``, ``right.phases`` uint32 (T, phases): every phase, for all other meshes.
    - ``adc_full_scale`` float32 (T, n): the ADC's full scale per output port, in units of the
      normalised tile output (inputs in 0..1, matrix of norm 1, nominal loss compensated).
    - ``input_full_scale`` float32 (T,): static encoding only, the input value of DAC full scale.
    """

    spec: BankSpec
    columns: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class LinearGeometry:
    """Vectors are the last axis of the input: (..., cols) -> (..., rows)."""

    def vectors_per_sample(self, shape: tuple[int, ...]) -> int:
        """Vectors that one sample of an input of this shape sends through the bank."""
        return int(np.prod(shape[1:-1], dtype=np.int64)) if len(shape) > 1 else 1


@dataclass(frozen=True, slots=True)
class Conv2dGeometry:
    """im2col as geometry: a patch of (channels / groups, kh, kw) in that order is one vector.

    ``padding`` is (top, bottom, left, right) zeros.
    """

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Output height and width for an input of this size."""
        top, bottom, left, right = self.padding
        spans = (height + top + bottom, width + left + right)
        return tuple(  # type: ignore[return-value]
            (span - dilation * (kernel - 1) - 1) // stride + 1
            for span, kernel, stride, dilation in zip(spans, self.kernel, self.stride, self.dilation, strict=True)
        )

    def vectors_per_sample(self, shape: tuple[int, ...]) -> int:
        """Patches of one sample of an input of shape (batch, channels, height, width)."""
        height, width = self.output_size(shape[-2], shape[-1])
        return height * width


Geometry = LinearGeometry | Conv2dGeometry


@dataclass(frozen=True, slots=True)
class HostStep:
    """One ATen op on the host: ``torch.ops.aten.<op>`` of the allow-list, on named values."""

    name: str
    op: str
    args: tuple[Arg, ...]
    kwargs: tuple[tuple[str, Arg], ...]
    type: ValueType
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class MatrixStep:
    """Vectors of ``input`` through ``bank``, then the digital bias."""

    name: str
    bank: str
    input: str
    geometry: Geometry
    bias: str | None
    type: TensorType
    path: str
    reason: str

    @property
    def banks(self) -> tuple[str, ...]:
        """The banks it streams through."""
        return (self.bank,)


@dataclass(frozen=True, slots=True)
class RecurrentStep:
    """One direction of one recurrent layer: a loop over time, its matrices on tiles, its gates on the host.

    With N samples, T time steps, H hidden units and P of them kept (P = H without a projection): ``input`` names
    the input products (N, T, gates * H), bias and all; ``states`` the initial h (N, P) and, of an LSTM, c (N, H).
    At each time step h goes through ``bank`` (gates * H rows, P columns) and takes its ``bias``; the gates of
    ``kind`` (see :mod:`.recurrent`) follow on the host, then ``projection`` (P rows, H columns) where there is
    one. ``reverse`` runs from the last time step to the first. Yields the sequence (N, T, P), h and c.
    """

    name: str
    kind: str
    bank: str
    projection: str | None
    input: str
    states: tuple[str, ...]
    bias: str | None
    reverse: bool
    type: TupleType
    path: str
    reason: str

    @property
    def banks(self) -> tuple[str, ...]:
        """The banks it streams through, in order. Its tiles are counted through both, in this order."""
        return (self.bank,) if self.projection is None else (self.bank, self.projection)


@dataclass(frozen=True, slots=True)
class ProductStep:
    """A product of two computed values: one is programmed on tiles, sample by sample, the other streams through.

    ``left`` (..., M, K) times ``right`` (..., K, N), with the same leading sizes, whose product is the samples times
    the groups of ``bank``: dynamic, of N rows and K columns. For every sample the host factorises ``right``, the cores
    are configured, and M vectors go through each tile. Yields (..., M, N).
    """

    name: str
    bank: str
    left: str
    right: str
    type: TensorType
    path: str
    reason: str

    @property
    def banks(self) -> tuple[str, ...]:
        """The banks it streams through."""
        return (self.bank,)

    @property
    def bias(self) -> None:
        """It has none."""
        return


ChipStep = MatrixStep | RecurrentStep | ProductStep
Step = HostStep | ChipStep


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Name and type of an input; a symbolic first dimension takes any batch size."""

    name: str
    type: TensorType


def batch_is_fixed(inputs: Iterable[Any]) -> bool:
    """Whether no input (an :class:`InputSpec`, or what has a type like one) has a first dimension that may vary."""
    return not any(spec.type.shape and isinstance(spec.type.shape[0], str) for spec in inputs)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the model: its name, and the tree (see :mod:`.trees`) in which it holds the inputs by number."""

    name: str
    tree: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepCost:
    """What one sample of the example's shape asks of a step.

    ``macs``: multiply-accumulates; ``vectors``: input vectors sent through the bank (0 on the host);
    ``elements``: output elements computed (0 for views and arithmetic on sizes). Of a recurrent step
    ``vectors`` go through each of its banks, over all time steps, and ``elements`` are those of its gates. Of a
    product of two computed values ``elements`` are the operations of the factorisations on the host.
    """

    macs: int
    vectors: int
    elements: int


@dataclass(frozen=True, eq=False)
class ProgramBody:
    """Everything a chip and its host need, without behaviour: what a ``.loom`` file holds.

    ``structure`` is a tree (:mod:`.trees`) whose leaves index ``outputs``; those of ``parameters``, in which the model
    takes its inputs, index ``inputs``. Without parameters each input is one.
    ``costs`` has an entry for every step; ``example_batch`` is the batch of the example inputs, and
    of every run where the batch is fixed (1 where nothing tells how many samples a run has: see ``unit``).
    ``layer_targets`` holds the target of each bank whose layer overrides fields of the chip's.
    ``ir`` holds the IR text of every stage. ``ranges`` holds the lowest and highest value (None: no limit) of the
    symbolic sizes that have limits. ``plan`` says how the program is to be scheduled.
    """

    name: str
    target: Target
    inputs: tuple[InputSpec, ...]
    constants: Mapping[str, torch.Tensor]
    steps: tuple[Step, ...]
    outputs: tuple[Arg, ...]
    structure: object
    banks: Mapping[str, TileBank]
    costs: Mapping[str, StepCost]
    example_batch: int
    layer_targets: Mapping[str, Target] = field(default_factory=dict[str, "Target"])
    ir: Mapping[str, str] = field(default_factory=dict[str, str])
    provenance: Mapping[str, object] = field(default_factory=dict[str, object])
    ranges: Mapping[str, tuple[int, int | None]] = field(default_factory=dict[str, tuple[int, int | None]])
    plan: Plan = field(default_factory=Plan)
    parameters: tuple[Parameter, ...] = ()

    def __repr__(self) -> str:
        size = f"{len(self.steps)} steps, {len(self.banks)} banks, {len(self.constants)} constants"
        return f"ProgramBody({self.name!r} on {self.target.name!r}: {size})"

    def target_for(self, bank: str) -> Target:
        """The target that a bank runs under: the layer's own where it has overrides, else the chip's."""
        return self.layer_targets.get(bank, self.target)

    @property
    def batch_is_fixed(self) -> bool:
        """Whether every run has ``example_batch`` samples."""
        return batch_is_fixed(self.inputs)

    @property
    def unit(self) -> str:
        """What costs, times and prices count: a ``sample``, or a ``run`` where its samples cannot be told."""
        first = self.inputs[0].type.shape[:1] if self.inputs else ()
        return "run" if self.batch_is_fixed and self.example_batch == 1 and first not in ((), (1,)) else "sample"

    @property
    def matrix_steps(self) -> tuple[MatrixStep, ...]:
        """The steps that run on the chip, in program order."""
        return tuple(step for step in self.steps if isinstance(step, MatrixStep))
