"""One self-contained HTML page: headings, texts, tables and figures, without any other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from ..installed import missing


@dataclass(frozen=True)
class HtmlTable:
    """A table: the first ``left`` columns flush left, the others right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1


@dataclass(frozen=True)
class Section:
    """A part of the page. ``figure`` is SVG and goes in as it is; everything else is escaped.

    ``folded``: shown closed, to be opened by the reader.
    """

    title: str
    text: str = ""
    table: HtmlTable | None = None
    figure: str = ""
    notes: Sequence[str] = ()
    folded: bool = False


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as text. Raises LightloomError if jinja2 is not installed (extra ``demo``)."""
    try:
        import jinja2
    except ImportError as error:
        raise missing("the page", "jinja2", "demo") from error
    source = files(__name__.rpartition(".")[0]).joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(source).render(title=title, lead=lead, sections=sections)
