"""The command that shows when each tile runs on which core."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from ..runtime.scheduling.schedule import Schedule


@takes_compile_options
def schedule_command(
    source: SourceArgument,
    *,
    output: OutputOption = None,
    options: CompileOptions,
    batch: BatchOption = None,
    dataflow: DataflowOption = None,
    objective: ObjectiveOption = None,
    changes: SetOption = None,
    warm: Annotated[
        bool, typer.Option("--warm", help="The run after one just like it: what the cores hold need not be set.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write every event, a line each.")] = None,
    trace: TraceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say when each layer runs and on how many cores, beside what no schedule on this chip can beat."""
    check_files(source, options.files, [output, csv, trace])
    program = changed(opened(source, options), dataflow, objective, changes)
    schedule = program.schedule_for(batch or program.body.example_batch, warm=warm)
    if csv is not None:
        write_text(csv, schedule.to_csv())
    if trace is not None:
        schedule.to_perfetto(trace)
    for path in filter(None, (csv, trace)):
        say(f"wrote {path}")
    facts = _facts(program.body.name, program.target.name, schedule)
    answer(f"{schedule}{_more(schedule)}", facts, as_json, output)


def _facts(name: str, chip: str, schedule: Schedule) -> dict[str, Any]:
    """The schedule's figures and its table of layers; events are for ``--csv``."""
    return {
        "program": name,
        "target": chip,
        "batch": schedule.batch,
        "events": len(schedule),
        "makespan_s": schedule.makespan_s,
        "lower_bound_s": schedule.lower_bound_s,
        "bounds": dict(schedule.bounds),
        "naive_s": schedule.naive_s,
        "objective": schedule.objective,
        "warm": schedule.warm,
        "plans": {step: {"dataflow": plan.dataflow, "block": plan.block} for step, plan in schedule.plans.items()},
        "layers": schedule.table().to_dict(),
    }


def _more(schedule: Schedule) -> str:
    """Every bound, and the dataflows that were chosen."""
    from ..runtime.report.tables import si

    lines = ["\n\nno schedule is faster than, by what is counted:"]
    width = max(map(len, schedule.bounds), default=0)
    lines += [f"  {name:{width}}  {si(seconds, 's')}" for name, seconds in schedule.bounds.items()]
    found: dict[str, int] = {}
    for plan in schedule.plans.values():
        found[plan.dataflow] = found.get(plan.dataflow, 0) + 1
    if found:
        each = ", ".join(f"{name} {count}" for name, count in sorted(found.items()))
        lines.append(f"layers by dataflow, chosen for {schedule.objective}: {each}")
    return "\n".join(lines)
