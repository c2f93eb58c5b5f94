"""The command line: the front door's powers, one command each.

Exit codes: 0 done; 1 an error that lightloom explains; 2 a wrong command line; 3 a model that could not be
captured or compiled. Results go to standard output (with ``--json`` one JSON value and nothing else),
progress and messages to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from .modelspec import LoadedModel
    from .program import Program
    from .sweep import Finished

EXIT_ERROR, EXIT_MODEL = 1, 3
DEFAULT_TARGET = "mzi64"

app = typer.Typer(
    name="lightloom",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Compile PyTorch models to tile programs for photonic chips, and simulate them.",
    epilog="Exit codes: 0 done, 1 an error that lightloom explains, 2 a wrong command line, "
    "3 a model that could not be captured or compiled.",
)
messages = Console(stderr=True)

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="package.module:name (a torch.nn.Module, or a callable that returns one, or one with example inputs; "
        "it is put in eval mode), an .onnx file, or an exported .pt2 file. Only modules and .pt2 files that you "
        "trust: loading one runs its code.",
    ),
]
SourceArgument = Annotated[
    str, typer.Argument(metavar="PROGRAM", help="A .loom file, or a model to compile first (see compile --help).")
]
TargetOption = Annotated[
    str | None,
    typer.Option("--target", "-t", help="Preset (see targets) or path of a TOML file; mzi64 if not given."),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input-shape", metavar="SIZES[:TYPE]", help="Shape of an input: 1,3,64,64 or 1,128:i64. Repeatable."
    ),
]
ExampleOption = Annotated[
    list[Path] | None, typer.Option("--example", metavar="FILE.npy", help="Example of an input. Repeatable.")
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help="Layers to leave on the host. Repeatable.")
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override",
        metavar="GLOB:FIELD=VALUE",
        help="Change the target for layers: 'fc*:encoding.dac_bits=6'. Repeatable.",
    ),
]
CalibrationOption = Annotated[
    list[Path] | None,
    typer.Option("--calibration", metavar="FILE.npy", help="Inputs to take static ranges from. Repeatable."),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Fail if work that a chip could do stays on the host.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else on standard output.")]


@app.command("compile")
def compile_command(
    model: ModelArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The .loom file to write.")] = None,
    target: TargetOption = None,
    input_shape: ShapeOption = None,
    example: ExampleOption = None,
    exclude: ExcludeOption = None,
    override: OverrideOption = None,
    calibration: CalibrationOption = None,
    strict: StrictOption = False,
    print_ir_after_all: Annotated[
        bool, typer.Option("--print-ir-after-all", help="Print the IR after every pass, to standard error.")
    ] = False,
    stop_after: Annotated[str | None, typer.Option(metavar="PASS", help="Stop after a pass and print its IR.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a model to a .loom program."""
    with reported(as_json):
        if output is None and stop_after is None:
            raise typer.BadParameter("say where to write the program: -o model.loom", param_hint="--output")
        options = {"target": target, "exclude": exclude, "override": override}
        if stop_after is not None:
            text = _lowered(model, input_shape, example, stop_after, print_ir_after_all, **options)
            _print(text, {"stop_after": stop_after, "ir": text}, as_json)
            return
        program = _compiled(
            model,
            input_shape,
            example,
            calibration=calibration,
            strict=strict,
            print_ir_after_all=print_ir_after_all,
            **options,
        )
        place = Path(output or "")
        program.save(place)
        explanation = program.explain()
        facts = {
            "program": program.body.name,
            "target": program.target.name,
            "path": str(place),
            "bytes": place.stat().st_size,
            "tiles": sum(bank.spec.tiles for bank in program.body.banks.values()),
            "headline": explanation.headline,
            "pass_s": dict(program.pass_s),
        }
        size = f"{facts['bytes'] / 1e6:.2f} MB"
        seconds = sum(program.pass_s.values())
        _print(f"{program!r}\n{explanation.headline}\n{place}: {size}, compiled in {seconds:.1f} s", facts, as_json)


@app.command()
def run(
    program: Annotated[Path, typer.Argument(metavar="PROGRAM", help="A .loom file.")],
    inputs: Annotated[list[Path], typer.Option("--input", "-i", metavar="FILE.npy", help="An input. Repeatable.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Where to write the output: .npy, or .npz for several. Else it is printed."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    ideal: Annotated[bool, typer.Option("--ideal", help="Switch every imperfection of the chip off.")] = False,
    executor: Annotated[str, typer.Option(help="batched, or step: event by event, as hardware does.")] = "batched",
    as_json: JsonOption = False,
) -> None:
    """Run a program on the simulator."""
    with reported(as_json):
        from .modelspec import read_array
        from .outputs import flatten, write_outputs
        from .program import load

        loaded = load(program)
        arrays = [read_array(path) for path in inputs]
        with progress_bar("running") as tell:
            result = loaded.run(
                *arrays,
                seed=seed,
                ideal=ideal,
                executor=executor,
                progress=lambda done, total, layer: tell(layer or "host", done, total),
            )
        found = flatten(result)
        facts: dict[str, Any] = {
            "program": loaded.body.name,
            "target": loaded.target.name,
            "seed": seed,
            "ideal": ideal,
        }
        facts["outputs"] = {
            name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in found.items()
        }
        if output is not None:
            facts["path"] = str(write_outputs(found, output))
            shapes = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in found.items())
            _print(f"{output}: {shapes}", facts, as_json)
            return
        for name, array in found.items():
            facts["outputs"][name]["values"] = array.tolist()
        _print("\n".join(f"{name} =\n{array}" for name, array in found.items()), facts, as_json)


@app.command()
def explain(
    source: SourceArgument,
    target: TargetOption = None,
    input_shape: ShapeOption = None,
    example: ExampleOption = None,
    exclude: ExcludeOption = None,
    override: OverrideOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say of every op where it runs and why, and of every layer its tiles and utilisation."""
    with reported(as_json):
        options = {"target": target, "exclude": exclude, "override": override}
        explanation = _opened(source, input_shape, example, **options).explain()
        _print(str(explanation), explanation.to_dict(), as_json)


@app.command()
def report(
    source: SourceArgument,
    target: TargetOption = None,
    input_shape: ShapeOption = None,
    example: ExampleOption = None,
    exclude: ExcludeOption = None,
    override: OverrideOption = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Samples of the run; the example's batch by default.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as one self-contained page, with figures, instead.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the schedule as a trace for ui.perfetto.dev.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Report latency, energy by part and by layer, and the assumptions behind them."""
    with reported(as_json):
        from .runtime.energy import energy
        from .runtime.report.text import report as text_report

        options = {"target": target, "exclude": exclude, "override": override}
        body = (program := _opened(source, input_shape, example, **options)).body
        schedule = program.schedule_for(batch or body.example_batch)
        if trace is not None:
            schedule.to_perfetto(trace)
        if html is not None:
            program.to_html(html, batch)
            messages.print(f"wrote {html}", highlight=False)
            if not as_json:
                return
        priced = energy(body, schedule)
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
        _print(text_report(body, schedule, priced), facts, as_json)


@app.command()
def dump(
    source: SourceArgument,
    stage: Annotated[str, typer.Option(help="nn, mvm, tile or program.")] = "program",
    target: TargetOption = None,
    input_shape: ShapeOption = None,
    example: ExampleOption = None,
    exclude: ExcludeOption = None,
    override: OverrideOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the IR text of a stage."""
    with reported(as_json):
        options = {"target": target, "exclude": exclude, "override": override}
        text = _opened(source, input_shape, example, **options).dump(stage)
        _print(text.rstrip("\n"), {"stage": stage, "ir": text}, as_json)


@app.command("targets")
def targets_command(
    name: Annotated[str | None, typer.Argument(help="Preset, or path of a TOML file, to show in full.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the chips, or show one with the source of every number."""
    with reported(as_json):
        from .runtime import targets

        if name is not None:
            from .runtime.report.text import assumptions

            chip = targets.get(name)
            _print(f"{chip.name}: {chip.description}\n\n{assumptions(chip)}", chip.model_dump(mode="json"), as_json)
            return
        chips = [targets.get(preset) for preset in targets.list()]
        width = max(len(chip.name) for chip in chips)
        text = "\n".join(
            f"{chip.name:{width}}  {chip.mesh.ports:4} ports  {chip.mesh.cores:2} cores  {_first(chip.description)}"
            for chip in chips
        )
        facts = [
            {"name": chip.name, "ports": chip.mesh.ports, "cores": chip.mesh.cores, "description": chip.description}
            for chip in chips
        ]
        _print(text, facts, as_json)


@app.command()
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
        _print(
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


@app.command()
def serve(
    target: TargetOption = None,
    address: Annotated[str, typer.Option(metavar="tcp://HOST:PORT", help="Port 0 takes a free one.")] = (
        "tcp://127.0.0.1:5555"
    ),
    lease: Annotated[float, typer.Option(help="Seconds of silence after which a client loses the device.")] = 5.0,
) -> None:
    """Serve the simulator of a chip to other processes, one client at a time, until interrupted."""
    with reported(as_json=False):
        from .runtime import targets
        from .runtime.remote.server import serve_simulator

        chip = targets.get(target or DEFAULT_TARGET)
        typer_line = f"serving {chip.name} ({chip.mesh.cores} cores) at "
        serve_simulator(chip, address, lease, lambda place: print(typer_line + place, flush=True))


@app.command()
def demo(
    target: TargetOption = None,
    html: Annotated[Path, typer.Option(help="Where to write the page.")] = Path("lightloom-demo.html"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the data's split, the training and the noise.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Train a network on real digits, compile it, and see what chips of many precisions make of it."""
    with reported(as_json):
        from .demo import run_demo
        from .demo_report import html_page, notes, terminal_table

        if not html.resolve().parent.is_dir():
            raise typer.BadParameter(f"{html.parent} is no folder", param_hint="--html")
        stages = {"train": "training on Digits", "compile": "compiling", "run": "simulating chips"}
        with progress_bar("starting") as tell:
            found = run_demo(
                target or DEFAULT_TARGET,
                epochs=epochs,
                seed=seed,
                progress=lambda stage, done, total: tell(stages[stage], done, total),
            )
        _write_page(html, html_page(found))
        if as_json:
            _print("", {**found.to_dict(), "page": str(html)}, as_json)
            return
        screen = Console()
        screen = screen if screen.is_terminal else Console(width=100)
        screen.print(terminal_table(found))
        for note in notes(found):
            screen.print(f"- {note}", highlight=False)
        seconds = found.seconds
        times = ", ".join(f"{stage} {seconds[stage]:.1f} s" for stage in ("train", "compile", "run"))
        screen.print(f"{times}. The same with figures: {html}", highlight=False)


def _compiled(
    model: str,
    shapes: list[str] | None,
    examples: list[Path] | None,
    *,
    target: str | None,
    exclude: list[str] | None,
    override: list[str] | None,
    calibration: list[Path] | None = None,
    strict: bool = False,
    print_ir_after_all: bool = False,
) -> Program:
    """Load and compile a model, with a progress bar."""
    from . import compile as compile_for
    from .modelspec import load_model, parse_overrides, read_array

    loaded = load_model(model)
    given = _examples(loaded, shapes, examples)
    with progress_bar("capturing") as tell:
        return compile_for(
            loaded.model,
            given,
            target or DEFAULT_TARGET,
            exclude=exclude or (),
            overrides=parse_overrides(override or []),
            calibration=[read_array(path) for path in calibration] if calibration else None,
            strict=strict,
            print_ir_after_all=print_ir_after_all,
            progress=tell,
        )


def _lowered(
    model: str,
    shapes: list[str] | None,
    examples: list[Path] | None,
    stop_after: str,
    print_ir_after_all: bool,
    *,
    target: str | None,
    exclude: list[str] | None,
    override: list[str] | None,
) -> str:
    """The IR text after a pass."""
    from . import lower
    from .compiler.ir import show
    from .modelspec import load_model, parse_overrides

    loaded = load_model(model)
    given = _examples(loaded, shapes, examples)
    graph = lower(
        loaded.model,
        given,
        target or DEFAULT_TARGET,
        stop_after=stop_after,
        exclude=exclude or (),
        overrides=parse_overrides(override or []),
        print_ir_after_all=print_ir_after_all,
    )
    return show(graph)


def _examples(loaded: LoadedModel, shapes: list[str] | None, examples: list[Path] | None) -> object:
    """The example inputs of the command line, or else those that came with the model."""
    from torch import nn

    from .modelspec import example_inputs

    given = example_inputs(shapes or [], examples or [])
    if given is None and loaded.example_inputs is None and isinstance(loaded.model, nn.Module):
        raise typer.BadParameter("this model needs example inputs: --input-shape 1,3,64,64 or --example x.npy")
    return loaded.example_inputs if given is None else given


def _opened(source: str, shapes: list[str] | None, examples: list[Path] | None, **options: Any) -> Program:
    """A saved program, or a model compiled now."""
    if Path(source).suffix != ".loom":
        return _compiled(source, shapes, examples, **options)
    if shapes or examples or any(options.values()):
        raise typer.BadParameter("a .loom file is compiled already; leave the options of compile out")
    from .program import load

    return load(source)


@contextmanager
def progress_bar(first: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, where that is a terminal; yields what to call with (text, done, total)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task(first, total=None)
        yield lambda text, done, total: bar.update(task, description=text, completed=done, total=total)


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turn lightloom's errors into a message and an exit code."""
    from .runtime.errors import CaptureError, CompileError, LightloomError

    try:
        yield
    except LightloomError as error:
        messages.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        if as_json:
            print(json.dumps({"error": {"type": type(error).__name__, "message": str(error)}}))
        raise typer.Exit(EXIT_MODEL if isinstance(error, CaptureError | CompileError) else EXIT_ERROR) from error


def _first(text: str) -> str:
    """The first sentence."""
    return text.split(". ")[0].rstrip(".")


def _write_page(path: Path, text: str) -> None:
    from .runtime.errors import InputError, complaint

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(complaint("The page cannot be written", where=str(path), got=error.strerror)) from error


def _print(text: str, facts: Any, as_json: bool) -> None:
    """Print the text, or the facts as JSON."""
    sys.stdout.write((json.dumps(facts, indent=2) if as_json else text) + "\n")


def main() -> None:
    """Entry point of the ``lightloom`` command."""
    app()


if __name__ == "__main__":
    main()
