"""The ``.loom`` file: a zip of a manifest and safetensors; no pickle, no code run on load."""

from .check import check_body
from .manifest import SCHEMA
from .reader import load
from .writer import save

__all__ = ["SCHEMA", "check_body", "load", "save"]
