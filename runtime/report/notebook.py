"""A program as a notebook shows it: the headline and a table of its layers."""

from __future__ import annotations

from html import escape

from ..program import ProgramBody
from .explain import explain
from .tables import Table

ROWS = 40
"""Layers that are listed; explain() lists all."""


def notebook_html(body: ProgramBody) -> str:
    """An HTML fragment without scripts and styles of its own."""
    explained = explain(body)
    title = f"<p><b>{escape(body.name)}</b> on <b>{escape(body.target.name)}</b>: {escape(explained.headline)}</p>"
    return title + table_html(explained.layer_table())


def table_html(table: Table) -> str:
    """A table as HTML, texts left and numbers right; its first rows where it is long."""
    sides = ["left" if place < table.left else "right" for place in range(len(table.columns))]
    head = "".join(
        f'<th style="text-align:{side}">{escape(column.heading)}</th>'
        for side, column in zip(sides, table.columns, strict=True)
    )
    lines = [
        "".join(
            f'<td style="text-align:{side}">{escape(column.text(value))}</td>'
            for side, column, value in zip(sides, table.columns, row, strict=True)
        )
        for row in table.rows[:ROWS]
    ]
    more = len(table.rows) - ROWS
    note = f"<p>... and {more} more</p>" if more > 0 else ""
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"
