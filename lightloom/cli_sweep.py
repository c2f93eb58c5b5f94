"""The command that explores many chips and compile options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_parts import JsonOption, answer, messages, progress_bar, reported

if TYPE_CHECKING:
    from .sweep import Finished


def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="What to explore; see docs/sweeps.md.")],
    out: Annotated[Path | None, typer.Option(help="Folder of journal and results; SPEC.sweep by default.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    dask: Annotated[str | None, typer.Option(metavar="tcp://...", help="Scheduler of a Dask cluster to use.")] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Results as Parquet instead of CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Explore targets and compile options. Started again, it goes on where it stopped."""
    with reported(as_json):
        from .sweep import pareto, read_spec, run_sweep
        from .sweep.results import write_results

        wanted = read_spec(spec)
        folder = out or spec.with_suffix(".sweep")
        with progress_bar("sweeping") as tell:
            found = run_sweep(
                wanted, folder, jobs=jobs, dask=dask, progress=lambda done, total: tell("sweeping", done, total)
            )
        files = write_results(wanted, found, folder, parquet=parquet)
        front = [found[place] for place in pareto(wanted, found)]
        failed = [item for item in found if item.error]
        answer(
            _front_text(wanted.objectives, front, len(found), len(failed)),
            {
                "points": len(found),
                "failed": len(failed),
                "pareto": [{**item.point.values, **item.metrics} for item in front],
                "files": [str(path) for path in files],
            },
            as_json,
        )
        messages.print("\n".join(f"wrote {path}" for path in files), highlight=False)


def _front_text(objectives: tuple[str, ...], front: Sequence[Finished], points: int, failed: int) -> str:
    """The Pareto front of a sweep as an aligned table."""
    from .runtime.report.tables import aligned

    lost = f", {failed} of them impossible (see the error column)" if failed else ""
    head = f"{points} points{lost}; {len(front)} that no other beats in {' and '.join(objectives)}:"
    if not front:
        return head
    explored = list(front[0].point.values)
    rows = [
        [*(str(item.point.values[name]) for name in explored), *(f"{item.metrics[name]:.4g}" for name in objectives)]
        for item in front
    ]
    return f"{head}\n\n{aligned([*explored, *objectives], rows, left=0)}"
