"""ONNX names as Python's."""

from __future__ import annotations

import re


def identifier(name: str) -> str:
    """A module name that still reads like the ONNX name."""
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "node"
