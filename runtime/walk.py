"""Walking a program: values by name, arguments to torch objects, host ops, and when a value is dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .errors import LightloomError, VerifyError, complaint
from .hostops import arguments, resolve
from .program import HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep, Step
from .values import DTYPES, references


class Values:
    """The named values of one run. A value is dropped once its last reader has run.

    ``dtype`` is the run's floating type: a float64 run computes in float64 whatever is declared float32
    (inputs, constants and dtype arguments alike); a float32 run takes every type as declared.
    """

    def __init__(self, body: ProgramBody, inputs: Mapping[str, Any], dtype: torch.dtype, device: torch.device) -> None:
        self.dtype = dtype
        self.device = device
        self._values: dict[str, Any] = {name: _place(value, device) for name, value in inputs.items()}
        self._constants = body.constants
        self._readers = reader_counts(body)

    def __contains__(self, name: str) -> bool:
        return name in self._values or name in self._constants

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name in self._constants:
            return self.constant(name)
        raise VerifyError(complaint("a value is read before it is computed", got=name))

    def __setitem__(self, name: str, value: Any) -> None:
        if self._readers.get(name, 0):
            self._values[name] = value

    def constant(self, name: str) -> Tensor:
        """A constant on the run's device, widened in a float64 run."""
        constant = self._constants[name]
        widen = self.dtype == torch.float64 and constant.dtype == torch.float32
        return constant.to(self.device, torch.float64 if widen else constant.dtype)

    def release(self, names: tuple[str, ...]) -> None:
        """Note that one reader of each of these values is done."""
        for name in names:
            if name in self._readers:
                self._readers[name] -= 1
                if not self._readers[name]:
                    self._values.pop(name, None)


def reads(step: Step) -> tuple[str, ...]:
    """Names of the values that a step reads, one entry for each read."""
    if isinstance(step, MatrixStep):
        return (step.input,) if step.bias is None else (step.input, step.bias)
    if isinstance(step, ProductStep):
        return (step.left, step.right)
    if isinstance(step, RecurrentStep):
        return (step.input, *step.states) if step.bias is None else (step.input, *step.states, step.bias)
    kwargs = tuple(value for _, value in step.kwargs)
    return references(step.args) + references(kwargs)


def reader_counts(body: ProgramBody) -> dict[str, int]:
    """How often each value is read, by steps and outputs."""
    counts: dict[str, int] = {}
    for names in (*(reads(step) for step in body.steps), references(body.outputs)):
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return counts


def run_host_step(step: HostStep, values: Values) -> Any:
    """Compute a host step. Raises LightloomError that names the layer where the op fails."""
    function = resolve(step.op)
    args, kwargs = arguments(step.args, step.kwargs, values, device=values.device, widen=values.dtype)
    try:
        return function(*args, **kwargs)
    except LightloomError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise LightloomError(
            complaint(
                f"host op {step.op} failed: {str(error).splitlines()[0]}",
                where=step.path or step.name,
                got=", ".join(_summary(arg) for arg in args),
                next_step="check that the inputs have the sizes the model was traced for",
            )
        ) from error


def declared(step: MatrixStep | ProductStep, result: Tensor, run_dtype: torch.dtype) -> Tensor:
    """A matrix result in the dtype the program declares; a float64 run keeps float64 for float32."""
    dtype = DTYPES[step.type.dtype]
    return result if dtype == torch.float32 and run_dtype == torch.float64 else result.to(dtype)


def _place(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value


def _summary(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)[:60]
