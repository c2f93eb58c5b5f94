"""The allow-list of host ops: what a program may ask the host to compute, and nothing else.

A host step names an ATen overload (``relu.default``) or Python arithmetic on sizes (``py.mul``). Every
entry is functional: it writes to none of its arguments, draws no random numbers and touches no file,
so that a program loaded from a file can neither run code nor change the machine it runs on.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import torch

from .errors import LightloomError, complaint
from .expectations import EXPECT
from .hostlist import ATEN
from .quantized import QUANTIZED
from .values import Arg, Ref, Token, complex_of


def _power(base: float, exponent: float) -> float:
    """A power of sizes, small enough to be computed at once whatever a file asks for."""
    if abs(exponent) > _MAX_EXPONENT or abs(base) > _MAX_BASE:
        raise ValueError(f"{base} ** {exponent} is no size")
    return base**exponent


_MAX_EXPONENT, _MAX_BASE = 64, 2**63

_PYTHON: dict[str, Callable[..., Any]] = {
    "py.add": operator.add,
    "py.pow": _power,
    "py.pos": operator.pos,
    "py.and_": operator.and_,
    "py.or_": operator.or_,
    "py.not_": operator.not_,
    "py.round": round,
    "py.math.sqrt": math.sqrt,
    "py.sym_sqrt": math.sqrt,
    "py.sym_sum": sum,
    "py.sym_ite": lambda condition, yes, no: yes if condition else no,
    "py.sub": operator.sub,
    "py.mul": operator.mul,
    "py.floordiv": operator.floordiv,
    "py.truediv": operator.truediv,
    "py.mod": operator.mod,
    "py.neg": operator.neg,
    "py.getitem": operator.getitem,
    "py.abs": operator.abs,
    "py.math.ceil": math.ceil,
    "py.math.floor": math.floor,
    "py.math.trunc": math.trunc,
    "py.eq": operator.eq,
    "py.ne": operator.ne,
    "py.lt": operator.lt,
    "py.le": operator.le,
    "py.gt": operator.gt,
    "py.ge": operator.ge,
    "py.sym_int": torch.sym_int,
    "py.sym_float": torch.sym_float,
    "py.sym_max": torch.sym_max,
    "py.sym_min": torch.sym_min,
    "py.sym_not": torch.sym_not,
}

ONNX_REFERENCE = "lightloom_onnx.reference.default"
"""One ONNX node without a torch form, executed by the onnx package; see :mod:`.onnx_reference`."""

ALLOWED: frozenset[str] = frozenset({*ATEN, *_PYTHON, *QUANTIZED, ONNX_REFERENCE, EXPECT})
"""Every op a host step may name."""

# A flag of these names turns on training: random masks, or running statistics written in place.
_TRAINING_FLAGS = ("train", "training", "use_input_stats", "dropout_p")

_STATELESS = ("_native_batch_norm_legit.no_stats",)

# Programs are traced with the strides of one example; values are never written to, so a copy where
# a view is impossible changes no result.
_INSTEAD = {"view.default": "reshape.default", "_unsafe_view.default": "reshape.default"}

# Uninitialised memory would make a run depend on what the process did before.
_ZEROED = {
    "empty.memory_format": "zeros.default",
    "empty_like.default": "zeros_like.default",
    "new_empty.default": "new_zeros.default",
}


def _as_strided(x: torch.Tensor, size: list[int], stride: list[int], offset: int | None = None) -> torch.Tensor:
    """A view by strides of a tensor that was contiguous when it was traced, however it lies in memory now."""
    return torch.as_strided(x.clone(memory_format=torch.contiguous_format), size, stride, offset or 0)


def _zeros(size: list[int], layout: list[int], **options: Any) -> torch.Tensor:
    del layout  # no value depends on how memory lies
    return torch.zeros(size, **options)


def _new_zeros(x: torch.Tensor, size: list[int], stride: list[int], **options: Any) -> torch.Tensor:
    del stride
    return x.new_zeros(size, **options)


_OWN: dict[str, Callable[..., Any]] = {
    "as_strided.default": _as_strided,
    "empty_strided.default": _zeros,
    "empty_permuted.default": _zeros,
    "new_empty_strided.default": _new_zeros,
}
"""Ops that talk of memory, told without it."""


def is_allowed(op: str) -> bool:
    """Whether a host step may name this op."""
    return op in ALLOWED


def close_to(op: str) -> tuple[str, ...]:
    """Up to three allowed ops whose names are close to ``op``: same base name first."""
    base = op.partition(".")[0]
    functional = base.rstrip("_")
    same = sorted(name for name in ALLOWED if name.partition(".")[0] in (base, functional))
    return tuple(dict.fromkeys(same + difflib.get_close_matches(op, sorted(ALLOWED), n=3, cutoff=0.6)))[:3]


@cache
def resolve(op: str) -> Callable[..., Any]:
    """The function behind an op of the allow-list.

    Args:
        op: ``<name>.<overload>`` of ``torch.ops.aten``, ``py.<name>`` for arithmetic on sizes, or an op of
            :mod:`.quantized` with its library's name before it.

    Returns:
        A callable that writes to none of its arguments.

    Raises:
        LightloomError: the op is not on the list (close names are given), or this torch lacks it.
    """
    if op not in ALLOWED:
        close = close_to(op)
        raise LightloomError(
            complaint(
                "host op is not on the allow-list",
                got=repr(op),
                allowed=", ".join(close) if close else f"{len(ALLOWED)} functional ATen overloads",
                next_step="rewrite the model with an allowed op; runtime/hostops.py holds the list",
            )
        )
    if op in _PYTHON:
        return _PYTHON[op]
    if op in QUANTIZED:
        return QUANTIZED[op]
    if op == EXPECT:
        return torch.ops.lightloom_guard.expect.default
    if op in _OWN:
        return _OWN[op]
    if op == ONNX_REFERENCE:
        from .onnx_reference import evaluate

        return evaluate
    op = _INSTEAD.get(op, _ZEROED.get(op, op))
    name, overload = op.split(".")
    packet = getattr(torch.ops.aten, name, None)
    if packet is None or overload not in packet.overloads():
        raise LightloomError(
            complaint(
                "this torch has no such host op",
                got=f"aten.{op}, torch {torch.__version__}",
                next_step="run the program with the torch version that compiled it",
            )
        )
    function = getattr(packet, overload)
    return _inference_only(op, function)


class Lookup(Protocol):
    """Values by name."""

    def __getitem__(self, name: str, /) -> Any: ...


def arguments(
    args: Iterable[Arg],
    kwargs: Iterable[tuple[str, Arg]],
    values: Lookup,
    *,
    device: torch.device | None = None,
    widen: torch.dtype = torch.float32,
) -> tuple[list[Any], dict[str, Any]]:
    """The torch and Python objects that the arguments of a host op stand for; tuples become lists.

    Args:
        args, kwargs: as in a host step.
        values: what references resolve to.
        device: what device tokens resolve to, whichever device the example ran on; the CPU by default.
        widen: what the float32 token resolves to (float64 in a float64 run).

    Raises:
        LightloomError: a token that is no torch dtype, layout, memory format or device.
    """
    place = device or torch.device("cpu")

    def resolved(arg: Arg) -> Any:
        if isinstance(arg, Ref):
            return values[arg.name]
        if isinstance(arg, Token):
            found = _token(arg.text, place)
            return widen if found == torch.float32 else found
        if isinstance(arg, tuple):
            return [resolved(item) for item in arg]
        return arg

    return [resolved(arg) for arg in args], {name: resolved(arg) for name, arg in kwargs}


def _token(text: str, device: torch.device) -> Any:
    """A complex number, or a torch enumeration by its name; no other attribute of torch can be reached."""
    number = complex_of(text)
    if number is not None:
        return number
    name = text.removeprefix("torch.")
    found = getattr(torch, name, None) if name.isidentifier() else None
    if isinstance(found, torch.dtype | torch.layout | torch.memory_format):
        return found
    if re.fullmatch(r"(device:)?(cpu|cuda|mps|xpu|meta)(:\d+)?", name):
        return device
    raise LightloomError(
        complaint(
            "unknown token",
            got=repr(text),
            allowed="a complex number, or the name of a torch dtype, layout, memory format or device",
        )
    )


@cache
def _places(op: str) -> dict[str, int]:
    """Names of the arguments of an ATen op, with their places."""
    name, overload = op.split(".")
    found = getattr(getattr(torch.ops.aten, name), overload)
    return {argument.name: place for place, argument in enumerate(found._schema.arguments)}


def training_flag(op: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """The argument with which a host op is asked to draw random masks or to write statistics; None where none is.

    A dropout of probability 0 drops nothing, that of a recurrent layer falls between layers, and a normalisation
    without running statistics takes those of its input and writes nothing: all of these are inference.

    Args:
        op: ``<name>.<overload>`` of ATen; other ops have no such arguments.
        args, kwargs: the op's arguments, in any form.
    """
    if op not in ATEN or op in _STATELESS:
        return None
    places = _places(op)

    def value(name: str) -> Any:
        place = places.get(name, len(args))
        return args[place] if place < len(args) else kwargs.get(name)

    inert = any(name in places and value(name) == 0 for name in ("p", "dropout")) or value("num_layers") == 1
    stateless = "running_mean" in places and value("running_mean") is None
    if inert or stateless:
        return None
    return next((flag for flag in _TRAINING_FLAGS if flag in places and value(flag)), None)


def _inference_only(op: str, function: Any) -> Callable[..., Any]:
    """``function``, refusing to run with a training flag set."""
    if not any(flag in _places(op) for flag in _TRAINING_FLAGS):
        return function

    def guarded(*args: Any, **kwargs: Any) -> Any:
        flag = training_flag(op, args, kwargs)
        if flag is not None:
            raise LightloomError(
                complaint(
                    f"host op {op} asks for training behaviour",
                    got=f"{flag} on",
                    allowed="inference only",
                    next_step="call model.eval() before compiling",
                )
            )
        return function(*args, **kwargs)

    return guarded
