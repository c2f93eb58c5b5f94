"""Links by name: between the host and a chip."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lightloom as ll
from lightloom.runtime.errors import TargetError
from lightloom.runtime.scheduling.latency import move_s
from lightloom.runtime.targets import units

MZI = ll.targets.get("mzi16")


def test_the_links_are_listed() -> None:
    assert ll.targets.links() == ["ethernet_100g", "nvqlink", "pcie5_x16"]


@pytest.mark.parametrize("name", ll.targets.links())
def test_a_link_keeps_its_sources(name: str) -> None:
    chip = ll.targets.linked(MZI, name)
    assert chip.link.present
    assert chip.model_copy(update={"link": MZI.link, "provenance": MZI.provenance}) == MZI
    for field, value in chip.link.model_dump().items():
        item = chip.provenance.get(f"link.{field}")
        assert (item is None) == (value is None)
        assert item is None or (item.unit == units.unit_of(field) and "with_" not in item.source)
    assert ll.targets.parse_target(ll.targets.dump_target(chip)) == chip


def test_one_link_takes_the_place_of_another() -> None:
    chip = ll.targets.linked(ll.targets.linked(MZI, "ethernet_100g"), "nvqlink")
    assert chip == ll.targets.linked(MZI, "nvqlink")
    assert "link.j_per_byte" not in chip.provenance


def test_a_move_takes_latency_and_bytes_over_bandwidth() -> None:
    assert move_s(ll.targets.linked(MZI, "nvqlink"), 50_000) == pytest.approx(1.98e-6 + 1e-6)
    assert move_s(MZI, 50_000) == 0


def test_slower_links_make_longer_schedules() -> None:
    model, x = nn.Linear(16, 16), torch.zeros(1, 16)
    spans = [
        ll.compile(model, x, chip).schedule_for(1024).makespan_s
        for chip in (MZI, *(ll.targets.linked(MZI, name) for name in ("pcie5_x16", "ethernet_100g")))
    ]
    assert spans[0] < spans[1] < spans[2]


def test_an_unknown_link_names_the_close_ones() -> None:
    with pytest.raises(TargetError, match=r"unknown link; got 'pcie5'.*pcie5_x16"):
        ll.targets.linked(MZI, "pcie5")
