"""How a program is to be scheduled: what is asked for, and what that means for each step.

Dataflows, by what stays while the rest changes:

- ``weight``: a core is configured for a tile, and vectors stream through it.
- ``output``: a core takes a block of vectors through all tiles of one grid row, and adds their readings up in its
  accumulators; only sums leave the core.
- ``input``: a core keeps a block of vectors' parts in its input buffer, and takes it through all tiles of one grid
  column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import InputError, complaint

Dataflow = Literal["weight", "output", "input"]
Objective = Literal["latency", "energy", "edp"]

DATAFLOWS: tuple[Dataflow, ...] = get_args(Dataflow)
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a schedule: a dataflow for every layer, or ``auto`` for the best of each by the objective."""

    dataflow: Dataflow | Literal["auto"] = "auto"
    objective: Objective = "latency"

    def __post_init__(self) -> None:
        """Raises InputError for an unknown dataflow or objective."""
        for name, value, allowed in (
            ("dataflow", self.dataflow, ("auto", *DATAFLOWS)),
            ("objective", self.objective, OBJECTIVES),
        ):
            if value not in allowed:
                raise InputError(
                    complaint(f"unknown {name}", where=name, got=repr(value), allowed=", ".join(map(repr, allowed)))
                )


@dataclass(frozen=True, slots=True)
class StepPlan:
    """How a matrix step is dealt to the cores: its dataflow, and the vectors of a block, the last one possibly smaller.

    The vectors of a run are cut into blocks of ``block``; each goes through every tile. Weight-stationary blocks of one
    tile may run on several cores at once, each configured for it.
    """

    dataflow: Dataflow
    block: int

    def blocks(self, vectors: int) -> int:
        """Blocks that so many vectors are cut into."""
        return -(-vectors // self.block) if vectors else 0
