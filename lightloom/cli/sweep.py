"""The command that explores many chips and compile options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .answers import answer, progress_bar, say
from .opening import check_files
from .options import JsonOption

if TYPE_CHECKING:
    from ..sweep import Finished, SweepSpec


INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ends, as shells have it."""


def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="What to explore; see docs/sweeps.md.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "--output", "-o", metavar="FOLDER", help="Journal and results; SPEC.sweep by default."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    dask: Annotated[str | None, typer.Option(metavar="tcp://...", help="Scheduler of a Dask cluster to use.")] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Results as Parquet instead of CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Explore targets and compile options. Started again, it goes on where it stopped."""
    check_files(read=[spec], folders=[out or spec.with_suffix(".sweep")])
    from ..sweep import pareto, read_spec, run_sweep
    from ..sweep.results import write_results

    wanted = read_spec(spec)
    folder = out or spec.with_suffix(".sweep")
    try:
        with progress_bar("sweeping") as tell:
            found = run_sweep(
                wanted, folder, jobs=jobs, dask=dask, progress=lambda done, total: tell("sweeping", done, total)
            )
    except KeyboardInterrupt as stop:
        say(f"stopped; what is finished is in {folder}: the same command goes on")
        raise typer.Exit(INTERRUPTED) from stop
    files = write_results(wanted, found, folder, parquet=parquet)
    front = [found[place] for place in pareto(wanted, found)]
    failed = sum(bool(item.error) for item in found)
    beyond = sum(not item.error and not wanted.within(item.metrics) for item in found)
    answer(
        _front_text(wanted, found, front),
        {
            "points": len(found),
            "failed": failed,
            "beyond_limits": beyond,
            "pareto": [{**item.point.values, **item.metrics} for item in front],
            "files": [str(path) for path in files],
        },
        as_json,
    )
    say("\n".join(f"wrote {path}" for path in files))


def _front_text(spec: SweepSpec, found: Sequence[Finished], front: Sequence[Finished]) -> str:
    """The Pareto front of a sweep as a table, numbered as in its figure, and how many points cannot be on it."""
    from ..runtime.report.tables import aligned

    fine = [item for item in found if not item.error]
    inside = [item for item in fine if spec.within(item.metrics)]
    lacking = [name for name in spec.objectives if any(name not in item.metrics for item in inside)]
    counts = {
        "impossible (see the error column)": len(found) - len(fine),
        "beyond the limits": len(fine) - len(inside),
        f"without {' or '.join(lacking)} (the target does not state what it takes)": sum(
            not spec.counts(item.metrics) for item in inside
        ),
    }
    lost = "".join(f", {count} {what}" for what, count in counts.items() if count)
    head = f"{len(found)} points{lost}; {len(front)} that no other beats in {' and '.join(spec.objectives)}"
    if not front:
        return head
    explored = list(front[0].point.values)
    shown = [*spec.objectives, *(name for name in spec.limits if name not in spec.objectives)]
    rows = [
        [
            str(number),
            *(str(item.point.values[name]) for name in explored),
            *(f"{item.metrics[name]:.4g}" for name in shown),
        ]
        for number, item in enumerate(front, 1)
    ]
    return f"{head}:\n\n{aligned(['#', *explored, *shown], rows, left=0)}"
