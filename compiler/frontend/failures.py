"""What to say where no way of tracing works: the one cause and its place in the user's code, the rest on request."""

from __future__ import annotations

import logging
import os
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...runtime.errors import CaptureError, LightloomError, complaint
from .example import Example

_LOUD = (
    "torch._dynamo",
    "torch._export",
    "torch._subclasses.fake_tensor",
    "torch.export",
    "torch.fx",
    "torch.fx.experimental.symbolic_shapes",
)
"""Loggers that tell of a failure before it is one: another way of tracing may work."""

_ON_DATA = ("DataDependent", "Data-dependent", "data-dependent", "inputs to control flow")
_UNTRACED = "the model cannot be traced"
_OURS = Path(__file__).parent.parent


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch from telling of failed attempts: the error does, if all fail. ``TORCH_LOGS`` asks for all of it."""
    if os.environ.get("TORCH_LOGS"):
        yield
        return
    from torch.export import _trace

    levels = [(logger, logger.level) for logger in map(logging.getLogger, _LOUD)]
    for logger, _ in levels:
        logger.setLevel(logging.CRITICAL)
    # torch.export prints the graph that it has so far to standard error, whatever the loggers say
    module: Any = _trace
    module.print = lambda *_, **__: None
    try:
        yield
    finally:
        module.__dict__.pop("print", None)
        for logger, level in levels:
            logger.setLevel(level)


def capture_error(model: nn.Module, example: Example, attempts: Mapping[str, Exception]) -> CaptureError:
    """The error of a model that no way of tracing takes.

    Args:
        model, example: what was to be traced.
        attempts: the error of each way of tracing, in the order tried.

    Returns:
        An error of one cause: the model's own, where it does not run on the example either. ``attempts`` has the rest.
    """
    name = type(model).__name__
    own = _own_failure(model, example)
    if own is not None:
        path, cause = own
        error = CaptureError(
            complaint(
                f"the model does not run on its example inputs, {_shapes(example)}",
                where=", ".join(filter(None, (name, path and f"layer {path}", _place(cause)))),
                got=first_line(cause),
                next_step="pass example inputs that the model itself takes",
            )
        )
    else:
        way, cause = next(
            (item for item in attempts.items() if any(word in first_line(item[1]) for word in _ON_DATA)),
            next(iter(attempts.items())),
        )
        steps = (
            "export the part that can be traced and compile that; error.attempts tells what each way of tracing said"
        )
        if any(word in first_line(cause) for word in _ON_DATA):
            what = f"{_UNTRACED}: its Python control flow depends on the values of tensors"
            steps = f"replace it (torch.where, torch.cond), or {steps}"
        else:
            what = _UNTRACED
        place = next(filter(None, map(_place, (cause, *attempts.values()))), "")
        got = None if place and what != _UNTRACED else f"{way}: {first_line(cause)}"  # the line says more than torch
        where = ", ".join(filter(None, (name, place)))
        error = CaptureError(complaint(what, where=where, got=got, next_step=steps))
    error.attempts = tuple(f"{way}: {first_line(cause)}" for way, cause in attempts.items())
    return error


def first_line(error: Exception) -> str:
    """Type and first lines of an error."""
    if isinstance(error, LightloomError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "Traceback of TorchScript" in str(error):  # the cause comes last there
        return lines[-1][:400]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:400]}" if lines else type(error).__name__


def _own_failure(model: nn.Module, example: Example) -> tuple[str, Exception] | None:
    """Path of the layer and error of the model itself on the example; None where it runs, or cannot be tried.

    On a copy: running may change what a model holds.
    """
    tensors = [leaf.tensor for leaf in example.leaves]
    if any(tensor.is_meta for tensor in (*tensors, *model.parameters(), *model.buffers())):
        return None
    try:
        twin, args, kwargs = deepcopy((model, example.args, dict(example.kwargs)))
    except Exception:  # a model that cannot be copied
        return None
    with torch.no_grad():
        try:
            twin(*args, **kwargs)
        except Exception:
            pass  # once more, to tell the layer
        else:
            return None
    under: list[str] = []

    def enter(path: str) -> None:
        under.append(path)

    def leave() -> None:
        under.pop()

    hooked = ((path, part) for path, part in twin.named_modules() if not isinstance(part, torch.jit.ScriptModule))
    for path, module in hooked:
        module.register_forward_pre_hook(lambda *_, path=path: enter(path))
        module.register_forward_hook(lambda *_: leave())
    try:
        with torch.no_grad():
            twin(*args, **kwargs)
    except Exception as error:
        return (under[-1] if under else ""), error
    return None


def _place(error: Exception) -> str:
    """Where in the user's code an error comes from: the innermost line that is neither torch's nor ours."""
    torch_folder, library = Path(torch.__file__).parent, Path(sysconfig.get_paths()["stdlib"])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if not file.is_file() or file.is_relative_to(torch_folder) or file.is_relative_to(_OURS):
            continue
        if file.is_relative_to(library) and "site-packages" not in file.parts:
            continue
        return f"{file.name} line {frame.lineno}: {frame.line}" if frame.line else f"{file.name} line {frame.lineno}"
    return ""


def _shapes(example: Example) -> str:
    return ", ".join(
        f"{leaf.where} {str(leaf.tensor.dtype).removeprefix('torch.')}{list(leaf.tensor.shape)}"
        for leaf in example.leaves
    )
