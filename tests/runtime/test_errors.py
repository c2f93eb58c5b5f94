"""How complaints are written."""

from __future__ import annotations

import pytest

from lightloom.runtime.errors import complaint


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "no such thing."),
        (
            {"where": "fc", "got": 3, "allowed": "1 or 2", "next_step": "take one"},
            "no such thing (at fc); got 3; allowed: 1 or 2. Take one.",
        ),
        (
            {"got": "RuntimeError: it broke.", "next_step": "mend it."},
            "no such thing; got RuntimeError: it broke. Mend it.",
        ),
        ({"got": "\n  - one\n  - two\n"}, "no such thing; got \n  - one\n  - two."),
        ({"got": "is it?", "next_step": "look"}, "no such thing; got is it? Look."),
        ({"got": "1, 2, ..."}, "no such thing; got 1, 2, ..."),
        ({"got": "1, 2, ...", "next_step": "look"}, "no such thing; got 1, 2, ... Look."),
        ({"next_step": "did you mean fc?"}, "no such thing. Did you mean fc?"),
        ({"next_step": "pip install jinja2"}, "no such thing. pip install jinja2."),
        ({"next_step": "print(program.explain()) lists them"}, "no such thing. print(program.explain()) lists them."),
        ({"next_step": "model.eval() helps"}, "no such thing. model.eval() helps."),
        ({"next_step": "dac_bits must be given"}, "no such thing. dac_bits must be given."),
        ({"next_step": "x=1 helps"}, "no such thing. x=1 helps."),
        ({"next_step": "--jobs 1 helps"}, "no such thing. --jobs 1 helps."),
        ({"next_step": "re-export the model with x=1"}, "no such thing. Re-export the model with x=1."),
    ],
)
def test_code_keeps_its_letters_and_sentences_end_once(parts, text):
    assert complaint("no such thing", **parts) == text


def test_a_stop_in_the_middle_of_a_complaint_goes():
    assert complaint("it failed.", where="fc.", got="a.", allowed="b.") == "it failed (at fc); got a; allowed: b."
