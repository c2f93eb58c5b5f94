"""Curves over time: sums of intervals, cores at work, power."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import lightloom as ll
from lightloom.runtime.pricing.energy import energy
from lightloom.runtime.report.profile import Curve, cores_busy, power, stacked
from lightloom.runtime.scheduling.schedule import EventKind

from . import programs


def value_at(curve: Curve, time: float) -> float:
    return float(curve.values[np.searchsorted(curve.edges_s, time, side="right") - 1])


def test_intervals_add_up() -> None:
    curve = stacked(np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([2.0, 10.0]), 6.0)
    assert [value_at(curve, time) for time in (0.5, 1.5, 2.5, 4, 5.5)] == [0, 2, 12, 10, 0]
    assert curve.integral == 2 * 2 + 3 * 10


def test_a_mean_keeps_the_integral() -> None:
    generator = np.random.default_rng(5)
    start = generator.uniform(0, 90, 400)
    curve = stacked(start, start + generator.uniform(0, 10, 400), generator.uniform(0, 1, 400), 100.0)
    coarse = curve.averaged(7)
    assert len(coarse.values) == 7
    assert coarse.integral == pytest.approx(curve.integral, rel=1e-12)
    assert curve.averaged(10_000) is curve


@pytest.mark.parametrize("make", [programs.residual, programs.equipped, programs.recurrent, programs.attention])
def test_power_is_the_energy(make: Callable[[], ll.Program]) -> None:
    program = make()
    schedule, priced = program.schedule, program.energy
    curve = power(schedule, priced, program.target.mesh.cores)
    assert curve.integral == pytest.approx(priced.total_j, rel=1e-9)
    assert curve.values.min() >= 0
    assert curve.edges_s[-1] == schedule.makespan_s


@pytest.mark.parametrize("make", [programs.recurrent, programs.attention])
def test_what_buffers_hold_is_drawn_while_they_hold_it(make: Callable[[], ll.Program]) -> None:
    """With two buffers cores are hardly ever idle, but one of the two waits most of the time."""
    program = make()
    assert program.schedule.buffers == 2
    assert program.energy.run.by_item()["hold"] > 0.9 * program.energy.total_j
    curve = power(program.schedule, program.energy, program.target.mesh.cores)
    high = curve.values > 3 * program.energy.average_power_w
    assert np.average(high, weights=np.diff(curve.edges_s)) < 0.05
    low = curve.values < program.energy.average_power_w / 5
    assert np.average(low, weights=np.diff(curve.edges_s)) < 0.05


def test_warm_runs_hold_from_the_beginning() -> None:
    target = ll.targets.get("mzi16").with_({"mesh.cores": 4})
    program = ll.Program(programs.tiny().body)
    warm = program.schedule_for(1, warm=True)
    assert warm.warm
    assert not (warm.kind == EventKind.CONFIGURE).any()
    curve = power(warm, energy(program.body, warm), target.mesh.cores)
    assert curve.integral == pytest.approx(energy(program.body, warm).total_j, rel=1e-9)
    assert cores_busy(warm).values.max() == 1
