"""What a target's memories must hold at the least."""

from __future__ import annotations

from ..errors import complaint
from .fields import TargetFields


def storage(target: TargetFields) -> list[str]:
    """Memories that are stated but too small for one tile's settings or one vector."""
    # Imported here: widths describe targets, and only a target that states memories needs them.
    from ..widths import HOST_BYTES, number_bytes, settings_per_tile

    memory, mesh = target.memory, target.mesh
    faults: list[str] = []
    if memory.sram_bytes is not None:
        width = number_bytes(mesh.phase_bits)
        count = settings_per_tile(mesh)
        faults += _short(
            "the SRAM does not hold the settings of one tile",
            "memory.sram_bytes",
            memory.sram_bytes,
            count * width,
            f"{count} settings of {width} bytes",
            "lower mesh.ports or mesh.phase_bits",
        )
    if memory.accumulator_bytes is not None:
        faults += _short(
            "the accumulators do not hold the sums of one vector",
            "memory.accumulator_bytes",
            memory.accumulator_bytes,
            mesh.ports * HOST_BYTES,
            f"{mesh.ports} ports of {HOST_BYTES} bytes",
            "leave it out (no output-stationary dataflow)",
        )
    if memory.input_buffer_bytes is not None:
        width = number_bytes(target.encoding.dac_bits)
        faults += _short(
            "the input buffer does not hold one vector",
            "memory.input_buffer_bytes",
            memory.input_buffer_bytes,
            mesh.ports * width,
            f"{mesh.ports} ports of {width} bytes",
            "leave it out (no input-stationary dataflow)",
        )
    return faults


def _short(what: str, field: str, found: int, needed: int, why: str, instead: str) -> list[str]:
    if found >= needed:
        return []
    return [
        complaint(
            what,
            where=field,
            got=f"{found} bytes, short by {needed - found} bytes",
            allowed=f"at least {needed} bytes = {why}",
            next_step=f"raise {field} to {needed}, or {instead}",
        )
    ]
