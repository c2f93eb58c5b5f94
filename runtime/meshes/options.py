"""Checks of the options that mesh families take."""

from __future__ import annotations

from ..errors import TargetError, complaint


def whole_number(family: str, option: str, value: object, least: int = 1) -> int:
    """The value as a whole number of at least ``least``, or a complaint that names the family's option."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise TargetError(
            complaint(
                f"A {family} mesh needs a whole number of {option}",
                where=option,
                got=repr(value),
                allowed=f"{least} or more",
            )
        )
    return value
