"""The same program on a better or worse chip, without compiling again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .program import Program
from .runtime.errors import CompileError, complaint
from .runtime.program import TileBank
from .runtime.targets.schema import EnergySpec, TimingSpec

CHANGEABLE = (
    "mesh.cores",
    "mesh.buffers",
    "mesh.phase_bits",
    "mesh.attenuator_bits",
    "mesh.phase_error_rad",
    "mesh.splitter_error_rad",
    "mesh.cell_loss_db",
    "mesh.coupling_loss_db",
    "mesh.chip_seed",
    "encoding.dac_bits",
    "detection.adc_bits",
    "detection.noise",
    "detection.responsivity_a_per_w",
    "detection.dark_current_a",
    "detection.thermal_noise_a_per_rthz",
    "detection.rin_db_per_hz",
    "detection.bandwidth_hz",
    "detection.local_oscillator_w",
    "detection.launch_power_w",
    "detection.required_snr_db",
    *(f"timing.{name}" for name in TimingSpec.model_fields),
    *(f"energy.{name}" for name in EnergySpec.model_fields),
)
"""Fields that a compiled program does not depend on: tables keep 32-bit words, which drivers round, and times and
energies are computed from the target when they are asked for."""


def what_if(program: Program, changes: Mapping[str, Any]) -> Program:
    """The program on its chip with some precision, imperfection, time or energy changed.

    Equal to compiling again for ``target.with_(changes)``, and immediate: the tables are shared.

    Args:
        program: a compiled program.
        changes: field of the target -> value, of :data:`CHANGEABLE`: ``{"encoding.dac_bits": 6}``.

    Raises:
        CompileError: for any other field, or a program with per-layer overrides.
        TargetError: for impossible values.
    """
    body = program.body
    odd = sorted(set(changes) - set(CHANGEABLE))
    if odd:
        raise CompileError(
            complaint(
                "These fields decide how a model is compiled",
                where=body.name,
                got=", ".join(odd),
                allowed=", ".join(CHANGEABLE),
                next_step="compile the model for target.with_(...)",
            )
        )
    if body.layer_targets:
        raise CompileError(
            complaint(
                "A program with per-layer overrides has no single precision to change",
                where=body.name,
                got=", ".join(body.layer_targets),
                next_step="compile the model again with other overrides",
            )
        )
    target = body.target.with_(dict(changes))
    bits = {"phase_bits": target.mesh.phase_bits, "attenuator_bits": target.mesh.attenuator_bits}
    banks = {name: TileBank(replace(bank.spec, **bits), bank.columns) for name, bank in body.banks.items()}
    return Program(replace(body, target=target, banks=banks))
