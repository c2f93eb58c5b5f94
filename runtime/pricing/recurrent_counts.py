"""What a recurrent step does, counted: a loop of windows through tiles that stay where they are."""

from __future__ import annotations

from ..program import ProgramBody, RecurrentStep, StepCost
from ..recurrent import GATE_ELEMENTS, sizes
from ..widths import HOST_BYTES
from .event_counts import Counts, host_counts


def gate_counts(body: ProgramBody, step: RecurrentStep, vectors: int) -> Counts:
    """Counts of the host's work behind so many hidden vectors: the bias of the products, the gates, and the moves."""
    rows, hidden, _ = sizes(body, step)
    gates = host_counts(StepCost(0, 0, GATE_ELEMENTS[step.kind] * hidden), vectors)
    gates += Counts(link_bytes=gate_link_bytes(body, step, vectors))
    return gates if step.bias is None else gates + Counts(accumulations=vectors * rows)


def gate_link_bytes(body: ProgramBody, step: RecurrentStep, vectors: int) -> int:
    """Bytes that cross the link for so many hidden vectors, in and out of each matrix.

    See :func:`..scheduling.moves.loop_bytes`.
    """
    if not body.target.link.present:
        return 0
    specs = [body.banks[name].spec for name in step.banks]
    return HOST_BYTES * vectors * sum(spec.cols + spec.rows for spec in specs)
