"""The page of a program: everything about it in one HTML file that needs no other file and no network."""

from __future__ import annotations

import json
from importlib.resources import files

from ..installed import missing
from ..pricing.energy import EnergyReport
from ..program import ProgramBody
from ..scheduling.schedule import Schedule
from .page_data import page_data
from .tables import micro, si

SCRIPTS = ("program.js", "program_layers.js", "program_timeline.js", "program_energy.js", "program_tiles.js")
"""The page's script, in this order."""


def program_page(body: ProgramBody, schedule: Schedule, energy: EnergyReport) -> str:
    """The page as text.

    Args: the program, its schedule for a batch, and the schedule's energy.
    Raises: LightloomError if jinja2 is not installed (extra ``demo``).
    """
    try:
        import jinja2
    except ImportError as error:
        raise missing("the page", "jinja2", "demo") from error
    data = page_data(body, schedule, energy)
    # `</` would end the script element that holds the data
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/").replace("<!--", "<\\u0021--")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_read("program.html.j2")).render(
        data=data,
        json=text,
        css=_read("program.css"),
        script="\n".join(map(_read, SCRIPTS)),
        seconds=lambda value: si(value, "s"),
        mu=micro,
    )


def _read(name: str) -> str:
    return files(__name__.rpartition(".")[0]).joinpath(name).read_text(encoding="utf-8")
