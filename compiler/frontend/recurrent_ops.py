"""Recurrent layers as one op while a model is traced.

To a tracer, ``aten.lstm.input`` and its kin are loops: the number of time steps becomes a constant, and tracing takes
as long as the sequence. Inside :func:`whole_loops`, ``nn.LSTM``, ``nn.GRU``, ``nn.RNN`` and ``torch.lstm`` and its kin
call ops of the library ``lightloom`` instead, which have the same arguments and tell their shapes without running;
the graph calls them by their ATen names again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.trace_rules import get_torch_obj_rule_map
from torch.nn.modules import rnn
from torch.nn.utils import rnn as packing

from ...runtime.errors import CaptureError, complaint

_KINDS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_OPTIONS = "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first"
NAMES = {f"lightloom.{kind}.default": f"aten.{kind}.input" for kind in _KINDS}
"""The ATen op that each op of the library stands for."""

_library = torch.library.Library("lightloom", "FRAGMENT")


def _shapes(x: Tensor, states: list[Tensor], batch_first: bool, bidirectional: bool) -> tuple[Tensor, ...]:
    """What a layer yields: the sequence with the features of h, once or twice, and states like those it takes."""
    if x.dim() != 3:
        raise ValueError(f"a recurrent layer takes 3 axes here, got {x.dim()}")
    del batch_first  # the sequence keeps its axes
    features = states[0].shape[2] * (2 if bidirectional else 1)
    sequence = x.new_empty((x.shape[0], x.shape[1], features))
    return sequence, *(state.new_empty(state.shape) for state in states)


def _lstm_shapes(
    x: Tensor, hx: list[Tensor], params: list[Tensor], b: bool, n: int, d: float, t: bool, both: bool, first: bool
) -> tuple[Tensor, ...]:
    return _shapes(x, list(hx), first, both)


def _other_shapes(
    x: Tensor, hx: Tensor, params: list[Tensor], b: bool, n: int, d: float, t: bool, both: bool, first: bool
) -> tuple[Tensor, ...]:
    return _shapes(x, [hx], first, both)


def _define() -> None:
    for kind in _KINDS:
        state, results = ("Tensor[]", 3) if kind == "lstm" else ("Tensor", 2)
        returns = ", ".join(["Tensor"] * results)
        _library.define(f"{kind}(Tensor input, {state} hx, Tensor[] params, {_OPTIONS}) -> ({returns})")
        _library.impl(kind, getattr(torch.ops.aten, kind).input, "CompositeExplicitAutograd")
        torch.library.register_fake(
            f"lightloom::{kind}", _lstm_shapes if kind == "lstm" else _other_shapes, lib=_library
        )


_define()


class _Functions:
    """``torch._VF`` but for the recurrent layers, and for packing, which has no form that a program could hold."""

    def __init__(self, functions: Any) -> None:
        self._functions = functions

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._functions, name)
        if name == "_pack_padded_sequence":
            return _refuse_packing
        if name not in _KINDS:
            return function
        whole = getattr(torch.ops.lightloom, name)

        def call(*args: Any) -> Any:
            packed = not isinstance(args[3], bool)  # (data, batch sizes, states, parameters, ...)
            return function(*args) if packed else whole(*args)

        return call


def _refuse_packing(*args: Any) -> Any:
    del args
    raise CaptureError(
        complaint(
            "packed sequences cannot be compiled: the size of each time step would depend on the data",
            got="pack_padded_sequence",
            allowed="padded sequences",
            next_step="give the layer the padded tensor, and take each sequence's results up to its length",
        )
    )


@contextmanager
def whole_loops() -> Iterator[None]:
    """Recurrent layers called inside are traced as one op; packing sequences raises CaptureError."""
    places: list[tuple[Any, str]] = [(rnn, "_VF"), (packing, "_VF")]
    kept = [(module, name, getattr(module, name)) for module, name in places]
    kept += [(torch, kind, getattr(torch, kind)) for kind in _KINDS]
    current = kept[0][2]
    if isinstance(current, _Functions):  # a trace within a trace
        yield
        return
    # Dynamo makes its table of torch's functions once, by what it then finds: these must be the real ones
    get_torch_obj_rule_map()
    functions = _Functions(current)
    for module, name, _ in kept:
        setattr(module, name, functions if name == "_VF" else getattr(functions, name))
    try:
        yield
    finally:
        for module, name, found in kept:
            setattr(module, name, found)
