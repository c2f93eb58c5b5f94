"""Design-space exploration: many targets and compile options, one table of latency, energy and accuracy."""

from __future__ import annotations

from .evaluate import METRICS, evaluate
from .results import pareto
from .run import Finished, run_sweep
from .spec import SweepSpec, read_spec

__all__ = ["METRICS", "Finished", "SweepSpec", "evaluate", "pareto", "read_spec", "run_sweep"]
