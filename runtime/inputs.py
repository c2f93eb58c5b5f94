"""Checks of the data that a run is given, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import InputError, complaint
from .program import InputSpec, Parameter, ProgramBody
from .sizes import Sizes
from .targets.faults import close_names
from .trees import Mismatch, Tree, leaves, shown, shown_value, structured, taken_apart
from .values import DTYPES, Dim

Ranges = Mapping[str, tuple[int, int | None]]


def arrange(body: ProgramBody, inputs: Sequence[object], named: Mapping[str, object]) -> list[Any]:
    """Inputs as the model takes them, in the order of ``body.inputs``.

    Args:
        body: the program; its parameters say how the model takes its inputs.
        inputs: arguments by position. One dict whose keys are parameters is read as arguments by name, unless the
            first parameter is itself a dict.
        named: arguments by name; single tensors also by the names of ``body.inputs``.

    Constants that were compiled in may be left out, or given again when equal; None stands for what was not there.

    Returns:
        One value for each input, not checked for being a tensor that fits: :func:`check_inputs` does that.

    Raises:
        InputError: arguments of another structure than the compiled ones, a name that the program does not have, or
            an input that is given twice or not at all.
    """
    parameters = body.parameters or tuple(Parameter(spec.name, {"leaf": at}) for at, spec in enumerate(body.inputs))
    trees = {parameter.name: parameter.tree for parameter in parameters}
    places = {spec.name: at for at, spec in enumerate(body.inputs)}
    inputs = list(inputs)
    if len(inputs) == 1 and not named and isinstance(inputs[0], Mapping) and not _takes_dict(parameters):
        inputs, named = [], {str(name): value for name, value in inputs[0].items()}
    while len(inputs) > len(parameters) and inputs[-1] is None:
        inputs.pop()  # an optional argument that was not there when the model was compiled
    form = f"({', '.join(f'{name}: {shown(tree)}' for name, tree in trees.items())})"
    given = [*map(shown_value, inputs), *(f"{name}={shown_value(value)}" for name, value in named.items())]
    found: dict[int, Any] = {}

    def refuse(what: str, where: str = "", got: str = "", next_step: str = "") -> InputError:
        got = got or f"({', '.join(given)})"
        return InputError(complaint(what, where=where, got=got, allowed=form, next_step=next_step))

    def take(at: int, value: object) -> None:
        if at in found:
            raise refuse("an input is given twice", f"input {body.inputs[at].name!r}")
        found[at] = value

    free = list(trees)
    for value in inputs:
        while free and _is_constant(trees[free[0]]) and not _plain(value):
            free.pop(0)  # compiled in, and left out here
        if not free:
            raise refuse("wrong number of inputs")
        _take_apart(trees[free[0]], value, free.pop(0), take, refuse)
    for name, value in named.items():
        if name in trees:
            _take_apart(trees[name], value, name, take, refuse)
        elif name in places:
            take(places[name], value)
        elif value is not None:
            close = close_names(name, {**trees, **places})
            raise refuse("no input of that name", got=name, next_step=close)
    missing = [spec.name for at, spec in enumerate(body.inputs) if at not in found]
    if missing:
        raise refuse("an input is missing", f"input {missing[0]!r}")
    return [found[at] for at in range(len(body.inputs))]


def positional(body: ProgramBody, flat: Sequence[Any]) -> tuple[Any, ...]:
    """One value for each input, such as the files of a command line, as the arguments that the model takes."""
    if len(flat) != len(body.inputs) or not body.parameters:
        return tuple(flat)
    return tuple(structured(parameter.tree, flat) for parameter in body.parameters)


def _take_apart(
    tree: Tree, value: object, where: str, take: Callable[[int, object], None], refuse: Callable[..., InputError]
) -> None:
    try:
        taken_apart(tree, value, where, take)
    except Mismatch as found:
        what = "the inputs have another structure than those the model was compiled with"
        if _is_constant(tree):
            what = "a constant that was compiled in cannot be changed"
        raise refuse(what, f"{found.where}: {found.got} in place of {found.wanted}") from None


def _is_constant(tree: Tree) -> bool:
    """Whether a parameter takes no tensor: all of it was compiled in."""
    return next(leaves(tree), None) is None


def _takes_dict(parameters: Sequence[Parameter]) -> bool:
    return any("dict" in parameter.tree or "record" in parameter.tree for parameter in parameters[:1])


def _plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def check_inputs(
    specs: Sequence[InputSpec], inputs: Sequence[object], run_dtype: torch.dtype, ranges: Ranges | None = None
) -> dict[str, Tensor]:
    """The inputs by name, checked against what the program declares.

    Args:
        specs: the program's inputs. A symbolic dimension takes any size in its range, 0 included, but the same
            symbol means the same size everywhere.
        inputs: one tensor for each spec, in order.
        run_dtype: float32 or float64; a float64 run also takes float64 where float32 is declared,
            and computes with float64 there.
        ranges: lowest and highest size (None: no limit) of the symbols that have limits.

    Raises:
        InputError: wrong count, type, rank, shape or dtype; the message names the input and what is allowed.
    """
    if len(inputs) != len(specs):
        wanted = ", ".join(f"{spec.name} {_describe(spec)}" for spec in specs) or "none"
        raise InputError(complaint("wrong number of inputs", got=len(inputs), allowed=f"{len(specs)}: {wanted}"))
    sizes = Sizes(ranges or {})
    checked: dict[str, Tensor] = {}
    for position, (spec, value) in enumerate(zip(specs, inputs, strict=True)):
        where = f"input {spec.name!r}, position {position}"
        value = _tensor(spec, value, where)
        _check_shape(spec, tuple(value.shape), where)
        sizes.bind(spec.type.shape, tuple(value.shape), where)
        checked[spec.name] = _checked_dtype(spec, value, where, run_dtype)
    sizes.check()
    return checked


def _tensor(spec: InputSpec, value: object, where: str) -> Tensor:
    """A value as a plain tensor: numpy arrays are taken as they are, what holds no numbers of its own is refused."""
    if isinstance(value, np.ndarray | np.generic):
        try:
            return torch.from_numpy(np.array(value))  # a copy: negative strides and read-only memory are fine
        except TypeError:
            pass
    if not isinstance(value, Tensor):
        raise InputError(
            complaint("input is not a tensor", where=where, got=_kind(value), allowed=_describe(spec),
                      next_step="convert it with torch.as_tensor")
        )  # fmt: skip
    if value.layout != torch.strided or value.is_quantized or value.device.type == "meta":
        kind = "a quantized tensor" if value.is_quantized else f"a tensor of {value.layout} on {value.device}"
        step = "pass a tensor with values" if value.device.type == "meta" else "x.to_dense() or x.dequantize() helps"
        raise InputError(
            complaint("input holds no plain numbers", where=where, got=kind, allowed=_describe(spec), next_step=step)
        )
    return value


def _kind(value: object) -> str:
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ if dtype is None else f"{type(value).__name__} of {dtype}"


def batch_size(body: ProgramBody, inputs: Mapping[str, Tensor]) -> int:
    """Samples of a run: the size of the first symbolic first dimension, or the batch that the program fixes."""
    for spec in body.inputs:
        if spec.type.shape and isinstance(spec.type.shape[0], str):
            return inputs[spec.name].shape[0]
    return body.example_batch


def check_finite(value: Tensor, what: str, where: str) -> None:
    """Raise InputError, with the first offending position, unless every element is finite."""
    if not value.numel() or not (value.is_floating_point() or value.is_complex()):
        return
    # min and max propagate NaN: one pass over the data, nothing stored
    parts = torch.view_as_real(value) if value.is_complex() else value
    low, high = torch.aminmax(parts)
    if bool(torch.isfinite(low)) and bool(torch.isfinite(high)):
        return
    index = tuple(int(i) for i in torch.nonzero(~torch.isfinite(value))[0])
    raise InputError(
        complaint(what, where=where, got=f"{value[index].item()} at index {index}", allowed="finite numbers")
    )


def _check_shape(spec: InputSpec, shape: tuple[int, ...], where: str) -> None:
    declared = spec.type.shape
    fits = len(shape) == len(declared) and all(
        isinstance(want, str) or want == got for want, got in zip(declared, shape, strict=True)
    )
    if not fits:
        raise InputError(
            complaint("input has the wrong shape", where=where, got=f"shape {shape}", allowed=_describe(spec))
        )


def _checked_dtype(spec: InputSpec, value: Tensor, where: str, run_dtype: torch.dtype) -> Tensor:
    declared = DTYPES[spec.type.dtype]
    widened = run_dtype == torch.float64 and declared == torch.float32
    if value.dtype != declared and not (widened and value.dtype == torch.float64):
        raise InputError(
            complaint("input has the wrong dtype", where=where, got=str(value.dtype), allowed=_describe(spec),
                      next_step=f"convert it with x.to({declared})")
        )  # fmt: skip
    return value.detach().to(torch.float64) if widened else value.detach()


def _describe(spec: InputSpec) -> str:
    return f"{DTYPES[spec.type.dtype]} of shape ({', '.join(_dim(dim) for dim in spec.type.shape)})"


def _dim(dim: Dim) -> str:
    return f"any ({dim})" if isinstance(dim, str) else str(dim)
