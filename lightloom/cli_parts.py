"""What the commands of the command line share: options, opening models and programs, progress, errors, printing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .runtime.scheduling.plan import DATAFLOWS, OBJECTIVES

if TYPE_CHECKING:
    from .modelspec import LoadedModel
    from .program import Program
    from .runtime.targets import Target

EXIT_ERROR, EXIT_MODEL = 1, 3
DEFAULT_TARGET = "mzi64"

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


def _one_of(*allowed: str) -> Callable[[str | None], str | None]:
    """A check of an option's value, while the command line is read."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in allowed:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(allowed)}")
        return value

    return check


SourceArgument = Annotated[
    str, typer.Argument(metavar="PROGRAM", help="A .loom file, or a model to compile first (see compile --help).")
]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Samples of the run; the example's batch by default.")]
TraceOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the schedule as a trace for ui.perfetto.dev.")
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
DataflowOption = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(("auto", *DATAFLOWS)),
        callback=_one_of("auto", *DATAFLOWS),
        help="What stays on a core while the rest changes: a tile's weights, sums, or inputs; auto: the best of each "
        "layer.",
    ),
]
ObjectiveOption = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(OBJECTIVES), callback=_one_of(*OBJECTIVES), help="What auto minimises; edp is their product."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Change the chip, not the tiles: timing.window_s=1e-9. Repeatable."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else on standard output.")]


def compiled(
    model: str,
    shapes: list[str] | None,
    examples: list[Path] | None,
    *,
    target: str | None,
    exclude: list[str] | None,
    override: list[str] | None,
    calibration: list[Path] | None = None,
    strict: bool = False,
    dataflow: str | None = None,
    objective: str | None = None,
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
            dataflow=dataflow or "auto",  # type: ignore[arg-type]
            objective=objective or "latency",  # type: ignore[arg-type]
            print_ir_after_all=print_ir_after_all,
            progress=tell,
        )


def lowered(
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


def opened(source: str, shapes: list[str] | None, examples: list[Path] | None, **options: Any) -> Program:
    """A saved program, or a model compiled now."""
    if Path(source).suffix != ".loom":
        return compiled(source, shapes, examples, **options)
    if shapes or examples or any(options.values()):
        raise typer.BadParameter("a .loom file is compiled already; leave the options of compile out")
    from .program import load

    return load(source)


def changed(program: Program, dataflow: str | None, objective: str | None, changes: list[str] | None) -> Program:
    """The program with another plan, on a changed chip; itself where nothing changes."""
    if not (dataflow or objective or changes):
        return program
    from .modelspec import parse_changes
    from .whatif import what_if

    return what_if(program, parse_changes(changes or []), dataflow, objective)  # type: ignore[arg-type]


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


def sentence(text: str) -> str:
    """The first sentence."""
    return text.split(". ")[0].rstrip(".")


def choices(chip: Target) -> str:
    """What a target chooses by name, and what it does not state."""
    from .runtime.targets.edit import field_names, is_number

    values = {
        f"{part}.{name}": getattr(getattr(chip, part), name)
        for part, names in field_names(type(chip)).items()
        if part
        for name in names
    }
    lines = [
        "Choices:",
        *(f"  {path} = {_word(value)}" for path, value in values.items() if not is_number(value) and value is not None),
    ]
    silent = [path for path, value in values.items() if value is None]
    if silent:
        lines += [
            "Not stated, so without limit, effect or count:",
            *fill(", ".join(silent), 116, initial_indent="  ", subsequent_indent="  ").splitlines(),
        ]
    return "\n".join(lines)


def _word(value: object) -> str:
    return {"True": "on", "False": "off"}.get(str(value), str(value))


def write_page(path: Path, text: str) -> None:
    """Write a file. Raises InputError where that fails."""
    from .runtime.errors import InputError, complaint

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(complaint("The file cannot be written", where=str(path), got=error.strerror)) from error


def answer(text: str, facts: Any, as_json: bool) -> None:
    """Print the text, or the facts as JSON."""
    sys.stdout.write((json.dumps(facts, indent=2) if as_json else text) + "\n")
