"""The command that shows when each tile runs on which core."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_parts import (
    BatchOption,
    DataflowOption,
    ExampleOption,
    ExcludeOption,
    JsonOption,
    ObjectiveOption,
    OverrideOption,
    SetOption,
    ShapeOption,
    SourceArgument,
    TargetOption,
    TraceOption,
    answer,
    changed,
    messages,
    opened,
    reported,
    write_page,
)

if TYPE_CHECKING:
    from .runtime.scheduling.schedule import Schedule


def schedule_command(
    source: SourceArgument,
    target: TargetOption = None,
    input_shape: ShapeOption = None,
    example: ExampleOption = None,
    exclude: ExcludeOption = None,
    override: OverrideOption = None,
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
    with reported(as_json):
        options = {"target": target, "exclude": exclude, "override": override}
        program = changed(opened(source, input_shape, example, **options), dataflow, objective, changes)
        schedule = program.schedule_for(batch or program.body.example_batch, warm=warm)
        if csv is not None:
            write_page(csv, schedule.to_csv())
        if trace is not None:
            schedule.to_perfetto(trace)
        for path in filter(None, (csv, trace)):
            messages.print(f"wrote {path}", highlight=False)
        answer(f"{schedule}{_more(schedule)}", _facts(program.body.name, program.target.name, schedule), as_json)


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
    from .runtime.report.tables import si

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
