"""What may seed random numbers: one rule wherever a seed is taken."""

from __future__ import annotations

from operator import index
from typing import Any

from .errors import InputError, complaint


def seed_of(value: Any, where: str = "seed", bits: int = 64) -> int:
    """A seed as a plain integer, so that 3, ``numpy.int64(3)`` and ``torch.tensor(3)`` draw the same numbers.

    Args:
        value: an integer from 0 to 2**bits - 1: Python's, numpy's, or a tensor or array that holds just one.
        where: what the seed is called in messages.
        bits: width of the generator's seed.

    Raises:
        InputError: anything else; a float that happens to be whole, text, None and True are no seeds.
    """
    try:
        number = -1 if "bool" in str(getattr(value, "dtype", type(value))) else index(value)
    except (TypeError, ValueError, RuntimeError):
        number = -1
    if 0 <= number < 2**bits:
        return number
    text = " ".join(repr(value).split())[:40]
    allowed = f"an integer from 0 to 2**{bits} - 1"
    raise InputError(complaint("not a seed", where=where, got=f"{text} ({type(value).__name__})", allowed=allowed))
