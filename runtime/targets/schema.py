"""The description of a chip: one frozen model whose numbers have units and sources and contradict no other."""

from __future__ import annotations

import os
from typing import Any

from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator

from . import toml
from .constraints import contradictions
from .edit import field_names, with_changes
from .faults import from_pydantic, target_error
from .fields import DetectionSpec, EncodingSpec, EnergySpec, MeshSpec, Provenance, TargetFields, TimingSpec
from .part import Bits, Part
from .sizing import sizing
from .surroundings import AreaSpec, LinkSpec, MemorySpec

__all__ = [
    "AreaSpec",
    "Bits",
    "DetectionSpec",
    "EncodingSpec",
    "EnergySpec",
    "LinkSpec",
    "MemorySpec",
    "MeshSpec",
    "Part",
    "Provenance",
    "Target",
    "TimingSpec",
]


class Target(TargetFields):
    """A photonic chip as the compiler and the simulator see it."""

    @model_validator(mode="wrap")
    @classmethod
    def _consistent(cls, data: Any, handler: ModelWrapValidatorHandler[Target]) -> Target:
        """Told as one TargetError: every impossible value, or else every contradiction between fields."""
        name = data.get("name") if isinstance(data, dict) else None
        title = f"target {name!r}" if isinstance(name, str) else "target"
        try:
            target = handler(data)
        except ValidationError as error:
            raise target_error(title, from_pydantic(error, field_names(cls))) from error
        faults = contradictions(target)
        if faults:
            raise target_error(title, faults)
        if target.detection.laser == "given":
            return target
        found = sizing(target)
        if found.holds(target):
            return target
        # Through the handler once more: the object under construction takes the sized power.
        return handler(found.into(target.model_dump()))

    def with_(self, changes: dict[str, Any] | None = None, /, **parts: dict[str, Any]) -> Target:
        """A copy with fields changed: ``t.with_({"mesh.ports": 32})`` or ``t.with_(mesh={"ports": 32})``.

        Changed numbers become ``assumed``, with this call as their source.
        """
        return with_changes(self, changes, parts)

    @classmethod
    def from_toml(cls, path: Any) -> Target:
        """Read a target from a TOML file. Raises TargetError with every fault found."""
        return toml.read_target(path, cls)


def parse_target(text: str, name: str = "target") -> Target:
    """A target from the text of a TOML file; ``name`` stands in error messages."""
    return toml.parse_target(text, Target, name)


def read_target(path: str | os.PathLike[str]) -> Target:
    """Read a target from a TOML file.

    Raises:
        TargetError: the file cannot be read, is not TOML, or has faults; all faults are listed.
    """
    return toml.read_target(path, Target)
