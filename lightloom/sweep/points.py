"""The design points of a sweep: what each changes, and a name that stays the same from run to run."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .spec import Range, SweepSpec


@dataclass(frozen=True)
class Point:
    """One design point: target fields and compile options by name."""

    fields: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def values(self) -> dict[str, Any]:
        """Everything that is explored, by name."""
        return {**self.fields, **self.options}

    @property
    def key(self) -> str:
        """A name that depends on the values alone."""
        text = json.dumps([dict(self.fields), dict(self.options)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def grid_points(spec: SweepSpec) -> list[Point]:
    """Every combination, the last field varying fastest."""
    axes = [list(_steps(values)) for values in (*spec.fields.values(), *spec.options.values())]
    return [_point(spec, combination) for combination in itertools.product(*axes)]


def random_points(spec: SweepSpec) -> list[Point]:
    """``spec.points`` different points drawn with ``spec.seed``; fewer where there are not so many."""
    generator = np.random.default_rng(spec.seed)
    found: dict[str, Point] = {}
    for _ in range(20 * spec.points):
        point = _point(spec, [_draw(values, generator) for values in (*spec.fields.values(), *spec.options.values())])
        found.setdefault(point.key, point)
        if len(found) == spec.points:
            break
    return list(found.values())


def _point(spec: SweepSpec, values: list[Any] | tuple[Any, ...]) -> Point:
    count = len(spec.fields)
    return Point(
        dict(zip(spec.fields, values[:count], strict=True)), dict(zip(spec.options, values[count:], strict=True))
    )


def _steps(values: tuple[Any, ...] | Range) -> list[Any]:
    if not isinstance(values, Range):
        return list(values)
    low, high = (math.log(values.low), math.log(values.high)) if values.log else (values.low, values.high)
    steps = [low + (high - low) * i / (values.steps - 1) for i in range(values.steps)]
    found = [math.exp(step) for step in steps] if values.log else steps
    found[0], found[-1] = values.low, values.high
    return list(dict.fromkeys(round(value) for value in found)) if values.integer else found


def _draw(values: tuple[Any, ...] | Range, generator: np.random.Generator) -> Any:
    if not isinstance(values, Range):
        return values[int(generator.integers(len(values)))]
    share = float(generator.random())
    if values.log:
        value = values.low * (values.high / values.low) ** share
    else:
        value = values.low + (values.high - values.low) * share
    return round(value) if values.integer else value
