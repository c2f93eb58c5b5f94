"""What steps ask for at the sizes of one run: costs hold for the example's sizes, and sequences may be longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from torch import Tensor

from ..program import HostStep, ProductStep, ProgramBody, RecurrentStep, Step, StepCost
from ..sizes import evaluate
from ..values import TensorType, TupleType, ValueType


def costs_at(body: ProgramBody, inputs: Mapping[str, Tensor], samples: int) -> ProgramBody:
    """The program with the costs of one sample at the sizes of these inputs.

    Vectors and elements follow from the declared shapes; multiply-accumulates of host ops are taken to grow with
    their elements. A step whose shape the inputs do not determine keeps its costs, and so does every step where
    only the number of samples varies.
    """
    sizes = {
        dim: size
        for spec in body.inputs
        for dim, size in zip(spec.type.shape, inputs[spec.name].shape, strict=True)
        if isinstance(dim, str) and dim.isidentifier()
    }
    counted = next(
        (spec.type.shape[0] for spec in body.inputs if spec.type.shape and _symbolic(spec.type.shape[0])), ""
    )
    if not samples or not set(sizes) - {counted}:
        return body
    costs = {step.name: _cost(body, step, sizes, samples) for step in body.steps}
    return replace(body, costs=costs)


def _symbolic(dim: object) -> bool:
    return isinstance(dim, str)


def _cost(body: ProgramBody, step: Step, sizes: Mapping[str, int], samples: int) -> StepCost:
    old = body.costs[step.name]
    if isinstance(step, RecurrentStep):
        first = step.type.items[0]
        total = _elements(replace(first, shape=first.shape[:2]), sizes) if isinstance(first, TensorType) else None
        if not total or total % samples or not old.vectors:
            return old
        vectors = total // samples
        return StepCost(old.macs // old.vectors * vectors, vectors, old.elements // old.vectors * vectors)
    if isinstance(step, ProductStep):
        return old  # its tiles are of fixed sizes, and only the samples vary
    total = _elements(step.type, sizes)
    if total is None or total % samples or not old.elements:
        return old
    elements = total // samples
    macs = old.macs * elements // old.elements
    if isinstance(step, HostStep):
        return StepCost(macs, 0, elements)
    return StepCost(macs, old.vectors * elements // old.elements, elements)


def _elements(kind: ValueType | None, sizes: Mapping[str, int]) -> int | None:
    """Elements of a value, all samples together; None where its shape is not determined."""
    if isinstance(kind, TupleType):
        parts = [_elements(item, sizes) for item in kind.items if item is not None]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None
    if not isinstance(kind, TensorType):
        return None
    dims = [dim if isinstance(dim, int) else evaluate(dim, sizes) for dim in kind.shape]
    known = [dim for dim in dims if dim is not None]
    return prod(known) if len(known) == len(dims) else None
