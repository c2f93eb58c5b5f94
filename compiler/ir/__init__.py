"""The compiler's intermediate representation: graph, text, parser, verifier."""

from .graph import STAGES, Bank, Column, Graph, Matrix, Node, Origin, Placement, Value
from .parse import ParseError, parse
from .text import show
from .verify import verify

__all__ = [
    "STAGES",
    "Bank",
    "Column",
    "Graph",
    "Matrix",
    "Node",
    "Origin",
    "ParseError",
    "Placement",
    "Value",
    "parse",
    "show",
    "verify",
]
