"""The page of supported operators says what the operator table holds."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from lightloom.compiler.frontend.onnx import table
from lightloom.compiler.frontend.onnx.registry import entries, lookup

PAGE = Path(__file__).parents[4] / "docs" / "onnx-operators.md"


def test_the_page_is_the_generated_one() -> None:
    written = PAGE.read_text(encoding="utf-8")
    if f"onnx {onnx.__version__}\n" not in written:
        pytest.skip("the page was made with another onnx package")
    assert written == table.page(), "run python -m lightloom.compiler.frontend.onnx.table > docs/onnx-operators.md"


def test_every_operator_of_the_default_domain_is_read() -> None:
    refused = [row.name for row in table.rows() if row.domain == "" and row.how == "refused"]
    assert refused == []


def test_lookup_takes_the_newest_version_not_above_the_opset() -> None:
    assert lookup("", "Reshape", 4) != lookup("", "Reshape", 5) == lookup("", "Reshape", 25)
    assert lookup("", "LayerNormalization", 17) is not None
    assert lookup("", "NoSuchOperator", 17) is None


def test_entries_hold_for_versions_that_onnx_has() -> None:
    versions: dict[tuple[str, str], int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        key = (schema.domain, schema.name)
        versions[key] = max(versions.get(key, 0), schema.since_version)
    late = [e for e in entries() if (e.domain, e.name) in versions and e.since > versions[e.domain, e.name]]
    assert late == []
