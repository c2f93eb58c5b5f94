"""Tables and quantities as text and data."""

import json

import pytest

from lightloom.runtime.report.tables import Column, Table, aligned, percent, si


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (2e-9, "2 ns"),
        (1.23456e-6, "1.235 us"),
        (999.99e-6, "1 ms"),
        (-3e-3, "-3 ms"),
        (1, "1 s"),
        (12346, "12.35 ks"),
        (4e12, "4 Ts"),
        (float("inf"), "inf s"),
        (1e-22, "0.1 zs"),
    ],
)
def test_si_prefixes(value, text):
    assert si(value, "s") == text


def test_percent_of_nothing_is_a_dash():
    assert percent(1, 0) == "-"
    assert percent(1, 8) == "12.5 %"


def test_columns_line_up():
    text = aligned(["name", "value"], [["a", "1"], ["long name", "100"]])
    assert text.splitlines() == ["name       value", "---------  -----", "a              1", "long name    100"]


def test_a_table_reads_as_text_dict_json_and_csv():
    columns = (Column("step", "layer"), Column("seconds", "time", lambda s: si(s, "s")))
    table = Table(columns, (("a, b", 1e-9), ("c", 0.1)), notes={"batch": 3})
    assert len(table) == 2
    assert str(table).splitlines()[2] == "a, b     1 ns"
    assert table.to_dict() == {"batch": 3, "step": ["a, b", "c"], "seconds": [1e-9, 0.1]}
    assert json.loads(table.to_json()) == table.to_dict()
    assert table.to_csv() == 'step,seconds\n"a, b",1e-09\nc,0.1\n'


def test_an_empty_table_has_its_heading():
    table = Table((Column("a", "a"),), ())
    assert str(table).splitlines() == ["a", "-"]
    assert table.to_csv() == "a\n"
