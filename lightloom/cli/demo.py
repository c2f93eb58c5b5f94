"""The command that shows what lightloom is for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..runtime.files import write_text
from .answers import answer, progress_bar
from .opening import check_files
from .options import DEFAULT_TARGET, JsonOption, TargetOption


def demo(
    target: TargetOption = None,
    html: Annotated[
        Path, typer.Option("--html", "--output", "-o", metavar="FILE", help="Where to write the page.")
    ] = Path("lightloom-demo.html"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the data's split, the training and the noise.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Train a network on real digits, compile it, and see what chips of many precisions make of it."""
    check_files(written=[html])
    from ..demo import run_demo
    from ..demo_report import html_page, notes, terminal_table

    stages = {"train": "training on Digits", "compile": "compiling", "run": "simulating chips"}
    with progress_bar("starting") as tell:
        found = run_demo(
            target or DEFAULT_TARGET,
            epochs=epochs,
            seed=seed,
            progress=lambda stage, done, total: tell(stages[stage], done, total),
        )
    write_text(html, html_page(found))
    seconds = found.seconds
    times = ", ".join(f"{stage} {seconds[stage]:.1f} s" for stage in ("train", "compile", "run"))
    lines = [terminal_table(found), *(f"- {note}" for note in notes(found))]
    lines.append(f"{times}. The same with figures: {html}")
    answer("\n".join(lines), {**found.to_dict(), "page": str(html)}, as_json)
