"""The commands that show what a program is and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..runtime.files import write_text
from .answers import answer, say
from .opening import changed, check_files, opened
from .options import (
    BatchOption,
    CompileOptions,
    DataflowOption,
    JsonOption,
    ObjectiveOption,
    OutputOption,
    SetOption,
    SourceArgument,
    TraceOption,
    takes_compile_options,
)


@takes_compile_options
def explain(
    source: SourceArgument,
    *,
    output: OutputOption = None,
    options: CompileOptions,
    as_json: JsonOption = False,
) -> None:
    """Say of every op where it runs and why, and of every layer its tiles and utilisation."""
    check_files(source, options.files, [output])
    explanation = opened(source, options).explain()
    answer(str(explanation), explanation.to_dict(), as_json, output)


@takes_compile_options
def report(
    source: SourceArgument,
    *,
    output: OutputOption = None,
    options: CompileOptions,
    batch: BatchOption = None,
    dataflow: DataflowOption = None,
    objective: ObjectiveOption = None,
    changes: SetOption = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as one self-contained page, with figures, instead.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write its figures as SVG and PNG files, instead.")
    ] = None,
    trace: TraceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report latency, energy by part and by layer, and the assumptions behind them."""
    check_files(source, options.files, [output, html, trace], [figures])
    program = changed(opened(source, options), dataflow, objective, changes)
    from ..runtime.pricing.energy import energy
    from ..runtime.report.text import report as text_report

    body = program.body
    schedule = program.schedule_for(batch or body.example_batch)
    priced = energy(body, schedule)
    written: list[Path] = []
    if trace is not None:
        schedule.to_perfetto(trace, priced)
    if html is not None:
        from ..runtime.report.program_page import program_page

        written.append(write_text(html, program_page(body, schedule, priced)))
    if figures is not None:
        from ..runtime.report.export import export_figures

        written += export_figures(body, schedule, priced, figures)
    for path in (*written, *([trace] if trace else ())):
        say(f"wrote {path}")
    if written and not as_json and output is None:
        return
    facts = {
        "program": body.name,
        "target": body.target.model_dump(mode="json"),
        "batch": schedule.batch,
        "makespan_s": schedule.makespan_s,
        "lower_bound_s": schedule.lower_bound_s,
        "bounds": dict(schedule.bounds),
        "naive_s": schedule.naive_s,
        "schedule": schedule.table().to_dict(),
        "energy": priced.to_dict(),
    }
    answer(text_report(body, schedule, priced), facts, as_json, output)


@takes_compile_options
def dump(
    source: SourceArgument,
    *,
    stage: Annotated[str, typer.Option(help="nn, mvm, tile or program.")] = "program",
    output: OutputOption = None,
    options: CompileOptions,
    as_json: JsonOption = False,
) -> None:
    """Print the IR text of a stage."""
    check_files(source, options.files, [output])
    text = opened(source, options).dump(stage)
    answer(text.rstrip("\n"), {"stage": stage, "ir": text}, as_json, output)
