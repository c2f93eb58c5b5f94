"""Models and programs as the options of a command line tell them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..runtime.errors import InputError, complaint
from ..runtime.files import check_folder, check_writable
from .answers import progress_bar
from .options import DEFAULT_TARGET, CompileOptions

if TYPE_CHECKING:
    from ..modelspec import LoadedModel
    from ..program import Program

FILES = (".loom", ".onnx", ".pt2")
"""Suffixes of models and programs that are files."""


def check_files(
    source: str = "",
    read: Iterable[Path] = (),
    written: Iterable[Path | None] = (),
    folders: Iterable[Path | None] = (),
) -> None:
    """Files to read are there and files to write can be written: told before anything slow is imported or begun.

    Raises:
        InputError: the first that is not.
    """
    named = [Path(source)] if Path(source).suffix in FILES else []
    for path in (*named, *read):
        if not path.is_file():
            got = "a folder" if path.is_dir() else None
            raise InputError(complaint("No such file", where=str(path), got=got))
    for path in written:
        if path is not None:
            check_writable(path)
    for path in folders:
        if path is not None:
            check_folder(path)


def compiled(
    model: str,
    options: CompileOptions,
    *,
    dataflow: str | None = None,
    objective: str | None = None,
    print_ir_after_all: bool = False,
) -> Program:
    """Load and compile a model, with a progress bar."""
    from .. import compile as compile_for
    from ..modelspec import fitted, read_array

    loaded, given, chosen = _prepared(model, options)
    calibration = _batches(fitted(map(read_array, options.calibration or ()), loaded.model), given)
    with progress_bar("capturing") as tell:
        return compile_for(
            loaded.model,
            given,
            **chosen,
            calibration=calibration or None,
            dataflow=dataflow or "auto",  # type: ignore[arg-type]
            objective=objective or "latency",  # type: ignore[arg-type]
            print_ir_after_all=print_ir_after_all,
            progress=tell,
        )


def lowered(model: str, options: CompileOptions, stop_after: str, print_ir_after_all: bool) -> str:
    """The IR text after a pass."""
    from .. import lower
    from ..compiler.ir import show

    if options.calibration:
        raise typer.BadParameter("calibration follows all passes; leave --calibration or --stop-after out")
    loaded, given, chosen = _prepared(model, options)
    graph = lower(loaded.model, given, **chosen, stop_after=stop_after, print_ir_after_all=print_ir_after_all)
    return show(graph)


def _prepared(model: str, options: CompileOptions) -> tuple[LoadedModel, object, dict[str, Any]]:
    """The model, its example inputs, and the options as ``compile`` and ``lower`` take them."""
    from ..modelspec import load_model, parse_dynamic_shapes, parse_overrides, parse_tolerance

    chosen = {
        "target": options.target or DEFAULT_TARGET,
        "exclude": options.exclude or (),
        "overrides": parse_overrides(options.override or []),
        "strict": options.strict,
        "mesh_tolerance": parse_tolerance(options.mesh_tolerance),
        "pack": options.pack,
        "fewer_moves": options.fewer_moves,
        "dynamic_matmul": options.dynamic_matmul,
        "dynamic_shapes": parse_dynamic_shapes(options.dynamic_shape or []) or None,
    }
    loaded = load_model(model)
    return loaded, _examples(loaded, options), chosen


def _batches(arrays: list[Any], given: object) -> list[tuple[Any, ...]]:
    """Calibration arrays, as many at a time as the model has inputs."""
    width = len(given) if isinstance(given, tuple | list) else 1
    if len(arrays) % width:
        raise typer.BadParameter(
            f"--calibration: {len(arrays)} files for a model of {width} inputs; give all of each run"
        )
    return [tuple(arrays[first : first + width]) for first in range(0, len(arrays), width)]


def _examples(loaded: LoadedModel, options: CompileOptions) -> object:
    """The example inputs of the command line, or else those that came with the model."""
    from torch import nn

    from ..modelspec import example_inputs, fitted, read_array

    arrays = fitted(map(read_array, options.example or ()), loaded.model)
    given = example_inputs(options.input_shape or [], arrays)
    if given is None and loaded.example_inputs is None and isinstance(loaded.model, nn.Module):
        raise typer.BadParameter("this model needs example inputs: --input-shape 1,3,64,64 or --example x.npy")
    return loaded.example_inputs if given is None else given


def opened(source: str, options: CompileOptions) -> Program:
    """A saved program, or a model compiled now."""
    if Path(source).suffix != ".loom":
        return compiled(source, options)
    if options.changed:
        given = ", ".join(options.changed)
        raise typer.BadParameter(f"a .loom file is compiled already; leave the options of compile out: {given}")
    from ..program import load

    return load(source)


def changed(program: Program, dataflow: str | None, objective: str | None, changes: list[str] | None) -> Program:
    """The program with another plan, on a changed chip; itself where nothing changes."""
    if not (dataflow or objective or changes):
        return program
    from ..modelspec import parse_changes
    from ..whatif import what_if

    return what_if(program, parse_changes(changes or []), dataflow, objective)  # type: ignore[arg-type]
