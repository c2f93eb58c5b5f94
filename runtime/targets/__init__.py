"""Chip descriptions: the presets, and targets of one's own from TOML or Python."""

from .registry import get
from .registry import names as list
from .schema import DetectionSpec, EncodingSpec, EnergySpec, MeshSpec, Provenance, Target, TimingSpec
from .toml import dump_target, parse_target, write_target
from .toml import read_target as from_toml

__all__ = [
    "DetectionSpec",
    "EncodingSpec",
    "EnergySpec",
    "MeshSpec",
    "Provenance",
    "Target",
    "TimingSpec",
    "dump_target",
    "from_toml",
    "get",
    "list",
    "parse_target",
    "write_target",
]
