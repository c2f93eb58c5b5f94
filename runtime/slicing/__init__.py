"""The slicing engine: fields pass a mesh window by window; no window ever becomes an N x N matrix."""

from .engine import ENGINES, engine_for, propagate
from .imperfections import Imperfections
from .reference import transfer_matrix

__all__ = ["ENGINES", "Imperfections", "engine_for", "propagate", "transfer_matrix"]
