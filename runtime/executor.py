"""Runs a program on the simulator: checks inputs, walks the steps, puts the outputs together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .ambient import plain_torch
from .bankloop import ChipArithmetic
from .batched import BatchedMatrices, RecordObserver, RunOptions
from .device import PhotonicDevice
from .errors import InputError, LightloomError, complaint
from .geometry import check_input
from .inputs import batch_size, check_finite, check_inputs
from .pricing.costs_at import costs_at
from .pricing.counts import Counts, run_counts
from .products import Tiler, no_tiler
from .program import MatrixStep, ProductStep, ProgramBody, RecurrentStep, TileBank
from .recurrent import Recurrence, start
from .scheduling.dealing import deal
from .scheduling.schedule import COLUMNS, Schedule
from .seeds import seed_of
from .simulator import SimulatorDevice
from .stepping.stepper import Stepper
from .trees import structured
from .values import Ref
from .walk import Values, declared, reads, run_host_step

EXECUTORS = ("batched", "step")
Progress = Callable[[int, int, str], None]
"""Called after each step with: steps done, steps in all, the step's layer path."""


class Runner:
    """A program made ready to run many times: what runs share is built once and kept, within bounds.

    Args:
        body: the program; it is never written to.
        engine: of the batched executor: ``auto``, ``fused`` (numba), ``triton`` (a GPU) or ``plain`` (torch).
        block_bytes: largest block of im2col vectors at a time.
        cache_bytes: most bytes of tables kept between runs.
        schedule: batch size -> schedule, of step runs and counts; dealt as ``body.plan`` asks by default.
        chip, exact: see :class:`.batched.BatchedMatrices`; for calibration.
        tiler: makes the tiles of products of two computed values; a :class:`lightloom.Program` brings the compiler's.

    ``preloaded`` counts what the last step run put on the cores before it began, as its schedule was a warm one.
    """

    def __init__(
        self,
        body: ProgramBody,
        engine: str = "auto",
        *,
        block_bytes: int = 16 << 20,
        cache_bytes: int = 4 << 30,
        schedule: Callable[[int], Schedule] | None = None,
        chip: Callable[[TileBank], ChipArithmetic] | None = None,
        exact: bool = False,
        tiler: Tiler = no_tiler,
    ) -> None:
        self.body = body
        self._counted: Callable[[], Counts] = Counts
        self.preloaded = Counts()
        self._block_bytes = block_bytes
        self._schedule = schedule
        self._dealt: tuple[ProgramBody, int, bool, Schedule] | None = None  # for the next run like the last one
        self._matrices = BatchedMatrices(
            body,
            engine=engine,
            block_bytes=block_bytes,
            cache_bytes=cache_bytes,
            chip=chip,
            exact=exact,
            tiler=tiler,
        )
        self._tiler = tiler

    @property
    def counts(self) -> Counts:
        """What the last run did: a step run event by event, a batched run as its schedule would have done it."""
        counts = self._counted()
        self._counted = lambda: counts
        return counts

    @plain_torch()
    def run(
        self,
        inputs: Sequence[Tensor],
        *,
        seed: int = 0,
        ideal: bool = False,
        executor: str = "batched",
        dtype: torch.dtype = torch.float32,
        progress: Progress | None = None,
        observe: RecordObserver | None = None,
        device: PhotonicDevice | None = None,
        warm: bool = False,
    ) -> Any:
        """Run the program.

        Args:
            inputs: one tensor for each of ``body.inputs``; a symbolic first dimension takes any batch
                size, 0 included. The run happens on the device of the first input.
            seed: of every random number; the same seed gives the same outputs, and sample *i* sees the
                same noise whatever the batch size.
            ideal: every imperfection off: exact phases, no converters, no noise.
            executor: ``batched``, whole banks at once; ``step``, event by event as hardware does.
            dtype: float32, or float64, which reproduces converter codes exactly.
            progress: called after each step.
            observe: called with each matrix step, its tables and :class:`ColumnRecord` (batched, not ideal).
            device: what the step executor drives; a :class:`SimulatorDevice` by default.
            warm: take the schedule of a run after one like it, with tiles on the cores already; what is not there is
                configured before it.

        Returns:
            What the model returns: tensors in the tree of ``body.structure``.

        Raises:
            InputError: inputs that do not fit, NaN or infinity among what enters the chip, or no seed.
            LightloomError: a host op fails, or the run needs more memory than there is.
        """
        self._check_options(executor, dtype, ideal, observe)
        seed, body = seed_of(seed), self.body
        named = check_inputs(body.inputs, inputs, dtype, body.ranges)
        place = inputs[0].device if inputs and executor == "batched" else torch.device("cpu")
        samples = batch_size(body, named)
        options = RunOptions(seed, ideal, dtype, place, samples, observe)
        values = Values(body, named, dtype, place)
        sized = costs_at(body, named, samples)
        try:
            if executor == "step":
                self._step_by_step(sized, values, options, device, progress, warm)
            else:
                self._whole_banks(sized, values, options, progress)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
                raise LightloomError(
                    complaint("the run needs more memory than there is", got=str(error).splitlines()[0][:200],
                              next_step="run fewer samples at a time")
                ) from error  # fmt: skip
            raise
        return collect_outputs(body, values)

    def _whole_banks(self, body: ProgramBody, values: Values, options: RunOptions, progress: Progress | None) -> None:
        for index, step in enumerate(body.steps):
            if isinstance(step, MatrixStep):
                x = matrix_input(body, step, values)
                bias = None if step.bias is None else values[step.bias]
                result = self._matrices(index, step, x, bias, options)
                values[step.name] = declared(step, result, options.dtype)
            elif isinstance(step, ProductStep):
                left, right = product_inputs(body, step, values)
                result = self._matrices.product(index, step, left, right, options)
                values[step.name] = declared(step, result, options.dtype)
            elif isinstance(step, RecurrentStep):
                work = recurrence(body, step, values, options.dtype)
                bias = None if step.bias is None else values[step.bias]
                values[step.name] = self._matrices.recurrent(index, step, work, bias, options)
            else:
                values[step.name] = run_host_step(step, values)
            values.release(reads(step))
            if progress is not None:
                progress(index + 1, len(body.steps), step.path or step.name)
        self._counted = lambda: run_counts(body, self._scheduled(body, options.samples))

    def _scheduled(self, body: ProgramBody, samples: int, warm: bool = False) -> Schedule:
        """The schedule of a run of so many samples, of the program at the sizes of its inputs."""
        if not samples:
            return _empty(body)
        if self._schedule is not None:
            return self._schedule(samples)
        if self._dealt is None or self._dealt[0] is not body or self._dealt[1:3] != (samples, warm):
            self._dealt = (body, samples, warm, deal(body, samples, warm=warm))
        return self._dealt[3]

    def _step_by_step(
        self,
        body: ProgramBody,
        values: Values,
        options: RunOptions,
        device: PhotonicDevice | None,
        progress: Progress | None,
        warm: bool,
    ) -> None:
        if device is None:
            device = SimulatorDevice(
                body.target,
                options.seed,
                ideal=options.ideal,
                dtype=options.dtype,
                layer_targets=body.layer_targets,
            )

        def fetch(step: MatrixStep, values: Values) -> Tensor:
            return matrix_input(body, step, values)

        def operands(step: ProductStep, values: Values) -> tuple[Tensor, Tensor]:
            return product_inputs(body, step, values)

        def begin(step: RecurrentStep, values: Values) -> Recurrence:
            return recurrence(body, step, values, options.dtype)

        stepper = Stepper(
            body,
            device,
            options,
            fetch=fetch,
            begin=begin,
            operands=operands,
            tiler=self._tiler,
            block_bytes=self._block_bytes,
            progress=progress,
        )
        stepper.run(self._scheduled(body, options.samples, warm), values)
        counts = stepper.counts
        self._counted, self.preloaded = lambda: counts, stepper.preloaded

    @staticmethod
    def _check_options(executor: str, dtype: torch.dtype, ideal: bool, observe: object) -> None:
        if executor not in EXECUTORS:
            raise InputError(complaint("unknown executor", got=repr(executor), allowed=" or ".join(EXECUTORS)))
        if dtype not in (torch.float32, torch.float64):
            raise InputError(
                complaint("a run computes in one of two dtypes", got=dtype, allowed="torch.float32, torch.float64")
            )
        if observe is not None and (ideal or executor != "batched"):
            raise InputError(
                complaint("nothing to observe", got="observe= of an ideal or a step run",
                          allowed="executor='batched', ideal=False")
            )  # fmt: skip


def matrix_input(body: ProgramBody, step: MatrixStep, values: Values) -> Tensor:
    """What a matrix step reads, checked: it fits the bank, and every element is finite."""
    x = values[step.input]
    check_input(tuple(x.shape), step.geometry, body.banks[step.bank].spec.cols, step.path or step.name)
    check_enters(body, step, step.input, x)
    return x


def product_inputs(body: ProgramBody, step: ProductStep, values: Values) -> tuple[Tensor, Tensor]:
    """What a product of two computed values reads, checked: every element is finite."""
    operands = (values[step.left], values[step.right])
    for name, value in zip((step.left, step.right), operands, strict=True):
        check_enters(body, step, name, value)
    return operands


def check_enters(body: ProgramBody, step: MatrixStep | ProductStep, name: str, value: Tensor) -> None:
    """Raise InputError unless a value can become light: what never enters the chip may be infinite or NaN."""
    place = next((place for place, spec in enumerate(body.inputs) if spec.name == name), None)
    if place is None:
        what = f"values on the way into the chip became NaN or infinite (value {name!r})"
        check_finite(value, what, step.path or step.name)
    else:
        where = f"input {name!r}, position {place}, on its way into {step.path or step.name}"
        check_finite(value, "input holds NaN or infinity", where)


def recurrence(body: ProgramBody, step: RecurrentStep, values: Values, dtype: torch.dtype) -> Recurrence:
    """A recurrent step at its first time step, its inputs checked and in the run's dtype."""
    return start(body, step, values[step.input].to(dtype), [values[name].to(dtype) for name in step.states])


def collect_outputs(body: ProgramBody, values: Values) -> Any:
    """The outputs of a run in the tree that the model returned; none of them shows the program's own memory."""
    leaves = [values[arg.name] if isinstance(arg, Ref) else arg for arg in body.outputs]
    own = {constant.untyped_storage().data_ptr() for constant in body.constants.values()} - {0}
    leaves = [
        leaf.clone() if isinstance(leaf, Tensor) and leaf.untyped_storage().data_ptr() in own else leaf
        for leaf in leaves
    ]
    return structured(body.structure, leaves)


def _empty(body: ProgramBody) -> Schedule:
    """The schedule of no samples: no events."""
    columns: dict[str, Any] = {name: np.empty(0, dtype) for name, dtype in COLUMNS.items()}
    return Schedule(tuple(step.name for step in body.steps), 0, makespan_s=0.0, lower_bound_s=0.0, **columns)


def run(
    body: ProgramBody,
    inputs: Sequence[Tensor],
    *,
    seed: int = 0,
    ideal: bool = False,
    executor: str = "batched",
    dtype: torch.dtype = torch.float32,
    observe: RecordObserver | None = None,
) -> Any:
    """Run a program once. See :meth:`Runner.run`; keep a :class:`Runner` to run it again."""
    return Runner(body).run(inputs, seed=seed, ideal=ideal, executor=executor, dtype=dtype, observe=observe)
