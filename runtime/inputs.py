"""Checks of the data that a run is given, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import InputError, complaint
from .program import InputSpec
from .sizes import Sizes
from .values import DTYPES, Dim

Ranges = Mapping[str, tuple[int, int | None]]


def arrange(specs: Sequence[InputSpec], inputs: Sequence[object], named: Mapping[str, object]) -> list[Any]:
    """Inputs by position and by name, in the order of ``specs``.

    Args:
        specs: the program's inputs.
        inputs: inputs by position; tuples, lists and dicts are taken apart in order. None stands for an input that
            was not there when the model was compiled.
        named: inputs by name; where a model's input is a tuple, list or dict of tensors, its name stands for them all.

    Returns:
        One value for each input, not checked for being a tensor that fits: :func:`check_inputs` does that.

    Raises:
        InputError: a name that the program does not have, or an input that is given twice or not at all.
    """
    if len(inputs) == 1 and isinstance(inputs[0], Mapping) and not named:
        names = {spec.name for spec in specs}
        if all(key in names for key in inputs[0]):
            inputs, named = (), inputs[0]
    leaves = [leaf for value in inputs for leaf in _flat(value)]
    if not named:
        return leaves
    values: dict[str, object] = {}
    for name, value in named.items():
        if value is None:
            continue
        spread = [name] if isinstance(value, Tensor) else _spread(name, value)
        values.update(zip(spread, _flat(value), strict=True))
    wanted = ", ".join(f"{spec.name} {_describe(spec)}" for spec in specs) or "none"
    unknown = [name for name in values if name not in {spec.name for spec in specs}]
    if unknown:
        raise InputError(complaint("no input of that name", got=unknown[0], allowed=wanted))
    rest = iter(leaves)
    ordered: list[Any] = []
    for spec in specs:
        value = values.get(spec.name)
        value = next(rest, None) if value is None else value
        if value is None:
            raise InputError(complaint("an input is missing", where=f"input {spec.name!r}", allowed=wanted))
        ordered.append(value)
    if list(rest):
        raise InputError(complaint("too many inputs", got=len(inputs) + len(named), allowed=wanted))
    return ordered


def _flat(value: object) -> Iterator[object]:
    """The leaves of a tree of inputs, without None."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, tuple | list):
        for item in value:
            yield from _flat(item)
    elif value is not None:
        yield value


def _spread(name: str, value: Any) -> list[str]:
    """What ``torch.export`` calls the leaves of an input that is a tuple, list or dict."""
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() for leaf in _spread(f"{name}_{key}", item)]
    if isinstance(value, tuple | list):
        return [leaf for place, item in enumerate(value) for leaf in _spread(f"{name}_{place}", item)]
    return [] if value is None else [name]


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
        InputError: wrong count, type, rank, shape or dtype, or values that are NaN or infinite; the
            message names the input and what is allowed.
    """
    if len(inputs) != len(specs):
        wanted = ", ".join(f"{spec.name} {_describe(spec)}" for spec in specs) or "none"
        raise InputError(complaint("wrong number of inputs", got=len(inputs), allowed=f"{len(specs)}: {wanted}"))
    sizes = Sizes(ranges or {})
    checked: dict[str, Tensor] = {}
    for position, (spec, value) in enumerate(zip(specs, inputs, strict=True)):
        where = f"input {spec.name!r}, position {position}"
        if not isinstance(value, Tensor):
            raise InputError(
                complaint("input is not a torch tensor", where=where, got=type(value).__name__,
                          allowed=_describe(spec), next_step="convert it with torch.as_tensor")
            )  # fmt: skip
        _check_shape(spec, tuple(value.shape), where)
        sizes.bind(spec.type.shape, tuple(value.shape), where)
        checked[spec.name] = _checked_dtype(spec, value, where, run_dtype)
        check_finite(checked[spec.name], "input holds NaN or infinity", where)
    sizes.check()
    return checked


def batch_size(specs: Sequence[InputSpec], inputs: Mapping[str, Tensor]) -> int:
    """Samples of a run: the size of the first symbolic first dimension.

    Where every size is fixed, a program's costs are those of the whole input, which counts as one sample.
    """
    for spec in specs:
        if spec.type.shape and isinstance(spec.type.shape[0], str):
            return inputs[spec.name].shape[0]
    return 1


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
