"""The page of ATen ops says what the lists and the rules hold, and every op is decided."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightloom.compiler.frontend import host_table
from lightloom.compiler.passes.costs import MAC_OPS
from lightloom.compiler.refusals import UNDECIDED

PAGE = Path(__file__).parents[3] / "docs" / "host-ops.md"


def test_the_page_is_the_generated_one() -> None:
    written = PAGE.read_text(encoding="utf-8")
    if f"torch {torch.__version__.partition('+')[0]}; do not" not in written:
        pytest.skip("the page was made with another torch")
    assert written == host_table.page(), "run python -m lightloom.compiler.frontend.host_table > docs/host-ops.md"


def test_every_op_is_decided() -> None:
    rows = host_table.rows()
    assert [row.op for row in rows if row.how == "refused" and row.note == UNDECIDED] == []
    assert len(rows) == len({row.op for row in rows})
    refused = {row.op for row in rows if row.core and row.how == "refused"}
    known = ("backward", "rand", "sym_", "dropout", "resize_.default", "_native_batch_norm_legit.default")
    assert [op for op in refused if not any(word in op for word in known)] == [], (
        "of the core set: training, chance and memory"
    )


def test_what_reaches_the_chip_multiplies_and_accumulates() -> None:
    named = {op.partition(".")[2].partition(".")[0] for op in MAC_OPS if op.startswith("aten.")}
    assert named - {"scaled_dot_product_attention"} == host_table.CHIP
