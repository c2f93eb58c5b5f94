"""What a shell shows of things is a line that says what they are; printing them tells the rest."""

from __future__ import annotations

import re

import pytest
import torch

import lightloom as ll
from lightloom.models import DigitsCNN


@pytest.fixture(scope="module")
def program() -> ll.Program:
    return ll.compile(DigitsCNN().eval(), torch.zeros(4, 1, 8, 8), target="mzi16")


def test_each_is_one_line(program: ll.Program) -> None:
    shown = {
        "program": (program, r"Program\('DigitsCNN' on 'mzi16': 4 matrices, \d+ tiles\)"),
        "body": (program.body, r"ProgramBody\('DigitsCNN' on 'mzi16': \d+ steps, 4 banks, \d+ constants\)"),
        "schedule": (program.schedule, r"Schedule\(\d+ events, batch of 4, [\d.]+ [num]s\)"),
        "energy": (program.energy, r"EnergyReport\(batch of 4, [\d.]+ [num]J in [\d.]+ [num]s\)"),
        "explanation": (program.explain(), r"Explanation\('DigitsCNN' on 'mzi16': 100\.0% of .*MACs per sample .*\)"),
        "area": (program.area, r"AreaReport\(\d+ parts, [\d.]+ mm²\)"),
    }
    for name, (held, form) in shown.items():
        text = repr(held)
        assert re.fullmatch(form, text), f"{name}: {text}"
        assert len(text) < 120
        assert name == "program" or name == "body" or len(str(held)) > len(text)


def test_the_front_door_offers_what_it_exports() -> None:
    assert dir(ll) == sorted(ll.__all__)
    assert {"compile", "load", "Program", "Target", "targets", "devices", "frontend", "InputError"} <= set(dir(ll))
    assert all(hasattr(ll, name) for name in dir(ll))


def test_one_is_not_many() -> None:
    assert repr(ll.compile(torch.nn.Linear(4, 3), torch.zeros(1, 4))).endswith("1 matrix, 1 tile)")
