"""What a recurrent step does, counted: a loop of windows through tiles that stay where they are."""

from __future__ import annotations

import numpy as np

from .event_counts import Counts, configure_counts, host_counts, total, window_counts
from .latency import spills
from .program import ProgramBody, RecurrentStep, StepCost
from .recurrent import GATE_ELEMENTS, sizes
from .recurrent_dealing import Places
from .widths import HOST_BYTES


def gate_counts(body: ProgramBody, step: RecurrentStep, vectors: int) -> Counts:
    """Counts of the host's work behind so many hidden vectors: the bias of the products, the gates, and the moves."""
    rows, hidden, _ = sizes(body, step)
    gates = host_counts(StepCost(0, 0, GATE_ELEMENTS[step.kind] * hidden), vectors)
    gates += Counts(link_bytes=gate_link_bytes(body, step, vectors))
    return gates if step.bias is None else gates + Counts(accumulations=vectors * rows)


def gate_link_bytes(body: ProgramBody, step: RecurrentStep, vectors: int) -> int:
    """Bytes that cross the link for so many hidden vectors: in and out of each matrix (:func:`.moves.loop_bytes`)."""
    if not body.target.link.present:
        return 0
    specs = [body.banks[name].spec for name in step.banks]
    return HOST_BYTES * vectors * sum(spec.cols + spec.rows for spec in specs)


def loop_counts(body: ProgramBody, step: RecurrentStep, times: int, samples: int) -> Counts:
    """Counts of a recurrent step of so many time steps and samples on cores that held other tiles before."""
    if not times or not samples:
        return Counts()
    places = Places.of([body.banks[name].spec.tiles for name in step.banks], body.target.mesh.cores)
    parts = [gate_counts(body, step, times * samples)]
    for name, configures in zip(step.banks, places.configures(times), strict=True):
        spec = body.banks[name].spec
        tiles = np.arange(spec.tiles)
        parts.append(configure_counts(spec, configures, from_dram=spills(body)))
        parts.append(window_counts(body, name, tiles, np.full(spec.tiles, times * samples)))
    return total(parts)
