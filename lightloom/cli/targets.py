"""The command that lists chips."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from .answers import answer
from .opening import check_files
from .options import JsonOption, OutputOption, presets

if TYPE_CHECKING:
    from ..runtime.targets import Target


def targets_command(
    name: Annotated[
        str | None,
        typer.Argument(autocompletion=presets, help="Preset, or path of a TOML file, to show in full."),
    ] = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the chips, or show one with the source of every number."""
    check_files(written=[output])
    from ..runtime import targets

    if name is not None:
        from ..runtime.report.text import assumptions

        chip = targets.get(name)
        text = f"{chip.name}: {chip.description}\n\n{assumptions(chip)}\n{_choices(chip)}"
        answer(text, chip.model_dump(mode="json"), as_json, output)
        return
    chips = [targets.get(preset) for preset in targets.list()]
    width = max(len(chip.name) for chip in chips)
    text = "\n".join(
        f"{chip.name:{width}}  {chip.mesh.ports:4} ports  {_cores(chip.mesh.cores)}  {_sentence(chip.description)}"
        for chip in chips
    )
    facts = [
        {"name": chip.name, "ports": chip.mesh.ports, "cores": chip.mesh.cores, "description": chip.description}
        for chip in chips
    ]
    answer(text, facts, as_json, output)


def _cores(count: int) -> str:
    return f"{count:2} core{' ' if count == 1 else 's'}"


def _sentence(text: str) -> str:
    """The first sentence."""
    return text.split(". ")[0].rstrip(".")


def _choices(chip: Target) -> str:
    """What a target chooses by name, and what it does not state."""
    from ..runtime.targets.edit import field_names, is_number

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
