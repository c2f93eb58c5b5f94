"""A model in, an ``nn`` graph out: torch.export first, torch.fx.symbolic_trace where that fails."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from numba.core.compiler_lock import global_compiler_lock
from torch import nn
from torch._dynamo.convert_frame import compile_lock
from torch.export import ExportedProgram

from ...runtime.errors import CaptureError, complaint
from ..ir import Graph
from .control import ControlError
from .example import Example
from .failures import capture_error, first_line, quiet
from .functional import functional, written_inputs
from .recurrent_ops import whole_loops
from .torch_export import Wanted, graph_of
from .untouched import untouched

_TRAINING_DEPENDENT = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, nn.RReLU)

_CONSTANT_BATCH = "the model takes the number of samples for a constant"

Traced = tuple[ExportedProgram, frozenset[str]]


class CaptureWarning(UserWarning):
    """A model was captured, but not quite as asked for."""


@dataclass(frozen=True)
class Captured:
    """A captured model: the graph, the batch of the example inputs, and how the capture was made.

    ``notes``: what the program cannot do that one would expect of it, such as a batch that is fixed.
    ``written``: names of inputs that the model writes to, and a program does not: it works on copies.
    """

    graph: Graph
    example_batch: int
    method: str
    notes: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


def capture(
    model: nn.Module | ExportedProgram, example_inputs: object = None, dynamic_shapes: object = None
) -> Captured:
    """Capture a model as an ``nn`` graph with a symbolic batch where the model allows one.

    Where it does not, the batch is fixed at that of the example, and a :class:`CaptureWarning` and ``notes`` say so.

    Args:
        model: A module in eval mode, or an exported program.
        example_inputs: A tensor, a tuple of inputs or a dict of keyword inputs, see :class:`.example.Example`. An
            exported program may carry its own.
        dynamic_shapes: Sizes besides the batch that may vary, by input: ``{"input_ids": {1: "length"}}``, or as
            ``torch.export`` takes them.

    One model is captured at a time, in whatever thread, and no kernel compiled meanwhile: tracing changes what the
    whole process has once, ``max`` and ``math.pow`` for two. The locks are those of torch.compile and of numba. The
    model is left as it was.

    Raises:
        CaptureError: the model is in training mode, fixes a size that was to vary, or no way of tracing it works
            (with the cause; ``attempts`` has what each way said).
        InputError: the example inputs are missing, not tensors, or empty, or dynamic_shapes does not fit them.
    """
    with compile_lock, global_compiler_lock:
        if isinstance(model, ExportedProgram):
            return _exported(model, example_inputs, dynamic_shapes)
        return _captured(model, example_inputs, dynamic_shapes)


def _captured(model: nn.Module, example_inputs: object, dynamic_shapes: object) -> Captured:
    if not isinstance(model, nn.Module):
        raise CaptureError(
            complaint(
                "not a model",
                got=type(model).__name__,
                allowed="torch.nn.Module or torch.export.ExportedProgram",
            )
        )
    _check_eval(model)
    inputs = _input_names(model)
    if isinstance(dynamic_shapes, Mapping):
        dynamic_shapes = {inputs.get(name, name): spec for name, spec in dynamic_shapes.items()}
    example = Example.of(example_inputs, dynamic_shapes, model.forward)
    name = _name(model)
    with _without_cache(model) as uncached:
        program, method, fixed = _export(model, example)
    graph = graph_of(*program, name, Wanted(example.leaves, tuple(inputs)))
    notes = (*uncached, *fixed)
    for note in fixed:
        warnings.warn(f"{name}: {note}", CaptureWarning, stacklevel=7)
    return Captured(graph, example.batch, method, notes, written_inputs(*program))


def _name(model: nn.Module) -> str:
    """What the program is called: the class, or the graph's name where the class is the ONNX importer's."""
    kind = type(model).__name__
    given = getattr(model, "name", None) if kind == "OnnxModule" else None
    return given if isinstance(given, str) and given else kind


def _input_names(model: nn.Module) -> dict[str, str]:
    """What an ONNX file calls its inputs, whatever signs that holds, and the parameter of each; empty for others."""
    infos = getattr(model, "inputs", ()) if type(model).__name__ == "OnnxModule" else ()
    return dict(zip((info.name for info in infos), getattr(model, "parameter_names", ()), strict=False))


def _exported(model: ExportedProgram, example_inputs: object, dynamic_shapes: object) -> Captured:
    if dynamic_shapes is not None:
        raise CaptureError(
            complaint(
                "the sizes of an exported program are set already",
                got="dynamic_shapes=",
                next_step="pass dynamic_shapes to torch.export.export, or compile the module itself",
            )
        )
    if example_inputs is None and model.example_inputs is not None:
        args, kwargs = model.example_inputs
        example_inputs = args or kwargs
        if args and kwargs:
            example_inputs = {**{str(place): value for place, value in enumerate(args)}, **kwargs}
    example = Example.of(example_inputs)
    leaves = tuple(replace(leaf, batched=False) for leaf in example.leaves)  # its author said what is dynamic
    program = functional(model)
    graph = graph_of(*program, type(model.graph_module).__name__, Wanted(leaves))
    return Captured(graph, example.batch, "exported program", written=written_inputs(*program))


def _check_eval(model: nn.Module) -> None:
    """Batch norm or dropout in training mode would compile to something else than the user sees."""
    offenders = [
        f"{path or 'the model itself'} ({type(module).__name__})"
        for path, module in model.named_modules()
        if module.training and isinstance(module, _TRAINING_DEPENDENT) and getattr(module, "p", None) != 0
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


@contextmanager
def _without_cache(model: nn.Module) -> Iterator[tuple[str, ...]]:
    """Language models (transformers) return a cache of keys and values, an object a program cannot hold: leave it out.

    Yields a note where there was a cache to switch off.
    """
    configs = {id(config): config for module in model.modules() if (config := getattr(module, "config", None))}
    caching = [config for config in configs.values() if getattr(config, "use_cache", None) is True]
    for config in caching:
        config.use_cache = False
    try:
        yield ("compiled with use_cache=False: keys and values are not among the outputs",) if caching else ()
    finally:
        for config in caching:
            config.use_cache = True


def _export(model: nn.Module, example: Example) -> tuple[Traced, str, tuple[str, ...]]:
    """Try each way of tracing in turn; raise with every reason if none works.

    First with a symbolic batch, then with the example's. Returns the program, the method, and notes.
    """
    attempts: dict[str, Exception] = {}
    ways: tuple[tuple[str, Callable[[], nn.Module], bool], ...] = (
        ("torch.export", lambda: model, False),
        ("torch.export, strict", lambda: model, True),
        ("torch.fx.symbolic_trace", lambda: _symbolic(model), False),
    )
    for dynamic_batch in (True, False):
        for method, module, strict in ways:
            label = method if dynamic_batch else f"{method}, batch fixed at {example.batch}"
            try:
                with untouched(model):
                    traced = _trace(module(), example, strict, dynamic_batch)
            except Exception as error:
                attempts[label] = error
                continue
            if dynamic_batch and not _fixed_batch(traced[0], example):
                return traced, method, ()
            if dynamic_batch and example.batch == 1:  # traced for two samples, and good for two only
                attempts[label] = CaptureError(_CONSTANT_BATCH)
                break
            cause = first_line(next(iter(attempts.values()))) if attempts else _CONSTANT_BATCH
            return traced, method, _fixed_note(example, cause)
        if not any(leaf.batched for leaf in example.leaves):
            break
    told = next((error for error in attempts.values() if isinstance(error, ControlError)), None)
    raise told or capture_error(model, example, attempts)


def _symbolic(model: nn.Module) -> nn.Module:
    """The model as torch.fx traces it, which runs its forward: a model that writes to its buffers gets them back.

    Raises CaptureError for such a model: the trace would have lost the write.
    """
    held = [(module, name, buffer) for module in model.modules() for name, buffer in module._buffers.items()]
    kept = [(_version(buffer), None if buffer is None else buffer.clone()) for _, _, buffer in held]
    written: list[str] = []
    try:
        return torch.fx.symbolic_trace(model)
    finally:
        for (module, name, buffer), (version, values) in zip(held, kept, strict=True):
            if module._buffers.get(name) is buffer and _version(buffer) == version:
                continue
            written.append(name)
            module._buffers[name] = buffer
            if buffer is not None and values is not None:
                with torch.no_grad():
                    buffer.copy_(values)
        if written:
            raise CaptureError(complaint("the model writes to its own state", got=", ".join(written)))


def _version(buffer: torch.Tensor | None) -> int:
    return 0 if buffer is None or buffer.is_inference() else buffer._version


def _fixed_note(example: Example, cause: str) -> tuple[str, ...]:
    if not any(leaf.batched for leaf in example.leaves):
        return ()
    return (f"the batch is fixed at {example.batch}, that of the example: {cause}",)


def _trace(module: nn.Module, example: Example, strict: bool, dynamic_batch: bool) -> Traced:
    args, kwargs, arg_shapes, kwarg_shapes = example.traced(dynamic_batch)
    with warnings.catch_warnings(), quiet(), torch.no_grad(), whole_loops():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            module, args, kwargs, dynamic_shapes=_shapes(module, args, arg_shapes, kwarg_shapes), strict=strict
        )
        return functional(program)


def _shapes(module: nn.Module, args: tuple[Any, ...], arg_shapes: Any, kwarg_shapes: Any) -> Any:
    """Dynamic shapes in the form that torch.export wants: by parameter, ``*args`` and ``**kwargs`` nested once more."""
    shapes: dict[str, Any] = {}
    rest, more = list(arg_shapes), dict(kwarg_shapes)
    for name, parameter in inspect.signature(module.forward).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            if rest:
                shapes[name] = tuple(rest)
                rest = []
        elif parameter.kind is parameter.VAR_KEYWORD:
            if more:
                shapes[name] = more
        elif rest:
            shapes[name] = rest.pop(0)
        elif name in more:
            shapes[name] = more.pop(name)
    return shapes


def _fixed_batch(program: ExportedProgram, example: Example) -> bool:
    """Whether tracing found the batch to be a constant, although it was to vary."""
    held = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [held.get(name) for name in program.graph_signature.user_inputs if isinstance(name, str)]
    tensors = [value for value in inputs if isinstance(value, torch.Tensor)]
    pairs = zip(example.leaves, tensors, strict=False)
    return any(leaf.batched and str(value.shape[0]).isdigit() for leaf, value in pairs)
