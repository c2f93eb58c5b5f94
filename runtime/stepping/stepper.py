"""The step executor: walks a schedule event by event through the device protocol, as a driver would.

The host scales and encodes vectors to DAC codes, decodes ADC codes, adds up tile columns in ascending order,
adds the bias; everything in between happens on the device. Equal to the batched executor, code for code, whatever the
order in which blocks of vectors and tiles come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..batched import RunOptions
from ..device import PhotonicDevice
from ..errors import VerifyError, complaint
from ..layout import leading_positions
from ..pricing.counts import Counts, host_counts
from ..pricing.event_counts import factor_counts
from ..pricing.recurrent_counts import gate_counts
from ..products import Tiler
from ..program import HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep
from ..recurrent import Recurrence
from ..scheduling.plan import Dataflow
from ..scheduling.schedule import EventKind, Schedule
from ..walk import Values, declared, reads, run_host_step
from ..widths import HOST_BYTES
from .driving import ChipLine, Key, TileUse
from .looping import Loop, bank_and_row
from .matrix_work import MatrixWork
from .product_work import ProductWork
from .tiledriver import TileDriver

Fetch = Callable[[MatrixStep, Values], Tensor]
Begin = Callable[[RecurrentStep, Values], Recurrence]
Operands = Callable[[ProductStep, Values], tuple[Tensor, Tensor]]
Row = list[int]
"""Of an event: tile, core, first vector, vectors."""


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

    ``counts`` holds what happened so far; what a warm schedule finds on the cores is configured before the run and
    counted apart, in ``preloaded``.
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
        self._counts = Counts()
        self._fetch = fetch
        self._begin = begin
        self._operands = operands
        self._tiler = tiler
        self._progress = progress
        self._line = ChipLine(body, device, block_bytes, calibration)
        self._before = leading_positions(body)
        self._index = {step.name: index for index, step in enumerate(body.steps)}
        self._drivers = {
            name: TileDriver(bank, body.target_for(name), options.ideal, options.dtype)
            for name, bank in body.banks.items()
            if not bank.spec.dynamic
        }
        self._flows: dict[int, Dataflow] = {}
        self._products: dict[int, ProductWork] = {}
        self._work: dict[int, MatrixWork] = {}
        self._loops: dict[int, Loop] = {}
        self._done: set[int] = set()

    @property
    def counts(self) -> Counts:
        """What happened in the run so far."""
        return self._counts + self._line.counts

    @property
    def preloaded(self) -> Counts:
        """The configurations before the run."""
        return self._line.preloaded

    def run(self, schedule: Schedule, values: Values) -> None:
        """Walk the schedule; afterwards ``values`` holds what the program's outputs read.

        Raises:
            VerifyError: a schedule of another program or batch, or one that leaves work undone.
            DeviceError: what the device refuses.
        """
        if schedule.steps != tuple(self._index):
            mine = f"the {len(self._index)} steps of {self.body.name!r}"
            raise VerifyError(
                complaint("the schedule is of another program", got=f"{len(schedule.steps)} steps", allowed=mine)
            )
        self._flows = {self._index[name]: plan.dataflow for name, plan in schedule.plans.items() if name in self._index}
        self.device.reserve(self.body.target.mesh.cores)
        try:
            self._line.preload(schedule, self._drivers)
            columns = (schedule.kind, schedule.step, schedule.tile, schedule.core, schedule.first, schedule.vectors)
            for kind, index, *row in zip(*(column.tolist() for column in columns), strict=True):
                self._event(EventKind(kind), index, row, values)
            for index in range(len(self.body.steps)):
                self._complete(index, values)
        finally:
            self.device.release()

    def _event(self, kind: EventKind, index: int, row: Row, values: Values) -> None:
        step = self.body.steps[index]
        if kind == EventKind.HOST and isinstance(step, HostStep):
            self._host(index, step, values)
        elif kind == EventKind.MOVE and isinstance(step, MatrixStep | ProductStep):
            self._move(index, step, row[0] == 1, values)
        elif isinstance(step, ProductStep):
            self._product(kind, index, step, row, values)
        elif isinstance(step, RecurrentStep) and kind != EventKind.MOVE:
            self._loop(kind, index, step, row, values)
        elif isinstance(step, MatrixStep) and kind != EventKind.HOST:
            self._matrix(kind, index, step, row, values)
        else:
            raise VerifyError(complaint(f"a {kind.name.lower()} event on the wrong kind of step", where=step.name))

    def _matrix(self, kind: EventKind, index: int, step: MatrixStep, row: Row, values: Values) -> None:
        """A tile of a matrix, or a block of vectors through it."""
        tile, core, first, vectors = row
        use = self._use(index, step.bank, tile, core)
        if kind == EventKind.CONFIGURE:
            self._line.configure(use)
            return
        work = self._opened(index, step, values).work
        self._line.stream(use, work, first, vectors, dataflow=self._flows.get(index, "weight"))
        if not work.left:
            self._finish(index, step, values)

    def _move(self, index: int, step: MatrixStep | ProductStep, to_host: bool, values: Values) -> None:
        """Numbers cross the link: counted from their real sizes; both sides are this process."""
        if to_host:
            if index not in self._done:
                self._complete(index, values)
            count = HOST_BYTES * values[step.name].numel()
        elif isinstance(step, MatrixStep):
            self._demand((step.input,), values)
            count = HOST_BYTES * values[step.input].numel()
        else:
            count = self._factorised(index, step).crossing()
        self._counts += Counts(link_bytes=count)

    def _product(self, kind: EventKind, index: int, step: ProductStep, row: Row, values: Values) -> None:
        """An event of a product of two computed values: the host factorises, then tile by tile of every sample."""
        if kind == EventKind.HOST:
            self._multiplied(index, step, values)
            self._counts += factor_counts(self.body, step, self.options.samples)
            return
        tile, core, first, vectors = row
        product = self._factorised(index, step)
        sample, place = product.place(tile)
        work = product.works[sample]
        use = self._use(index, step.bank, place, core, (index, tile), product.drivers[sample])
        if kind == EventKind.CONFIGURE:
            self._line.configure(use)
            return
        self._line.stream(use, work, first, vectors, offset=sample * work.vectors)
        if not product.left:
            self._finish_product(index, step, values)

    def _factorised(self, index: int, step: ProductStep) -> ProductWork:
        product = self._products.get(index)
        if product is None:
            raise VerifyError(complaint("tiles of a product that nothing has factorised", where=step.path or step.name))
        return product

    def _multiplied(self, index: int, step: ProductStep, values: Values) -> ProductWork:
        """The work of a product, its operands ready."""
        self._demand(reads(step), values)
        left, right = (value.to(self.options.dtype) for value in self._operands(step, values))
        spec, target, options = self.body.banks[step.bank].spec, self.body.target_for(step.bank), self.options
        work = ProductWork(step, left, right, options.samples, spec, target, self._tiler, options.ideal)
        self._products[index] = work
        return work

    def _finish_product(self, index: int, step: ProductStep, values: Values) -> None:
        self._leave(index, declared(step, self._products.pop(index).result(), self.options.dtype), values)

    def _loop(self, kind: EventKind, index: int, step: RecurrentStep, row: Row, values: Values) -> None:
        """An event of a recurrent step: a tile of the current window, or the gates after it."""
        tile, core, first, vectors = row
        if kind == EventKind.CONFIGURE:
            self._line.configure(self._use(index, *bank_and_row(self.body, step, tile), core))
            return
        loop = self._looped(index, step, values)
        if kind == EventKind.HOST:
            loop.gates()
            self._counts += gate_counts(self.body, step, loop.work.vectors)
        else:
            bank, place = bank_and_row(self.body, step, tile)
            if bank != loop.bank or loop.done or not loop.work.left:
                raise VerifyError(complaint("a window of a recurrent layer out of turn", where=step.path or step.name))
            self._line.stream(self._use(index, bank, place, core), loop.work, first, vectors, offset=loop.first)
            loop.streamed()
        if loop.done:
            self._leave(index, self._loops.pop(index).state.results(self.options.dtype), values)

    def _looped(self, index: int, step: RecurrentStep, values: Values) -> Loop:
        """The loop of a recurrent step, begun at its first window."""
        if index not in self._loops:
            self._demand(reads(step), values)
            bias = None if step.bias is None else values[step.bias].to(self.options.dtype)
            self._loops[index] = Loop(self.body, step, self._begin(step, values), bias)
        return self._loops[index]

    def _host(self, index: int, step: HostStep, values: Values) -> None:
        self._demand(reads(step), values)
        self._counts += host_counts(self.body.costs[step.name], self.options.samples)
        self._leave(index, run_host_step(step, values), values)

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
            if not self._opened(index, step, values).work.left:
                self._finish(index, step, values)
                return
        elif isinstance(step, ProductStep):
            product = self._products.get(index) or self._multiplied(index, step, values)
            if not product.left:
                self._finish_product(index, step, values)
                return
        elif isinstance(step, RecurrentStep):
            loop = self._looped(index, step, values)
            if loop.empty:
                loop.finish_empty()
                self._leave(index, self._loops.pop(index).state.results(self.options.dtype), values)
                return
        elif self.options.samples == 0:
            self._host(index, step, values)  # an empty batch has no schedule
            return
        raise VerifyError(
            complaint("the schedule leaves a step undone, or runs its reader first", where=step.path or step.name)
        )

    def _opened(self, index: int, step: MatrixStep, values: Values) -> MatrixWork:
        """The work of a step, begun at its first window."""
        if index not in self._work:
            self._demand((step.input,), values)
            x = self._fetch(step, values).to(self.options.dtype)
            spec, before = self.body.banks[step.bank].spec, self._before.get(step.name, 1)
            self._work[index] = MatrixWork(step, x, spec, before, self.options.samples)
        return self._work[index]

    def _finish(self, index: int, step: MatrixStep, values: Values) -> None:
        """A matrix step is done: its bias on, and its result known."""
        work = self._work.pop(index)
        bias = None if step.bias is None else values[step.bias]
        if bias is not None:
            spec = self.body.banks[step.bank].spec
            self._counts += Counts(accumulations=work.work.vectors * spec.groups * spec.rows)
        self._leave(index, declared(step, work.result(bias), self.options.dtype), values)

    def _use(
        self, index: int, bank: str, row: int, core: int, key: Key | None = None, driver: TileDriver | None = None
    ) -> TileUse:
        return TileUse(index, bank, row, core, key or (bank, row), driver or self._drivers[bank])

    def _leave(self, index: int, result: Any, values: Values) -> None:
        """A step is done: keep its result, drop what nobody reads any more, and say so."""
        step = self.body.steps[index]
        values[step.name] = result
        values.release(reads(step))
        self._done.add(index)
        if self._progress is not None:
            self._progress(len(self._done), len(self.body.steps), step.path or step.name)
