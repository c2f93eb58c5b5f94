"""Ways into the compiler: each turns a model into an ``nn`` graph."""

from .capture import Captured, capture

__all__ = ["Captured", "capture"]
