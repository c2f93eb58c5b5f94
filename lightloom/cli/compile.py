"""The command that compiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .answers import answer
from .opening import check_files, compiled, lowered
from .options import (
    CompileOptions,
    DataflowOption,
    JsonOption,
    ModelArgument,
    ObjectiveOption,
    takes_compile_options,
)


@takes_compile_options
def compile_command(
    model: ModelArgument,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The .loom file to write; with --stop-after, a text file."),
    ] = None,
    options: CompileOptions,
    dataflow: DataflowOption = None,
    objective: ObjectiveOption = None,
    print_ir_after_all: Annotated[
        bool, typer.Option("--print-ir-after-all", help="Print the IR after every pass, to standard error.")
    ] = False,
    stop_after: Annotated[str | None, typer.Option(metavar="PASS", help="Stop after a pass and print its IR.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a model to a .loom program."""
    if output is None and stop_after is None:
        raise typer.BadParameter("say where to write the program: -o model.loom", param_hint="--output")
    check_files(model, options.files, [output])
    if output is None or stop_after is not None:
        text = lowered(model, options, stop_after or "", print_ir_after_all)
        answer(text, {"stop_after": stop_after, "ir": text}, as_json, output)
        return
    program = compiled(model, options, dataflow=dataflow, objective=objective, print_ir_after_all=print_ir_after_all)
    program.save(output)
    explanation = program.explain()
    facts = {
        "program": program.body.name,
        "target": program.target.name,
        "path": str(output),
        "bytes": output.stat().st_size,
        "tiles": sum(bank.spec.tiles for bank in program.body.banks.values()),
        "headline": explanation.headline,
        "pass_s": dict(program.pass_s),
    }
    size = f"{facts['bytes'] / 1e6:.2f} MB"
    seconds = sum(program.pass_s.values())
    answer(f"{program!r}\n{explanation.headline}\n{output}: {size}, compiled in {seconds:.1f} s", facts, as_json)
