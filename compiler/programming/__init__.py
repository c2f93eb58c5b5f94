"""Programming: unitaries to the phases of a mesh, one file a mesh family, one table of rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from ...runtime.errors import CompileError, complaint
from ...runtime.meshes import mesh
from . import clements, clements_bell, diamond, reck
from .numerical import NumericalSettings, program_numerically
from .settings import GaugeSettings, MeshSettings, PhaseSettings
from .unitary import check_unitary, nearest_unitary

Rule = Callable[[np.ndarray], MeshSettings]
"""The analytic rule of a family: float64 orthogonal or complex128 unitary matrices (T, n, n) to settings."""

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "clements": clements.program,
        "clements_bell": clements_bell.program,
        "diamond": diamond.program,
        "reck": reck.program,
    }
)
"""Analytic rules by topology. A diamond of 2 n - 2 waveguides holds n x n matrices, the others n ports."""


def program_unitaries(topology: str, matrices: np.ndarray, *, tolerance: float = 1e-9) -> MeshSettings:
    """Program a batch of unitaries onto meshes: ``transfer_matrix(mesh, settings.phases_rad())`` equals them.

    The mesh of V^H is programmed with V^H itself. A diamond holds them on its upper n ports and passes the
    light of the others straight on.

    Args:
        topology: a name of ``RULES``.
        matrices: (T, n, n); real matrices are programmed in the real gauge where the mesh has it.
        tolerance: the largest max-abs distance of M^H M from the identity that passes as unitary.

    Returns:
        GaugeSettings for real matrices on meshes of MZIs, PhaseSettings for all else.

    Raises:
        TargetError: unknown topology.
        CompileError: the topology has no analytic rule, or a matrix is not square, not finite or not
            unitary (the message gives the distance; ``nearest_unitary`` gives a matrix that is).
    """
    stack = check_unitary(np.asarray(matrices), tolerance)
    if topology not in RULES:
        mesh(topology, stack.shape[-1])  # an unknown name, or an impossible width, is the better complaint
        raise CompileError(
            complaint(
                "No analytic rule programs this mesh",
                where="topology",
                got=repr(topology),
                allowed=", ".join(sorted(RULES)),
                next_step="choose one of these, or search for phases with program_numerically(mesh, matrices)",
            )
        )
    return RULES[topology](stack)


__all__ = [
    "RULES",
    "GaugeSettings",
    "MeshSettings",
    "NumericalSettings",
    "PhaseSettings",
    "Rule",
    "nearest_unitary",
    "program_numerically",
    "program_unitaries",
]
