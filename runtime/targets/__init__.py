"""Chip descriptions: the presets, and targets of one's own from TOML or Python."""

from .links import linked, links
from .registry import get
from .registry import names as list
from .schema import (
    AreaSpec,
    DetectionSpec,
    EncodingSpec,
    EnergySpec,
    LinkSpec,
    MemorySpec,
    MeshSpec,
    Provenance,
    Target,
    TimingSpec,
    parse_target,
)
from .schema import read_target as from_toml
from .toml import dump_target, write_target

__all__ = [
    "AreaSpec",
    "DetectionSpec",
    "EncodingSpec",
    "EnergySpec",
    "LinkSpec",
    "MemorySpec",
    "MeshSpec",
    "Provenance",
    "Target",
    "TimingSpec",
    "dump_target",
    "from_toml",
    "get",
    "linked",
    "links",
    "list",
    "parse_target",
    "write_target",
]
