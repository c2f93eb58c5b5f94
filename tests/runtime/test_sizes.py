"""Symbolic sizes: evaluated without running anything, bound once, checked against ranges."""

from __future__ import annotations

import pytest

from lightloom.runtime.errors import InputError
from lightloom.runtime.sizes import Sizes, evaluate


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2*s0 + 1", 11),
        ("(s0 + n)//2", 6),
        ("-s0 + n", 2),
        ("Mod(n, s0)", 2),
        ("FloorDiv(n, 2)", 3),
        ("m", None),
        ("s0//0", None),
        ("__import__('os').getpid()", None),
        ("s0**99999999", None),
        ("True", None),
        ("s0 +", None),
        ("(" * 400 + ")" * 400, None),
        ("1+" * 2000 + "1", None),
    ],
)
def test_expressions(text: str, value: int | None) -> None:
    assert evaluate(text, {"s0": 5, "n": 7}) == value


def test_a_symbol_has_one_size_within_its_range() -> None:
    sizes = Sizes({"n": (3, 8), "m": (2, None)})
    sizes.bind(("s0", "n", 4), (0, 8, 4), "input 'x'")
    with pytest.raises(InputError, match=r"inputs disagree on a size .*n = 7; allowed: n = 8, as in input 'x'"):
        sizes.bind(("n",), (7,), "input 'y'")
    with pytest.raises(InputError, match="n = 9; allowed: n from 3 to 8"):
        Sizes({"n": (3, 8)}).bind(("n",), (9,), "input 'y'")
    with pytest.raises(InputError, match="m = 1; allowed: m of 2 or more"):
        sizes.bind(("m",), (1,), "input 'y'")


def test_derived_sizes_follow_from_the_symbols() -> None:
    sizes = Sizes({})
    sizes.bind(("s0", "2*s0 + 1"), (3, 7), "input 'x'")
    sizes.check()
    sizes.bind(("s0 - 1",), (3,), "input 'y'")
    with pytest.raises(InputError, match=r"input 'y'.*got 3; allowed: s0 - 1 = 2"):
        sizes.check()


@pytest.mark.parametrize(("size", "fits"), [(8, True), (9, False), (6, True)])
def test_multiples_of_a_symbol_that_no_input_has(size: int, fits: bool) -> None:
    sizes = Sizes({})
    sizes.bind(("2*s0",), (size,), "input 'x'")
    if fits:
        sizes.check()
    else:
        with pytest.raises(InputError, match="a size of the form 2"):
            sizes.check()
