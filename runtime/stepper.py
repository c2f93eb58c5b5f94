"""The step executor: walks a schedule event by event through the device protocol, as a driver would.

The host scales and encodes vectors to DAC codes, decodes ADC codes, adds up tile columns in ascending order,
adds the bias; everything in between happens on the device. Equal to the batched executor, code for code.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .batched import RunOptions
from .counts import Counts, active_rows, configure_counts, host_counts, stream_counts
from .device import Header, PhotonicDevice, TileId
from .errors import VerifyError, complaint
from .geometry import blocks, output_shape, store, vector_count
from .layout import leading_positions, samples_back, samples_first
from .looping import GEOMETRY, Loop, bank_and_row
from .product_work import ProductWork
from .products import Tiler, factor_counts
from .program import Conv2dGeometry, Geometry, HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep
from .recurrent import Recurrence
from .recurrent_counts import gate_counts
from .schedule import EventKind, Schedule
from .tiledriver import TileDriver
from .tilework import TileWork, tiles_by_place
from .walk import Values, declared, reads, run_host_step

Fetch = Callable[[MatrixStep, Values], Tensor]
Begin = Callable[[RecurrentStep, Values], Recurrence]
Operands = Callable[[ProductStep, Values], tuple[Tensor, Tensor]]
Key = tuple[str | int, int]
"""A tile by bank and row, or a product's by step and number."""


class Stepper:
    """Runs one schedule of a program on a device.

    Args:
        body: the program.
        device: reserved for the run and released after it, whatever happens.
        options: of the run.
        fetch: gets and checks the input of a matrix step. begin: the same for a recurrent step. operands: the same
            for a product of two computed values, whose tiles ``tiler`` makes.
        block_bytes: largest window in bytes of im2col vectors.
        calibration: number of the calibration that requests carry.
        progress: called after each step with: steps done, steps in all, the step's layer path.

    ``counts`` holds what happened so far.
    """

    def __init__(
        self,
        body: ProgramBody,
        device: PhotonicDevice,
        options: RunOptions,
        *,
        fetch: Fetch,
        begin: Begin,
        operands: Operands,
        tiler: Tiler,
        block_bytes: int = 16 << 20,
        calibration: int = 0,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self.body = body
        self.device = device
        self.options = options
        self.counts = Counts()
        self._fetch = fetch
        self._begin = begin
        self._operands = operands
        self._tiler = tiler
        self._block_bytes = block_bytes
        self._calibration = calibration
        self._progress = progress
        self._before = leading_positions(body)
        self._index = {step.name: index for index, step in enumerate(body.steps)}
        self._banks = {name: index for index, name in enumerate(body.banks)}
        self._columns = {name: tiles_by_place(bank) for name, bank in body.banks.items()}
        self._rows = {name: active_rows(bank) for name, bank in body.banks.items()}
        self._drivers = {
            name: TileDriver(bank, body.target_for(name), options.ideal, options.dtype)
            for name, bank in body.banks.items()
            if not bank.spec.dynamic
        }
        self._products: dict[int, ProductWork] = {}
        self._work: dict[int, TileWork] = {}
        self._loops: dict[int, Loop] = {}
        self._done: set[int] = set()
        self._turns: dict[int, int] = {}  # configurations of each core so far
        self._held: dict[tuple[int, int], tuple[Key, int]] = {}  # by core and buffer: tile, number of the configuration
        self._sequence = 0

    def run(self, schedule: Schedule, values: Values) -> None:
        """Walk the schedule; afterwards ``values`` holds what the program's outputs read.

        Raises:
            VerifyError: a schedule of another program or batch, or one that leaves work undone.
            DeviceError: what the device refuses.
        """
        if schedule.steps != tuple(self._index):
            raise VerifyError(
                complaint(
                    "the schedule is of another program",
                    got=f"{len(schedule.steps)} steps",
                    allowed=f"the {len(self._index)} steps of {self.body.name!r}",
                )
            )
        self.device.reserve(self.body.target.mesh.cores)
        try:
            columns = (schedule.kind, schedule.step, schedule.tile, schedule.core, schedule.vectors)
            for kind, index, tile, core, vectors in zip(*(column.tolist() for column in columns), strict=True):
                self._event(EventKind(kind), index, tile, core, vectors, values)
            for index in range(len(self.body.steps)):
                self._complete(index, values)
        finally:
            self.device.release()

    def _event(self, kind: EventKind, index: int, tile: int, core: int, vectors: int, values: Values) -> None:
        step = self.body.steps[index]
        if kind == EventKind.HOST and isinstance(step, HostStep):
            self._host(index, step, values)
        elif kind == EventKind.CONFIGURE and isinstance(step, MatrixStep):
            self._configure(index, step.bank, tile, core)
        elif isinstance(step, ProductStep):
            self._product(kind, index, step, tile, core, vectors, values)
        elif isinstance(step, RecurrentStep):
            self._loop(kind, index, step, tile, core, vectors, values)
        elif kind == EventKind.STREAM and isinstance(step, MatrixStep):
            work = self._opened(index, step, values)
            self._stream(index, step.bank, step.geometry, tile, core, work, vectors)
            if not work.left:
                self._finish(index, step, values)
        else:
            raise VerifyError(complaint(f"a {kind.name.lower()} event on the wrong kind of step", where=step.name))

    def _configure(self, index: int, bank: str, tile: int, core: int) -> None:
        buffer = self._hold(core, (bank, tile))
        self._drivers[bank].configure(self.device, self._header(index, bank, tile, core, 0, (bank, tile)), buffer)
        self.counts += configure_counts(self.body.banks[bank].spec, 1)

    def _product(
        self, kind: EventKind, index: int, step: ProductStep, tile: int, core: int, vectors: int, values: Values
    ) -> None:
        """An event of a product of two computed values: the host factorises, then tile by tile of every sample."""
        if kind == EventKind.HOST:
            self._multiplied(index, step, values)
            self.counts += factor_counts(self.body, step, self.options.samples)
            return
        product = self._products.get(index)
        if product is None:
            raise VerifyError(complaint("tiles of a product that nothing has factorised", where=step.path or step.name))
        sample, row = product.place(tile)
        driver, work = product.drivers[sample], product.works[sample]
        if kind == EventKind.CONFIGURE:
            buffer = self._hold(core, (index, tile))
            driver.configure(self.device, self._header(index, step.bank, row, core, 0, (index, tile)), buffer)
            self.counts += configure_counts(product.spec, 1)
            return
        first = sample * work.vectors
        self._stream(index, step.bank, GEOMETRY, row, core, work, vectors, first, driver, (index, tile))
        if not product.left:
            self._finish_product(index, step, values)

    def _multiplied(self, index: int, step: ProductStep, values: Values) -> ProductWork:
        """The work of a product, its operands ready."""
        self._demand(reads(step), values)
        left, right = (value.to(self.options.dtype) for value in self._operands(step, values))
        spec, target = self.body.banks[step.bank].spec, self.body.target_for(step.bank)
        self._products[index] = ProductWork(
            step, left, right, self.options.samples, spec, target, self._tiler, self.options.ideal
        )
        return self._products[index]

    def _finish_product(self, index: int, step: ProductStep, values: Values) -> None:
        values[step.name] = declared(step, self._products.pop(index).result(), self.options.dtype)
        self._leave(index, values)

    def _loop(
        self, kind: EventKind, index: int, step: RecurrentStep, tile: int, core: int, vectors: int, values: Values
    ) -> None:
        """An event of a recurrent step: a tile of the current window, or the gates after it."""
        if kind == EventKind.CONFIGURE:
            self._configure(index, *bank_and_row(self.body, step, tile), core)
            return
        loop = self._looped(index, step, values)
        if kind == EventKind.HOST:
            loop.gates()
            self.counts += gate_counts(self.body, step, loop.work.vectors)
        else:
            bank, row = bank_and_row(self.body, step, tile)
            if bank != loop.bank or loop.done:
                raise VerifyError(complaint("a window of a recurrent layer out of turn", where=step.path or step.name))
            self._stream(index, bank, GEOMETRY, row, core, loop.work, vectors, loop.first)
            loop.streamed()
        if loop.done:
            self._finish_loop(index, step, values)

    def _looped(self, index: int, step: RecurrentStep, values: Values) -> Loop:
        """The loop of a recurrent step, begun at its first window."""
        if index not in self._loops:
            self._demand(reads(step), values)
            bias = None if step.bias is None else values[step.bias].to(self.options.dtype)
            self._loops[index] = Loop(self.body, step, self._begin(step, values), bias)
        return self._loops[index]

    def _finish_loop(self, index: int, step: RecurrentStep, values: Values) -> None:
        values[step.name] = self._loops.pop(index).state.results(self.options.dtype)
        self._leave(index, values)

    def _host(self, index: int, step: HostStep, values: Values) -> None:
        self._demand(reads(step), values)
        values[step.name] = run_host_step(step, values)
        self.counts += host_counts(self.body.costs[step.name], self.options.samples)
        self._leave(index, values)

    def _demand(self, names: tuple[str, ...], values: Values) -> None:
        """Complete the steps among ``names`` that no event completes, having nothing on the chip."""
        for name in names:
            if name in self._index:
                self._complete(self._index[name], values)

    def _complete(self, index: int, values: Values) -> None:
        """Make sure that a step is done; steps without a tile or a vector are done here."""
        step = self.body.steps[index]
        if index in self._done:
            return
        if isinstance(step, MatrixStep):
            work = self._opened(index, step, values)
            if not work.left or not work.vectors:
                self._finish(index, step, values)
                return
        elif isinstance(step, ProductStep):
            product = self._products.get(index) or self._multiplied(index, step, values)
            if not product.left or not any(work.vectors for work in product.works):
                self._finish_product(index, step, values)
                return
        elif isinstance(step, RecurrentStep):
            loop = self._looped(index, step, values)
            if loop.empty:
                loop.finish_empty()
                self._finish_loop(index, step, values)
                return
        elif self.options.samples == 0:
            self._host(index, step, values)  # an empty batch has no schedule
            return
        raise VerifyError(
            complaint("the schedule leaves a step undone, or runs its reader first", where=step.path or step.name)
        )

    def _opened(self, index: int, step: MatrixStep, values: Values) -> TileWork:
        """The work of a step, begun at its first window."""
        if index in self._work:
            return self._work[index]
        self._demand((step.input,), values)
        x = self._fetch(step, values).to(self.options.dtype)
        shape = tuple(x.shape)
        spec = self.body.banks[step.bank].spec
        before = self._before.get(step.name, 1)
        if before != 1:
            x = samples_first(x, before, self.options.samples)
        vectors = vector_count(tuple(x.shape), step.geometry)
        self._work[index] = TileWork.of(x, shape, vectors, spec)
        return self._work[index]

    def _hold(self, core: int, key: Key) -> int:
        """The buffer that a core's next configuration, of this tile, goes into: one after the other."""
        turn = self._turns.get(core, 0)
        self._turns[core] = turn + 1
        buffer = turn % self.body.target.mesh.buffers
        self._held[core, buffer] = (key, self._sequence + 1)
        return buffer

    def _header(self, index: int, name: str, tile: int, core: int, first: int, key: Key) -> Header:
        bank = self.body.banks[name]
        spec, columns = bank.spec, bank.columns
        place = (int(columns["group"][tile]), int(columns["row"][tile]), int(columns["col"][tile]))
        grid = (spec.groups, spec.grid_rows, spec.grid_cols)
        identity = TileId(name, self._banks[name], tile, place, grid)
        self._sequence += 1
        held = (self._held.get((core, buffer)) for buffer in range(self.body.target.mesh.buffers))
        # of a tile that no buffer holds: number 0, which the device refuses
        configuration = max((number for mine, number in filter(None, held) if mine == key), default=0)
        return Header(identity, core, index, first, configuration, self._calibration, self._sequence)

    def _stream(
        self,
        index: int,
        name: str,
        geometry: Geometry,
        tile: int,
        core: int,
        work: TileWork,
        vectors: int,
        first: int = 0,
        driver: TileDriver | None = None,
        key: Key | None = None,
    ) -> None:
        """Send every vector of a product, from index ``first`` on, through one tile, a window of a block at a time."""
        if vectors != work.vectors:
            raise VerifyError(
                complaint(
                    "the schedule is for another batch",
                    where=self.body.steps[index].path or self.body.steps[index].name,
                    got=f"{vectors} vectors",
                    allowed=f"{work.vectors}",
                    next_step="make a schedule for this batch size",
                )
            )
        bank = self.body.banks[name]
        spec, driver = bank.spec, driver or self._drivers[name]
        group, row, column = (int(bank.columns[name][tile]) for name in ("group", "row", "col"))
        low = column * spec.ports
        high = min(low + spec.ports, spec.cols)
        parts: list[Tensor] = []
        for block in blocks(work.x, geometry, self._block_bytes):
            x = block.vectors[:, group * spec.cols + low : group * spec.cols + high]
            if x.ndim == 3:
                x = x.transpose(1, 2).flatten(0, 1)
            x = F.pad(x, (0, low + spec.ports - high))
            header = self._header(index, name, tile, core, first + block.start, key or (name, tile))
            parts.append(driver.send(self.device, header, x))
        work.add(tile, (group, row), self._columns[name][group, row], torch.cat(parts))
        rows = int(self._rows[name][tile])
        self.counts += stream_counts(
            self.body.target_for(name), work.vectors, work.vectors * rows, work.vectors * (high - low)
        )

    def _finish(self, index: int, step: MatrixStep, values: Values) -> None:
        """Edge rows off, back to the shape of the step's result, bias on."""
        work = self._work.pop(index)
        spec = self.body.banks[step.bank].spec
        rows = spec.groups * spec.rows
        flat = work.total(spec)
        image = isinstance(step.geometry, Conv2dGeometry)
        if image:
            result = flat.new_empty(output_shape(work.shape, step.geometry, rows))
            if work.vectors:
                store(result, 0, flat.reshape(work.shape[0], -1, rows).transpose(1, 2), step.geometry)
        else:
            before, samples = self._before.get(step.name, 1), self.options.samples
            result = flat.reshape(*work.shape[:-1], rows)
            if before != 1:
                result = samples_back(flat, before, samples, work.shape)
        if step.bias is not None:
            result = result + values[step.bias].to(result.dtype).view((-1, 1, 1) if image else (-1,))
            self.counts += Counts(accumulations=work.vectors * rows)
        values[step.name] = declared(step, result, self.options.dtype)
        self._leave(index, values)

    def _leave(self, index: int, values: Values) -> None:
        """A step is done: drop what nobody reads any more, and say so."""
        step = self.body.steps[index]
        values.release(reads(step))
        self._done.add(index)
        if self._progress is not None:
            self._progress(len(self._done), len(self.body.steps), step.path or step.name)
