"""A model in, an ``nn`` graph out: torch.export first, torch.fx.symbolic_trace where that fails."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.export import ExportedProgram

from ...runtime.errors import CaptureError, InputError, complaint
from ..ir import Graph
from .functional import functional
from .torch_export import graph_of

_TRAINING_DEPENDENT = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, nn.RReLU)


@dataclass(frozen=True)
class Captured:
    """A captured model: the graph, the batch of the example inputs, and how the capture was made."""

    graph: Graph
    example_batch: int
    method: str


def capture(model: nn.Module | ExportedProgram, example_inputs: object = None) -> Captured:
    """Capture a model as an ``nn`` graph with a symbolic batch where the model allows one.

    Args:
        model: A module in eval mode, or an exported program.
        example_inputs: A tensor or a tuple of tensors, first dimension the batch. An exported
            program may carry its own.

    Raises:
        CaptureError: the model is in training mode, or no way of tracing it works (with every reason).
        InputError: the example inputs are missing, not tensors, or empty.
    """
    if isinstance(model, ExportedProgram):
        if example_inputs is None and model.example_inputs is not None:
            example_inputs = model.example_inputs[0]
        inputs = _tensors(example_inputs)
        return Captured(graph_of(*functional(model), _name(model)), _batch(inputs), "exported program")
    if not isinstance(model, nn.Module):
        raise CaptureError(
            complaint(
                "not a model",
                got=type(model).__name__,
                allowed="torch.nn.Module or torch.export.ExportedProgram",
            )
        )
    _check_eval(model)
    inputs = _tensors(example_inputs)
    traced, method = _export(model, inputs)
    return Captured(graph_of(*traced, type(model).__name__), _batch(inputs), method)


def _name(program: ExportedProgram) -> str:
    return type(program.graph_module).__name__


def _tensors(example_inputs: object) -> tuple[torch.Tensor, ...]:
    if isinstance(example_inputs, torch.Tensor):
        example_inputs = (example_inputs,)
    if not isinstance(example_inputs, (tuple, list)) or not example_inputs:
        raise InputError(
            complaint(
                "compile needs example inputs",
                got=type(example_inputs).__name__,
                allowed="a tensor or a tuple of tensors, first dimension the batch",
                next_step="pass compile(model, torch.zeros(1, ...), target=...)",
            )
        )
    for position, value in enumerate(example_inputs):
        if not isinstance(value, torch.Tensor):
            raise InputError(
                complaint("an example input is not a tensor", where=f"input {position}", got=type(value).__name__)
            )
        if value.ndim == 0 or value.shape[0] == 0:
            raise InputError(
                complaint(
                    "an example input has no samples",
                    where=f"input {position}",
                    got=f"shape {tuple(value.shape)}",
                    allowed="at least one sample along the first dimension",
                )
            )
    return tuple(example_inputs)


def _batch(inputs: tuple[torch.Tensor, ...]) -> int:
    return inputs[0].shape[0]


def _check_eval(model: nn.Module) -> None:
    """Batch norm or dropout in training mode would compile to something else than the user sees."""
    offenders = [
        f"{path or 'the model itself'} ({type(module).__name__})"
        for path, module in model.named_modules()
        if module.training and isinstance(module, _TRAINING_DEPENDENT)
    ]
    if offenders:
        raise CaptureError(
            complaint(
                "the model is in training mode",
                where=", ".join(offenders[:8]) + (f" and {len(offenders) - 8} more" if len(offenders) > 8 else ""),
                allowed="eval mode: running statistics are folded into the weights",
                next_step="call model.eval() before compile",
            )
        )


def _export(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[tuple[ExportedProgram, frozenset[str]], str]:
    """Try each way of tracing in turn; raise with every reason if none works."""
    batch = _batch(inputs)
    # torch.export takes a dimension of size 1 for a constant, so a single sample is traced twice over.
    traced = tuple(x.expand(2, *x.shape[1:]) if batch == 1 and x.shape[0] == 1 else x for x in inputs)
    dynamic = tuple({0: torch.export.Dim.AUTO} if x.shape[0] == batch else None for x in inputs)

    def export(module: nn.Module, strict: bool) -> ExportedProgram:
        return torch.export.export(
            module, traced, dynamic_shapes=(dynamic,) if _variadic(module) else dynamic, strict=strict
        )

    ways: tuple[tuple[str, Callable[[], ExportedProgram]], ...] = (
        ("torch.export", lambda: export(model, False)),
        ("torch.export, strict", lambda: export(model, True)),
        ("torch.fx.symbolic_trace", lambda: export(torch.fx.symbolic_trace(model), False)),
    )
    reasons: list[str] = []
    for method, trace in ways:
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                return functional(trace()), method
        except Exception as error:
            reasons.append(f"{method}: {_first_line(error)}")
    raise CaptureError(
        complaint(
            "the model cannot be traced",
            where=type(model).__name__,
            got="\n  - " + "\n  - ".join(reasons) + "\n",
            next_step="replace data-dependent Python control flow (torch.cond, torch.where), or export the part "
            "that can be traced and compile that",
        )
    )


def _variadic(module: nn.Module) -> bool:
    """Whether forward takes *args: torch.export then wants the dynamic shapes nested once more."""
    import inspect

    parameters = list(inspect.signature(module.forward).parameters.values())
    return len(parameters) == 1 and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:400]}" if lines else type(error).__name__
