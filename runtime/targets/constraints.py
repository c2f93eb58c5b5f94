"""Fields of a target that must agree with one another."""

from __future__ import annotations

from ..errors import TargetError, complaint
from . import limits
from .edit import field_names, numbers
from .faults import close_names, unknown_field
from .fields import TargetFields


def contradictions(target: TargetFields) -> list[str]:
    """Every contradiction between fields: the constraint, what was given, and which field to change."""
    faults: list[str] = []
    detection, encoding, mesh = target.detection, target.encoding, target.mesh
    if detection.kind == "intensity" and encoding.sign == "phase_sign":
        faults.append(
            complaint(
                "intensity detection cannot see the sign that phase_sign encoding puts in the phase",
                where="encoding.sign, detection.kind",
                got="phase_sign with intensity",
                allowed="differential, differential_two_shot or offset with intensity; any with coherent",
                next_step="change encoding.sign or set detection.kind to coherent",
            )
        )
    if detection.kind == "coherent" and detection.adc_bits == 1:
        faults.append(
            complaint(
                "coherent detection needs a sign bit and at least one magnitude bit",
                where="detection.adc_bits",
                got=1,
                allowed="2 to 24, or none for a continuous readout",
                next_step="raise detection.adc_bits",
            )
        )
    topologies = _topologies()
    if topologies and mesh.topology not in topologies:
        faults.append(
            complaint(
                "unknown mesh topology",
                where="mesh.topology",
                got=repr(mesh.topology),
                next_step=close_names(mesh.topology, topologies),
            )
        )
    else:
        faults += _impossible_mesh(target) or limits.broken(target)
    known = [f"{part}.{name}" for part, names in field_names(type(target)).items() if part for name in names]
    present = numbers(target)
    for path in target.provenance:
        if path not in known:
            faults.append(unknown_field(f"provenance.{path}", known))
        elif path not in present:
            faults.append(
                complaint(
                    "a source for a field that has no number",
                    where=f"provenance.{path}",
                    next_step="give the field a number or drop its source",
                )
            )
    return faults


def _impossible_mesh(target: TargetFields) -> list[str]:
    """Ports or layers that the family does not have; the error of the family itself."""
    from .. import meshes

    mesh = target.mesh
    if mesh.layers is None and mesh.topology != "butterfly":
        return []  # every other family takes any number of ports: nothing to build here
    try:
        meshes.tile_mesh(mesh)
    except TargetError as error:
        return [str(error)]
    return []


def _topologies() -> list[str]:
    """Mesh families that can be built."""
    # Imported here: the mesh package is not needed to describe a chip, only to check its name.
    from .. import meshes

    return list(getattr(meshes, "TOPOLOGIES", ()))
