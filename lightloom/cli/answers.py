"""What commands print: answers to standard output or a file, progress and messages to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..runtime.files import write_text


def say(text: str, style: str = "") -> None:
    """A line to standard error, never cut or wrapped."""
    from rich.console import Console

    screen = Console(stderr=True)
    screen.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def answer(text: str, facts: Any, as_json: bool, output: Path | None = None) -> None:
    """Print the text, or the facts as JSON; to a file where one is given."""
    shown = (json.dumps(facts, indent=2) if as_json else text) + "\n"
    if output is None:
        sys.stdout.write(shown)
        return
    write_text(output, shown)
    say(f"wrote {output}")


@contextmanager
def progress_bar(first: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, where that is a terminal; yields what to call with (text, done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(first, total=None)
        yield lambda text, done, total: bar.update(task, description=text, completed=done, total=total)
