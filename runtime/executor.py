"""Runs a program on the simulator: checks inputs, walks the steps, puts the outputs together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .bankloop import ChipArithmetic
from .batched import BatchedMatrices, RecordObserver, RunOptions
from .errors import InputError, complaint
from .geometry import check_input
from .inputs import batch_size, check_finite, check_inputs
from .program import MatrixStep, ProgramBody, TileBank
from .values import DTYPES, Ref
from .walk import Values, reads, run_host_step, structured

EXECUTORS = ("batched", "step")
Progress = Callable[[int, int, str], None]
"""Called after each step with: steps done, steps in all, the step's layer path."""


class Runner:
    """A program made ready to run many times: what runs share is built once and kept, within bounds.

    Args:
        body: the program; it is never written to.
        engine: of the batched executor: ``auto``, ``fused`` (numba) or ``plain`` (torch).
        block_bytes: largest block of im2col vectors at a time.
        cache_bytes: most bytes of tables kept between runs.
    """

    def __init__(
        self,
        body: ProgramBody,
        engine: str = "auto",
        *,
        block_bytes: int = 16 << 20,
        cache_bytes: int = 4 << 30,
        chip: Callable[[TileBank], ChipArithmetic] | None = None,
        exact: bool = False,
    ) -> None:
        self.body = body
        self._matrices = BatchedMatrices(
            body, engine=engine, block_bytes=block_bytes, cache_bytes=cache_bytes, chip=chip, exact=exact
        )

    @torch.no_grad()
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

        Returns:
            What the model returns: tensors in the tree of tuples, lists and dicts of ``body.structure``.

        Raises:
            InputError: inputs that do not fit, or values that become NaN or infinite on the way.
        """
        self._check_options(executor, dtype, ideal, observe)
        body = self.body
        named = check_inputs(body.inputs, inputs, dtype)
        device = inputs[0].device if inputs else torch.device("cpu")
        samples = batch_size(body.inputs, named, body.example_batch)
        options = RunOptions(seed, ideal, dtype, device, samples, observe)
        values = Values(body, named, dtype, device)
        for index, step in enumerate(body.steps):
            if isinstance(step, MatrixStep):
                values[step.name] = self._matrix_step(index, step, values, options)
            else:
                values[step.name] = run_host_step(step, values)
            values.release(reads(step))
            if progress is not None:
                progress(index + 1, len(body.steps), step.path or step.name)
        return collect_outputs(body, values)

    def _matrix_step(self, index: int, step: MatrixStep, values: Values, options: RunOptions) -> Tensor:
        x = matrix_input(self.body, step, values)
        bias = None if step.bias is None else values[step.bias]
        return declared(step, self._matrices(index, step, x, bias, options), options.dtype)

    @staticmethod
    def _check_options(executor: str, dtype: torch.dtype, ideal: bool, observe: object) -> None:
        if executor not in EXECUTORS:
            raise InputError(
                complaint("unknown executor", got=repr(executor), allowed=" or ".join(EXECUTORS))
            )
        if dtype not in (torch.float32, torch.float64):
            raise InputError(
                complaint(
                    "a run computes in one of two dtypes", got=dtype, allowed="torch.float32, torch.float64"
                )
            )
        if observe is not None and (ideal or executor != "batched"):
            raise InputError(
                complaint("nothing to observe", got="observe= of an ideal or a step run",
                          allowed="executor='batched', ideal=False")
            )  # fmt: skip


def matrix_input(body: ProgramBody, step: MatrixStep, values: Values) -> Tensor:
    """What a matrix step reads, checked: it fits the bank, and every element is finite."""
    x = values[step.input]
    where = step.path or step.name
    check_input(tuple(x.shape), step.geometry, body.banks[step.bank].spec.cols, where)
    check_finite(x, f"values on the way into the chip became NaN or infinite (value {step.input!r})", where)
    return x


def declared(step: MatrixStep, result: Tensor, run_dtype: torch.dtype) -> Tensor:
    """A matrix result in the dtype the program declares; a float64 run keeps float64 for float32."""
    dtype = DTYPES[step.type.dtype]
    return result if dtype == torch.float32 and run_dtype == torch.float64 else result.to(dtype)


def collect_outputs(body: ProgramBody, values: Values) -> Any:
    """The outputs of a run in the tree that the model returned."""
    leaves = [values[arg.name] if isinstance(arg, Ref) else arg for arg in body.outputs]
    return structured(body.structure, leaves)


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
