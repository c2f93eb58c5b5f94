"""The command that runs a program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .answers import answer, progress_bar
from .opening import check_files
from .options import JsonOption


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
    check_files(read=[program, *inputs], written=[output])
    from ..modelspec import as_declared, read_array
    from ..program import load
    from ..runtime.inputs import positional
    from ..runtime.trees import leaves
    from .outputs import check_suffix, flatten, write_outputs

    loaded = load(program)
    if output is not None:
        structure: Any = loaded.body.structure
        check_suffix(output, sum(loaded.body.outputs[at] is not None for at in leaves(structure)))
    arrays = as_declared(loaded.body, [read_array(path) for path in inputs])
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
    facts["outputs"] = {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in found.items()}
    if output is not None:
        facts["path"] = str(write_outputs(found, output))
        shapes = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in found.items())
        answer(f"{output}: {shapes}", facts, as_json)
        return
    for name, array in found.items():
        facts["outputs"][name]["values"] = array.tolist()
    answer("\n".join(f"{name} =\n{array}" for name, array in found.items()), facts, as_json)
