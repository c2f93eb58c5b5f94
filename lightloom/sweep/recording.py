"""What is written of a finished point, and who is told."""

from __future__ import annotations

from collections.abc import Callable

from .evaluate import Result
from .journal import Journal
from .points import Point

Progress = Callable[[int, int], None]
"""Called with the points done and the points in all."""


def record(journal: Journal, point: Point, result: Result) -> None:
    """Write a result to the journal."""
    journal.add(
        point.key,
        {
            "fields": dict(point.fields),
            "options": dict(point.options),
            "metrics": dict(result.metrics),
            "error": result.error,
        },
    )
