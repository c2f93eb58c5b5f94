"""Options that commands share, each declared once; those of compiling as one class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..runtime.scheduling.plan import DATAFLOWS, OBJECTIVES

DEFAULT_TARGET = "mzi64"


def one_of(*allowed: str) -> dict[str, Any]:
    """What an option takes: these words, checked while the command line is read, completed by the shell."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in allowed:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(allowed)}")
        return value

    def complete(incomplete: str) -> list[str]:
        return [word for word in allowed if word.startswith(incomplete)]

    return {"metavar": "|".join(allowed), "callback": check, "autocompletion": complete}


def presets(incomplete: str) -> list[str]:
    """Names of targets that start like this, for the shell."""
    from ..runtime import targets

    return [name for name in targets.list() if name.startswith(incomplete)]


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
    typer.Option(
        "--target",
        "-t",
        autocompletion=presets,
        help="Preset (see targets) or path of a TOML file; mzi64 if not given.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the answer to a file instead of standard output."),
]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Samples of the run; the example's batch by default.")]
TraceOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the schedule as a trace for ui.perfetto.dev.")
]
DataflowOption = Annotated[
    str | None,
    typer.Option(
        **one_of("auto", *DATAFLOWS),
        help="What stays on a core while the rest changes: a tile's weights, sums, or inputs; auto: the best of each "
        "layer.",
    ),
]
ObjectiveOption = Annotated[
    str | None, typer.Option(**one_of(*OBJECTIVES), help="What auto minimises; edp is their product.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Change the chip, not the tiles: timing.window_s=1e-9. Repeatable."
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON value and nothing else on standard output, also of an error."),
]


@dataclass(frozen=True)
class CompileOptions:
    """What :func:`lightloom.compile` takes, as options of every command that compiles a model."""

    target: TargetOption = None
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            "--input-shape", metavar="SIZES[:TYPE]", help="Shape of an input: 1,3,64,64 or 1,128:i64. Repeatable."
        ),
    ] = None
    example: Annotated[
        list[Path] | None,
        typer.Option("--example", metavar="FILE.npy", help="Example of an input. Repeatable."),
    ] = None
    dynamic_shape: Annotated[
        list[str] | None,
        typer.Option(
            "--dynamic-shape",
            metavar="INPUT:DIM=NAME",
            help="A size besides the batch that may vary: 'input_ids:1=length'. Repeatable.",
        ),
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="GLOB", help="Layers to leave on the host. Repeatable.")
    ] = None
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--override",
            metavar="GLOB:FIELD=VALUE",
            help="Change the target for layers: 'fc*:encoding.dac_bits=6'. Repeatable.",
        ),
    ] = None
    calibration: Annotated[
        list[Path] | None,
        typer.Option(
            "--calibration",
            metavar="FILE.npy",
            help="Inputs to take static ranges from: a file an input, run after run. Repeatable.",
        ),
    ] = None
    strict: Annotated[bool, typer.Option("--strict", help="Fail if work that a chip could do stays on the host.")] = (
        False
    )
    mesh_tolerance: Annotated[
        str,
        typer.Option(
            metavar="NUMBER|none",
            help="Largest error of a mesh whose phases are searched for; none takes the best found, and warns.",
        ),
    ] = "1e-8"
    pack: Annotated[
        bool, typer.Option("--pack/--no-pack", help="Let small groups of convolutions share tiles, or not.")
    ] = True
    fewer_moves: Annotated[
        bool,
        typer.Option("--fewer-moves", help="Of equal settings, take those that move the phases least."),
    ] = False
    dynamic_matmul: Annotated[
        str, typer.Option(**one_of("host", "photonic"), help="Where products of two computed values run.")
    ] = "host"

    @property
    def changed(self) -> list[str]:
        """Names of the options that were given another value than their default."""
        changed = [
            field.name for field in fields(self) if (getattr(self, field.name) or False) != (field.default or False)
        ]
        return [f"--{'no-' if name == 'pack' else ''}{name.replace('_', '-')}" for name in changed]

    @property
    def files(self) -> Iterable[Path]:
        """Files that are read."""
        return (*(self.example or ()), *(self.calibration or ()))


def takes_compile_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with an option for every field of :class:`CompileOptions` in place of its parameter ``options``."""
    signature = inspect.signature(command, eval_str=True)
    hints = get_type_hints(CompileOptions, include_extras=True)
    expanded: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name != "options":
            expanded.append(parameter)
            continue
        expanded += [
            inspect.Parameter(field.name, parameter.kind, default=field.default, annotation=hints[field.name])
            for field in fields(CompileOptions)
        ]

    @functools.wraps(command)
    def call(**given: Any) -> None:
        options = CompileOptions(**{field.name: given.pop(field.name) for field in fields(CompileOptions)})
        command(options=options, **given)

    # what typer reads
    call.__signature__ = signature.replace(parameters=expanded)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in expanded}
    return call
