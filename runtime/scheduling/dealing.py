"""Scheduling: the tiles of every matrix are dealt to the cores, in the way that a plan says.

A core that takes a tile is configured for it (unless it holds it already), streams vectors, and takes the next tile.
A tile's weights depend on no data: a core with one buffer is configured while the step's inputs are still being
computed, as late as possible; a core with two is configured as early as a buffer is free, also while light runs
through the other. Steps are dealt in program order; a step starts when its inputs are there; independent steps share
the cores. Host ops run one at a time, and so do moves over the link (:mod:`.moves`).

How a matrix step is dealt (:class:`.plan.StepPlan`):

- weight-stationary, all vectors in one block: each tile goes to the core that can finish it first.
- weight-stationary in blocks: a tile may run on several cores at once; its blocks are shared out so that the last core
  is done as early as can be.
- output-stationary: each block of vectors goes through all tiles of a grid row on one core, which adds up.
- input-stationary: each block of vectors stays beside one core for all tiles of a grid column.

The loops of recurrent steps are dealt by :mod:`.recurrent_dealing`, one setting a core at a time. Step by step:
:mod:`.dealer`; which core takes a tile: :mod:`.cores`; which plan: :mod:`.planning`; what no schedule can beat:
:mod:`.bounds`.
"""

from __future__ import annotations

from ..errors import InputError, complaint
from ..program import ProgramBody
from .bounds import gates_s, loop_tiles, lower_bound_s
from .dealer import Dealer
from .plan import Plan
from .planning import choose
from .schedule import Schedule

__all__ = ["deal", "gates_s", "loop_tiles", "lower_bound_s"]


def deal(body: ProgramBody, batch: int, plan: Plan | None = None, warm: bool = False) -> Schedule:
    """Schedule a program for a batch of samples on its target's cores.

    Args:
        body: the program; its ``costs`` say how many vectors and elements a sample asks of each step.
        batch: samples, at least 1.
        plan: dataflow and objective; the program's own if not given.
        warm: the run after one like it, which finds on the cores what that one left there. A program that fits into
            their buffers stays: nothing is configured, and tiles have as many copies as stay, too.

    Returns: the schedule. The same arguments give the same schedule.

    Raises:
        InputError: a batch below 1.
        TargetError: a dataflow that the chip's memories beside its cores are too small for.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(complaint("a schedule needs a batch", got=repr(batch), allowed="1 sample or more"))
    return choose(Dealer(body, batch), body.plan if plan is None else plan, warm=warm)
