"""What a user brings, as a torch module: modules and exported programs as they are, TorchScript and ONNX read."""

from __future__ import annotations

import inspect
import keyword
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.export import ExportedProgram

from ...runtime.errors import CaptureError, InputError, complaint
from .torchscript import from_torchscript

if TYPE_CHECKING:
    from .onnx import InputInfo, OnnxModule

BATCH = 2
"""Samples of example inputs that are made up: torch.export takes a size of 1 for a constant."""


def as_module(model: object, example_inputs: object = None) -> tuple[nn.Module | ExportedProgram, object]:
    """A model that capture takes, and its example inputs.

    Args:
        model: A module, TorchScript, an exported program, or an ONNX model: a path, its bytes, or a ModelProto.
        example_inputs: As for :func:`.capture.capture`. An ONNX model that leaves no size open but the batch needs
            none; one that does takes a dict by input name, a tuple, or a tensor.

    Raises:
        CaptureError: neither of these, or an ONNX model that cannot be imported.
        InputError: an ONNX file that is not there, or sizes that only example inputs can tell.
    """
    if isinstance(model, torch.jit.ScriptModule):
        return from_torchscript(model), example_inputs
    if isinstance(model, (nn.Module, ExportedProgram)):
        return model, example_inputs
    if not isinstance(model, (str, os.PathLike, bytes)) and type(model).__name__ != "ModelProto":
        raise CaptureError(
            complaint(
                "not a model",
                got=type(model).__name__,
                allowed="torch.nn.Module, TorchScript, torch.export.ExportedProgram, or an ONNX file, its bytes "
                "or its ModelProto",
            )
        )
    from .onnx import to_module

    module = to_module(model)  # type: ignore[arg-type]
    _name_inputs(module)
    if example_inputs is None:
        return module, _example(module.inputs)
    return module, _by_position(module.inputs, example_inputs)


def _name_inputs(module: OnnxModule) -> None:
    """Give forward the parameters that the ONNX file names: they become the names of the program's inputs."""
    from .onnx.names import identifier

    names: list[str] = []
    for info in module.inputs:
        name = identifier(info.name)
        if not name.isidentifier() or keyword.iskeyword(name) or name in ("self", "inputs", "named"):
            name = f"input_{name}"
        while name in names:
            name += "_"
        names.append(name)
    module.parameter_names = tuple(names)
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    signature = inspect.Signature(parameters)
    plain = module.forward

    def forward(*inputs: Any, **named: Any) -> Any:
        return plain(*signature.bind(*inputs, **named).args)

    forward.__signature__ = signature  # type: ignore[attr-defined]
    module.forward = forward  # type: ignore[method-assign]


def _by_position(inputs: tuple[InputInfo, ...], given: object) -> object:
    """Inputs given by name, in the order of the file; anything else as it is."""
    if not isinstance(given, dict):
        return given
    names = [info.name for info in inputs]
    if set(given) != set(names):
        raise InputError(
            complaint("example inputs of other names than the model's", got=list(given), allowed=", ".join(names))
        )
    return tuple(given[name] for name in names)


def _example(inputs: tuple[InputInfo, ...]) -> tuple[torch.Tensor, ...]:
    """Zeros of the declared types and shapes; the open size that leads most inputs is the batch."""
    leading = Counter(info.shape[0] for info in inputs if info.shape and isinstance(info.shape[0], str))
    batch = leading.most_common(1)[0][0] if leading else None
    open_sizes = [
        f"{info.name}: dimension {axis} ({size!r})" if size != "?" else f"{info.name}: dimension {axis}"
        for info in inputs
        for axis, size in enumerate(info.shape or ())
        if isinstance(size, str) and (size != batch or (size == "?" and axis))
    ]
    unknown = [info.name for info in inputs if info.shape is None or info.dtype is None]
    if open_sizes or unknown:
        raise InputError(
            complaint(
                "the ONNX file leaves sizes open that the tiles' work depends on",
                got="; ".join([*open_sizes, *(f"{name}: no shape or type at all" for name in unknown)]),
                next_step="pass example_inputs=, a tensor, a tuple, or a dict by input name",
            )
        )
    return tuple(
        torch.zeros([BATCH if isinstance(size, str) else size for size in info.shape or ()], dtype=info.dtype)
        for info in inputs
    )
