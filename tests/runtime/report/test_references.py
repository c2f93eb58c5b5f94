"""Digital chips beside a program: the table's figures, and the report that shows them."""

from __future__ import annotations

import pytest

from lightloom.runtime.pricing.energy import energy
from lightloom.runtime.report.references import REFERENCES, Reference, beside
from lightloom.runtime.report.text import report
from lightloom.runtime.scheduling.dealing import deal

from ..bodies import layer


def test_a_reference_at_its_peak() -> None:
    chip = Reference("eight", 8e12, 4.0, "a test")
    assert chip.j_per_mac == pytest.approx(1e-12)
    assert chip.time_s(4_000_000_000_000) == pytest.approx(1.0)
    assert chip.energy_j(4_000_000_000_000) == pytest.approx(chip.power_w * 1.0)


def test_the_published_chips() -> None:
    """2 TOPS per watt, and 1978.9 TOPS in 700 W."""
    edge, centre = REFERENCES
    assert edge.j_per_mac == pytest.approx(1e-12)
    assert centre.j_per_mac == pytest.approx(0.7075e-12, rel=1e-3)
    assert all(len(chip.source) > 20 for chip in REFERENCES)


def test_the_table_counts_the_same_work() -> None:
    body = layer("mzi16", 64, 64, vectors=3)
    schedule = deal(body, 5)
    found = energy(body, schedule)
    table = beside(body, schedule, found).to_dict()
    assert table["energy_j"][0] == pytest.approx(found.amortised_j)
    assert table["time_s"][0] == pytest.approx(schedule.makespan_s / 5)
    assert table["energy_j"][1:] == pytest.approx([64 * 64 * 3 * chip.j_per_mac for chip in REFERENCES])
    assert table["ops_per_j"] == pytest.approx([2 / joules for joules in table["mac_j"]])
    assert table["ops_per_j"][1:] == pytest.approx([2e12, 1978.9e12 / 700])
    assert table["ratio"][1] == pytest.approx(found.amortised_j / table["energy_j"][1])


def test_the_report_shows_them_with_the_link_budget() -> None:
    body = layer("mzi16", 64, 64)
    schedule = deal(body, 1)
    text = report(body, schedule, energy(body, schedule))
    for chip in REFERENCES:
        assert chip.name in text
        assert chip.source in text
    assert "needed into a port for the ADC's 8 bits" in text
    assert "32 cells" in text
