"""The compiler's intermediate representation: graph, text, parser, verifier."""

from .graph import STAGES, Bank, Column, Graph, Matrix, Node, Origin, Placement, Value
from .parse import ParseError, parse
from .text import show
from .verify import LL_OPS, verify

__all__ = [
    "LL_OPS",
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
