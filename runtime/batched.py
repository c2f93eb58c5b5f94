"""Matrix steps on whole banks at once: the chip's arithmetic, or the ideal matrix in one product."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .bankloop import BankTables, ChipArithmetic, ColumnRecord, forward, forward_conv2d, resolve_engine
from .banks import assembled_matrix, bank_mesh, effective_matrices
from .geometry import blocks, output_shape, pad, store
from .layout import leading_positions, samples_back, samples_first
from .products import Tiler, joined, no_tiler, per_sample
from .program import ChipStep, Conv2dGeometry, MatrixStep, ProductStep, ProgramBody, RecurrentStep, TileBank
from .recurrent import Recurrence, first_vector

RecordObserver = Callable[[ChipStep, BankTables, ColumnRecord], None]
"""Called with a step on the chip, a bank's tables, and what one tile column did with a block of vectors."""


CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What one run asks for: seed, ideal chip or not, dtype, device, samples, and who watches."""

    seed: int = 0
    ideal: bool = False
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU
    samples: int = 1
    observe: RecordObserver | None = None


class BoundedCache:
    """Values by key, least recently used out first, within a limit of bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._entries: OrderedDict[object, tuple[int, Any]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: object, make: Callable[[], tuple[int, Any]]) -> Any:
        """The value of a key; ``make`` returns its bytes and the value. Too large a value is not kept."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key][1]
        size, value = make()
        if size <= self.limit_bytes:
            self._entries[key] = (size, value)
            self._bytes += size
        while self._bytes > self.limit_bytes:
            _, (freed, _) = self._entries.popitem(last=False)
            self._bytes -= freed
        return value


class BatchedMatrices:
    """Runs matrix steps of one program, block by block; holds the tables that runs share.

    Args:
        body: the program.
        engine: of the bank loop: ``auto``, ``fused``, ``triton`` or ``plain``.
        block_bytes: largest block of im2col vectors.
        cache_bytes: most bytes of tables and matrices kept between runs.
        chip: the arithmetic of a bank, from the target by default.
        exact: tiles without quantization and errors, whatever the run says (for calibration).
        tiler: makes the tiles of products of two computed values.
    """

    def __init__(
        self,
        body: ProgramBody,
        *,
        engine: str = "auto",
        block_bytes: int = 16 << 20,
        cache_bytes: int = 4 << 30,
        chip: Callable[[TileBank], ChipArithmetic] | None = None,
        exact: bool = False,
        tiler: Tiler = no_tiler,
    ) -> None:
        self.tiler = tiler
        self.body = body
        self.engine = engine
        self.block_bytes = block_bytes
        self.exact = exact
        self._chip = chip or self._chip_for_target
        self._cache = BoundedCache(cache_bytes)
        self._bank_index = {name: index for index, name in enumerate(body.banks)}
        self._before = leading_positions(body)

    def _chip_for_target(self, bank: TileBank) -> ChipArithmetic:
        return ChipArithmetic.of(self.body.target_for(bank.spec.name), bank_mesh(bank).depth)

    def __call__(self, index: int, step: MatrixStep, x: Tensor, bias: Tensor | None, options: RunOptions) -> Tensor:
        """The result of matrix step ``index`` of the program, bias included, in the dtype of the run."""
        x = x.to(options.dtype)
        if options.ideal:
            return self._ideal(step, x, bias, options)
        before = self._before.get(step.name, 1)
        if before == 1:
            return self._through_bank(index, step, x, bias, options)
        flat = samples_first(x, before, options.samples)
        result = self._through_bank(index, step, flat, bias, options)
        return samples_back(result, before, options.samples, tuple(x.shape))

    def recurrent(
        self, index: int, step: RecurrentStep, work: Recurrence, bias: Tensor | None, options: RunOptions
    ) -> tuple[Tensor, ...]:
        """Run the loop over time of recurrent step ``index``: its sequence, h and c, see :class:`.Recurrence`."""
        bias = None if bias is None else bias.to(options.dtype)

        def hidden(h: Tensor, time: int) -> Tensor:
            y = self._vectors(index, step, step.bank, h, first_vector(time), options)
            return y if bias is None else y + bias

        def project(h: Tensor, time: int) -> Tensor:
            first = first_vector(time, projection=True)
            return self._vectors(index, step, str(step.projection), h, first, options)

        work.finish(hidden, None if step.projection is None else project)
        return work.results(options.dtype)

    def product(self, index: int, step: ProductStep, left: Tensor, right: Tensor, options: RunOptions) -> Tensor:
        """The result of the product ``index`` of two computed values, sample by sample."""
        spec, target = self.body.banks[step.bank].spec, self.body.target_for(step.bank)
        left, right = left.to(options.dtype), right.to(options.dtype)
        if options.ideal or self.exact:
            return left @ right
        parts: list[Tensor] = []
        for sample, (x, weights) in enumerate(per_sample(step, left, right, options.samples, spec)):
            bank = self.tiler(weights, spec, target)
            found = effective_matrices(bank, target, seed=options.seed, bank_index=self._bank_index[step.bank])
            tables = BankTables.build(bank, self._chip(bank), found.to(options.device), options.dtype)
            first = sample * len(x)
            y = forward(tables, x.contiguous(), seed=options.seed, stream=index, first_vector=first, engine=self.engine)
            parts.append(y)
        return joined(step, parts, left, spec)

    def _vectors(
        self, index: int, step: RecurrentStep, bank: str, x: Tensor, first: int, options: RunOptions
    ) -> Tensor:
        """Vectors (N, cols), the first of which has index ``first``, through a bank: (N, rows)."""
        if options.ideal:
            return F.linear(x, self.matrix(bank, options)[0])
        tables = self.tables(bank, options)
        watch = options.observe
        observe = None if watch is None else lambda record: watch(step, tables, record)
        return forward(
            tables,
            x.contiguous(),
            seed=options.seed,
            stream=index,
            first_vector=first,
            engine=self.engine,
            observe=observe,
        )

    def _through_bank(
        self, index: int, step: MatrixStep, x: Tensor, bias: Tensor | None, options: RunOptions
    ) -> Tensor:
        spec = self.body.banks[step.bank].spec
        tables = self.tables(step.bank, options)
        watch = options.observe
        observe = None if watch is None else lambda record: watch(step, tables, record)
        geometry = step.geometry
        if isinstance(geometry, Conv2dGeometry) and resolve_engine(tables, self.engine, observe) != "plain":
            padded = pad(x, geometry)
            output = forward_conv2d(tables, padded, geometry, seed=options.seed, stream=index, engine=self.engine)
            return output if bias is None else output.add_(bias.to(options.dtype).view(-1, 1, 1))
        output = x.new_empty(output_shape(tuple(x.shape), geometry, spec.groups * spec.rows))
        for block in blocks(x, step.geometry, self.block_bytes):
            values = forward(
                tables,
                block.vectors,
                seed=options.seed,
                stream=index,
                first_vector=block.start,
                engine=self.engine,
                observe=observe,
            )
            store(output, block.start, values, step.geometry)
        if bias is not None:
            shape = (-1, 1, 1) if isinstance(step.geometry, Conv2dGeometry) else (-1,)
            output += bias.to(options.dtype).view(shape)
        return output

    def _ideal(self, step: MatrixStep, x: Tensor, bias: Tensor | None, options: RunOptions) -> Tensor:
        """Without imperfections the tiles add up to the matrix: one product, no quantizers in between."""
        matrix = self.matrix(step.bank, options)
        bias = None if bias is None else bias.to(options.dtype)
        geometry = step.geometry
        if not isinstance(geometry, Conv2dGeometry):
            return F.linear(x, matrix[0], bias)
        # packed groups apart again: the zeros between the blocks are never multiplied
        weight = matrix.view(-1, geometry.channels // len(matrix), *geometry.kernel)
        top, bottom, left, right = geometry.padding
        even = (top, left) == (bottom, right)
        return F.conv2d(
            x if even else pad(x, geometry),
            weight,
            bias,
            geometry.stride,
            (top, left) if even else 0,
            geometry.dilation,
            len(matrix),
        )

    def matrix(self, name: str, options: RunOptions) -> Tensor:
        """The ideal matrix of a bank in the dtype of the run: (groups, rows, cols), packed groups apart."""

        def make() -> tuple[int, Tensor]:
            bank = self.body.banks[name]
            tiles = effective_matrices(bank, self.body.target_for(name), ideal=True)
            found = assembled_matrix(bank, tiles).to(options.device, options.dtype)
            return found.nbytes, found

        return self._cache.get(("matrix", name, options.dtype, options.device), make)

    def tables(self, name: str, options: RunOptions) -> BankTables:
        """A bank ready to run; the seed matters where phase errors are drawn for every run."""
        target, bank = self.body.target_for(name), self.body.banks[name]
        seed = options.seed if target.mesh.phase_error_rad > 0 and not self.exact else 0

        def make() -> tuple[int, BankTables]:
            matrices = effective_matrices(bank, target, seed=seed, ideal=self.exact, bank_index=self._bank_index[name])
            if self.exact and target.detection.kind == "intensity":
                matrices = matrices.to(torch.complex128)
            tables = BankTables.build(bank, self._chip(bank), matrices.to(options.device), options.dtype)
            return 2 * tables.matrices.nbytes, tables  # engines keep a second, packed form

        return self._cache.get(("tables", name, seed, options.dtype, options.device), make)
