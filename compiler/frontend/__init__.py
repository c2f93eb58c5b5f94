"""Ways into the compiler: each turns a model into an ``nn`` graph."""

from __future__ import annotations

import importlib
from typing import Any

from .capture import Captured, CaptureWarning, capture
from .models import as_module

__all__ = ["CaptureWarning", "Captured", "as_module", "capture"]


def __getattr__(name: str) -> Any:
    """``frontend.onnx`` on first use: it imports the onnx package."""
    if name == "onnx":
        return importlib.import_module(".onnx", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
