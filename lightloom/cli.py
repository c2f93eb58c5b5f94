"""The command line: the front door's powers, one command each.

Exit codes: 0 done; 1 an error that lightloom explains; 2 a wrong command line; 3 a model that could not be
captured or compiled. Results go to standard output (with ``--json`` one JSON value and nothing else),
progress and messages to standard error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from .cli_parts import (
    DEFAULT_TARGET,
    BatchOption,
    CalibrationOption,
    DataflowOption,
    ExampleOption,
    ExcludeOption,
    JsonOption,
    ModelArgument,
    ObjectiveOption,
    OverrideOption,
    SetOption,
    ShapeOption,
    SourceArgument,
    StrictOption,
    TargetOption,
    TraceOption,
    answer,
    changed,
    choices,
    compiled,
    lowered,
    messages,
    opened,
    progress_bar,
    reported,
    sentence,
    write_page,
)
from .cli_schedule import schedule_command
from .cli_sweep import sweep

app = typer.Typer(
    name="lightloom",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Compile PyTorch and ONNX models to tile programs for photonic chips, and simulate them.",
    epilog="Exit codes: 0 done, 1 an error that lightloom explains, 2 a wrong command line, "
    "3 a model that could not be captured or compiled.",
)


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
    dataflow: DataflowOption = None,
    objective: ObjectiveOption = None,
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
            text = lowered(model, input_shape, example, stop_after, print_ir_after_all, **options)
            answer(text, {"stop_after": stop_after, "ir": text}, as_json)
            return
        program = compiled(
            model,
            input_shape,
            example,
            calibration=calibration,
            strict=strict,
            dataflow=dataflow,
            objective=objective,
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
        answer(f"{program!r}\n{explanation.headline}\n{place}: {size}, compiled in {seconds:.1f} s", facts, as_json)


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
        from .runtime.inputs import positional

        loaded = load(program)
        arrays = [read_array(path) for path in inputs]
        with progress_bar("running") as tell:
            result = loaded.run(
                *positional(loaded.body, arrays),
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
            answer(f"{output}: {shapes}", facts, as_json)
            return
        for name, array in found.items():
            facts["outputs"][name]["values"] = array.tolist()
        answer("\n".join(f"{name} =\n{array}" for name, array in found.items()), facts, as_json)


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
        explanation = opened(source, input_shape, example, **options).explain()
        answer(str(explanation), explanation.to_dict(), as_json)


@app.command()
def report(
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
    with reported(as_json):
        from .runtime.pricing.energy import energy
        from .runtime.report.text import report as text_report

        options = {"target": target, "exclude": exclude, "override": override}
        program = changed(opened(source, input_shape, example, **options), dataflow, objective, changes)
        body = program.body
        schedule = program.schedule_for(batch or body.example_batch)
        priced = energy(body, schedule)
        written: list[Path] = []
        if trace is not None:
            schedule.to_perfetto(trace, priced)
        if html is not None:
            from .runtime.report.program_page import program_page

            write_page(html, program_page(body, schedule, priced))
            written.append(html)
        if figures is not None:
            from .runtime.report.export import export_figures

            written += export_figures(body, schedule, priced, figures)
        for path in written:
            messages.print(f"wrote {path}", highlight=False, soft_wrap=True)
        if written and not as_json:
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
        answer(text_report(body, schedule, priced), facts, as_json)


app.command("schedule")(schedule_command)


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
        text = opened(source, input_shape, example, **options).dump(stage)
        answer(text.rstrip("\n"), {"stage": stage, "ir": text}, as_json)


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
            text = f"{chip.name}: {chip.description}\n\n{assumptions(chip)}\n{choices(chip)}"
            answer(text, chip.model_dump(mode="json"), as_json)
            return
        chips = [targets.get(preset) for preset in targets.list()]
        width = max(len(chip.name) for chip in chips)
        text = "\n".join(
            f"{chip.name:{width}}  {chip.mesh.ports:4} ports  {chip.mesh.cores:2} cores  {sentence(chip.description)}"
            for chip in chips
        )
        facts = [
            {"name": chip.name, "ports": chip.mesh.ports, "cores": chip.mesh.cores, "description": chip.description}
            for chip in chips
        ]
        answer(text, facts, as_json)


app.command()(sweep)


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
        announcement = f"serving {chip.name} ({chip.mesh.cores} cores) at "
        serve_simulator(chip, address, lease, lambda place: print(announcement + place, flush=True))


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
        write_page(html, html_page(found))
        if as_json:
            answer("", {**found.to_dict(), "page": str(html)}, as_json)
            return
        screen = Console()
        screen = screen if screen.is_terminal else Console(width=100)
        screen.print(terminal_table(found))
        for note in notes(found):
            screen.print(f"- {note}", highlight=False)
        seconds = found.seconds
        times = ", ".join(f"{stage} {seconds[stage]:.1f} s" for stage in ("train", "compile", "run"))
        screen.print(f"{times}. The same with figures: {html}", highlight=False)


def main() -> None:
    """Entry point of the ``lightloom`` command."""
    app()


if __name__ == "__main__":
    main()
