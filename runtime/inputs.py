"""Checks of the data that a run is given, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .errors import InputError, complaint
from .program import InputSpec
from .values import DTYPES, Dim


def check_inputs(specs: Sequence[InputSpec], inputs: Sequence[object], run_dtype: torch.dtype) -> dict[str, Tensor]:
    """The inputs by name, checked against what the program declares.

    Args:
        specs: the program's inputs. A symbolic dimension takes any size, 0 included, but the same
            symbol means the same size everywhere.
        inputs: one tensor for each spec, in order.
        run_dtype: float32 or float64; a float64 run also takes float64 where float32 is declared,
            and computes with float64 there.

    Raises:
        InputError: wrong count, type, rank, shape or dtype, or values that are NaN or infinite; the
            message names the input and what is allowed.
    """
    if len(inputs) != len(specs):
        wanted = ", ".join(f"{spec.name} {_describe(spec)}" for spec in specs) or "none"
        raise InputError(complaint("wrong number of inputs", got=len(inputs), allowed=f"{len(specs)}: {wanted}"))
    sizes: dict[str, tuple[int, str]] = {}
    checked: dict[str, Tensor] = {}
    for position, (spec, value) in enumerate(zip(specs, inputs, strict=True)):
        where = f"input {spec.name!r}, position {position}"
        if not isinstance(value, Tensor):
            raise InputError(
                complaint("input is not a torch tensor", where=where, got=type(value).__name__,
                          allowed=_describe(spec), next_step="convert it with torch.as_tensor")
            )  # fmt: skip
        _check_shape(spec, tuple(value.shape), where, sizes)
        checked[spec.name] = _checked_dtype(spec, value, where, run_dtype)
        check_finite(checked[spec.name], "input holds NaN or infinity", where)
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


def _check_shape(spec: InputSpec, shape: tuple[int, ...], where: str, sizes: dict[str, tuple[int, str]]) -> None:
    declared = spec.type.shape
    fits = len(shape) == len(declared) and all(
        isinstance(want, str) or want == got for want, got in zip(declared, shape, strict=True)
    )
    if not fits:
        raise InputError(
            complaint("input has the wrong shape", where=where, got=f"shape {shape}", allowed=_describe(spec))
        )
    for want, got in zip(declared, shape, strict=True):
        if isinstance(want, str) and want.isidentifier():
            size, first = sizes.setdefault(want, (got, where))
            if size != got:
                raise InputError(
                    complaint("inputs disagree on a size", where=where, got=f"{want} = {got}",
                              allowed=f"{want} = {size}, as in {first}")
                )  # fmt: skip


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
