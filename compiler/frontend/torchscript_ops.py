"""What TorchScript writes as ops and Python as code: sizes, lists, numbers, types."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_DTYPES = (
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64,
    torch.complex32, torch.complex64, torch.complex128, torch.bool, torch.qint8, torch.quint8, torch.qint32,
    torch.bfloat16,
)  # fmt: skip
"""By the numbers that TorchScript has for them."""
_FORMATS = (torch.contiguous_format, torch.preserve_format, torch.channels_last, torch.channels_last_3d)

_NUMBERS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b, alpha=1: a + b * alpha if alpha != 1 else a + b,
    "sub": lambda a, b, alpha=1: a - b * alpha if alpha != 1 else a - b,
    "mul": operator.mul,
    "div": lambda a, b, rounding_mode=None: {
        None: operator.truediv, "floor": operator.floordiv, "trunc": lambda x, y: int(x / y)
    }[rounding_mode](a, b),
    "floordiv": operator.floordiv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "fmod": math.fmod,
    "neg": operator.neg,
    "pow": operator.pow,
    "abs": abs,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "sqrt": math.sqrt,
    "log": math.log,
    "exp": math.exp,
    "__and__": operator.and_,
    "__or__": operator.or_,
    "__xor__": operator.xor,
}  # fmt: skip
"""Arithmetic, where no tensor is among the arguments."""


def is_number_op(name: str) -> bool:
    """Whether an op of this name is Python's only for numbers, and torch's for tensors."""
    return name in _NUMBERS


def _size(x: Tensor, dim: int | None = None) -> Any:
    return list(x.shape) if dim is None else x.shape[dim]


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _dtype(x: Tensor) -> int:
    return _DTYPES.index(x.dtype)


def _raised(message: object = "", *_: object) -> None:
    raise RuntimeError(message)


def _set(found: Any, key: Any, value: Any) -> Any:
    found[key] = value
    return found


def _appended(found: list[Any], value: Any) -> list[Any]:
    found.append(value)
    return found


def _derived(index: Any, start: Any, step: Any) -> Any:
    return start + index * step


def _turns(low: Any, high: Any, step: Any) -> Any:
    return max(0, -((low - high) // step)) if step > 0 else max(0, -((high - low) // -step))


PYTHON: dict[str, Callable[..., Any]] = {
    **{f"aten::{name}": function for name, function in _NUMBERS.items()},
    "aten::size": _size,
    "aten::dim": lambda x: x.dim(),
    "aten::numel": lambda x: x.numel(),
    "aten::len": len,
    "aten::Int": lambda value: int(value) if isinstance(value, float | bool) else _number(value),
    "aten::IntImplicit": _number,
    "aten::Float": lambda value: float(value) if isinstance(value, int | str) else _number(value),
    "aten::FloatImplicit": _number,
    "aten::ScalarImplicit": _number,
    "aten::Bool": bool,
    "aten::__not__": operator.not_,
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::__contains__": operator.contains,
    "aten::__getitem__": operator.getitem,
    "aten::_set_item": _set,
    "aten::append": _appended,
    "aten::extend": lambda found, more: found.extend(more),
    "aten::list": list,
    "aten::keys": lambda found: list(found.keys()),
    "aten::values": lambda found: list(found.values()),
    "aten::items": lambda found: list(found.items()),
    "aten::get": lambda found, key, other=None: found.get(key, other),
    "aten::format": lambda text, *args: text.format(*args),
    "aten::warn": lambda *_: None,
    "aten::is_floating_point": lambda x: x.is_floating_point(),
    "aten::_unwrap_optional": lambda value: value,
    "aten::__range_length": _turns,
    "aten::__derive_index": _derived,
    "prim::unchecked_cast": lambda value: value,
    "prim::unchecked_unwrap_optional": lambda value: value,
    "prim::NumToTensor": lambda value: value,
    "prim::TupleIndex": operator.getitem,
    "prim::Uninitialized": lambda: None,
    "prim::RaiseException": _raised,
    "prim::Print": lambda *_: None,
    "prim::dtype": _dtype,
    "prim::device": lambda x: x.device,
    "prim::layout": lambda x: 0,
    "prim::is_cuda": lambda x: x.is_cuda,
    "prim::min": lambda first, *rest: min(first, *rest) if rest else min(first),
    "prim::max": lambda first, *rest: max(first, *rest) if rest else max(first),
}
"""By kind of node; those of ``is_number_op`` for numbers alone."""


def as_arguments(schema: Any, args: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments of a torch op; dtypes, layouts and formats by what they are in Python."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for argument, value in zip(schema.arguments, args, strict=False):
        kind = str(argument.real_type)
        if isinstance(value, int) and not isinstance(value, bool):
            if "ScalarType" in kind:
                value = _DTYPES[value]
            elif "MemoryFormat" in kind:
                value = _FORMATS[value]
            elif "Layout" in kind:
                value = None if "Optional" in kind or "?" in kind else torch.strided
        if argument.kwarg_only:
            named[argument.name] = value
        else:
            positional.append(value)
    return positional, named
