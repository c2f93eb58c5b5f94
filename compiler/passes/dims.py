"""Sizes of values that a lowering makes up: numbers where they are numbers, else the text of an expression."""

from __future__ import annotations

from math import prod

from ...runtime.values import Dim


def product(*dims: Dim) -> Dim:
    """The product of sizes."""
    number = prod(dim for dim in dims if isinstance(dim, int))
    texts = [_factor(dim) for dim in dims if isinstance(dim, str)]
    if not texts or number == 0:
        return number
    return "*".join(texts if number == 1 else [str(number), *texts])


def plus(dim: Dim, rest: int) -> Dim:
    """A size that grew by a number."""
    if isinstance(dim, int) or rest == 0:
        return dim + rest if isinstance(dim, int) else dim
    return f"{dim} + {rest}" if rest > 0 else f"{dim} - {-rest}"


def _factor(text: str) -> str:
    return text if text.isidentifier() else f"({text})"
