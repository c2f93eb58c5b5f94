"""Programming: unitaries to the phases of a mesh, one file a mesh family, one table of rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ...runtime.errors import CompileError, complaint
from ...runtime.meshes import mesh
from . import clements
from .settings import GaugeSettings, MeshSettings, PhaseSettings
from .unitary import check_unitary


@dataclass(frozen=True)
class Rule:
    """The analytic rule of a mesh family, for real orthogonal and for complex unitary matrices."""

    real: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    complex: Callable[[np.ndarray], np.ndarray]


RULES: Mapping[str, Rule] = MappingProxyType({"clements": Rule(clements.program_real, clements.program_complex)})
"""Analytic rules by topology."""


def program_unitaries(topology: str, matrices: np.ndarray, *, tolerance: float = 1e-9) -> MeshSettings:
    """Program a batch of unitaries onto meshes: ``transfer_matrix(mesh, settings.phases_rad())`` equals them.

    The mesh of V^H is programmed with V^H itself.

    Args:
        topology: a name of ``meshes.TOPOLOGIES`` that has an analytic rule.
        matrices: (T, n, n); real matrices are programmed in the real gauge.
        tolerance: the largest max-abs distance of M^H M from the identity that passes as unitary.

    Returns:
        GaugeSettings for real matrices, PhaseSettings for complex ones.

    Raises:
        TargetError: unknown topology.
        CompileError: the topology has no analytic rule, or a matrix is not square, not finite or not
            unitary (the message gives the distance).
    """
    stack = check_unitary(np.asarray(matrices), tolerance)
    layout = mesh(topology, stack.shape[-1])
    if topology not in RULES:
        raise CompileError(
            complaint(
                "No analytic rule programs this mesh",
                where="topology",
                got=repr(topology),
                allowed=", ".join(sorted(RULES)),
                next_step="choose one of these topologies in the target",
            )
        )
    rule = RULES[topology]
    if np.iscomplexobj(stack):
        return PhaseSettings(layout, rule.complex(stack))
    return GaugeSettings(layout, *rule.real(stack))


__all__ = ["RULES", "GaugeSettings", "MeshSettings", "PhaseSettings", "Rule", "program_unitaries"]
