"""Where the samples are in what a matrix step reads: noise belongs to a sample, wherever its axis lies.

Sequence-first models flatten (positions, batch, features) into vectors; counting vectors in memory order
would give a sample other noise in another batch. Vectors are therefore counted sample by sample.
"""

from __future__ import annotations

from collections.abc import Container
from math import prod

from torch import Tensor

from .program import HostStep, LinearGeometry, MatrixStep, ProgramBody
from .values import Ref, TensorType, ValueType

_RESHAPES = {
    "view.default",
    "reshape.default",
    "_unsafe_view.default",
    "flatten.using_ints",
    "unflatten.int",
    "contiguous.default",
    "clone.default",
    "unsqueeze.default",
    "squeeze.dim",
    "squeeze.dims",
}
"""Ops that keep the row-major order of their elements."""


def leading_positions(body: ProgramBody) -> dict[str, int]:
    """For each linear matrix step: how many positions come before the sample axis of its input.

    1 where samples come first, and where the input has no symbolic batch to tell samples apart.
    """
    symbols = {spec.type.shape[0] for spec in body.inputs if spec.type.shape and isinstance(spec.type.shape[0], str)}
    types: dict[str, ValueType] = {spec.name: spec.type for spec in body.inputs}
    types |= {step.name: step.type for step in body.steps}
    producers = {step.name: step for step in body.steps if isinstance(step, HostStep)}
    return {
        step.name: _before_samples(step.input, types, producers, symbols)
        for step in body.steps
        if isinstance(step, MatrixStep) and isinstance(step.geometry, LinearGeometry)
    }


def samples_first(x: Tensor, before: int, samples: int) -> Tensor:
    """The input (..., cols) with samples outermost: (samples * positions, cols); see :func:`samples_back`."""
    cols = x.shape[-1]
    if not samples:
        return x.reshape(0, cols)
    return x.reshape(before, samples, -1, cols).transpose(0, 1).reshape(-1, cols)


def samples_back(y: Tensor, before: int, samples: int, shape: tuple[int, ...]) -> Tensor:
    """Undo :func:`samples_first` on results (samples * positions, rows); ``shape`` is that of the input."""
    rows = y.shape[-1]
    if not samples:
        return y.reshape(*shape[:-1], rows)
    return y.reshape(samples, before, -1, rows).transpose(0, 1).reshape(*shape[:-1], rows)


def _before_samples(
    name: str, types: dict[str, ValueType], producers: dict[str, HostStep], symbols: Container[object]
) -> int:
    """Product of the dimensions before the batch, in the nearest value where the batch stands alone."""
    while True:
        kind = types.get(name)
        shape = kind.shape if isinstance(kind, TensorType) else ()
        for axis, dim in enumerate(shape[:-1]):
            if dim in symbols:
                before = [size for size in shape[:axis] if isinstance(size, int)]
                return prod(before) if len(before) == axis else 1
        producer = producers.get(name)
        if producer is None or producer.op not in _RESHAPES or not isinstance(producer.args[0], Ref):
            return 1
        name = producer.args[0].name
