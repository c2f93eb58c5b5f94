"""Link and error budgets."""

import pytest

from lightloom.runtime.errors import InputError
from lightloom.runtime.optics.budget import ErrorBudget, detected_power_w, launch_power_w, optical_energy_j


def test_launch_and_detection_are_inverse():
    assert detected_power_w(launch_power_w(2e-4, 0.4, 0.75), 0.4, 0.75) == pytest.approx(2e-4)


def test_outputs_share_the_light():
    assert detected_power_w(1.0, 0.5, outputs=4) == 0.125


@pytest.mark.parametrize("efficiency", [0.0, -0.1, 1.01, float("nan")])
def test_an_efficiency_is_a_fraction(efficiency):
    with pytest.raises(InputError, match="an efficiency is a fraction"):
        launch_power_w(1.0, efficiency)


def test_a_laser_draws_more_than_it_gives():
    assert optical_energy_j(1e-3, 1e-6, 0.2) == pytest.approx(5e-9)


def test_an_error_budget_adds_its_terms():
    errors = ErrorBudget(1.0, {"a": 0.25, "b": 0.5})
    assert (errors.total, errors.left, errors.met) == (0.75, 0.25, True)
    assert not ErrorBudget(0.5, errors.terms).met
