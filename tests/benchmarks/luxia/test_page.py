"""Tables from results, and the page they are written into."""

from pathlib import Path

import figures
import page
import pytest
import tables

DOCS = Path(__file__).resolve().parents[3] / "docs"


def final(test, epochs=2, **setting):
    setting = {"learning_rate": 0.03, "batch": 16, "input_gain": 2.0, "encoding": "max", **setting}
    history = {"loss": [1.0, 0.5], "validation_loss": [1.0, 0.5], "validation_accuracy": [0.5, 1.0], "seconds": [1, 1]}
    return {"test": test, "loss": 0.25, "validation": 90.0, "setting": setting, "history": history}


RECORDS = {
    "choose/iris/clements/2/seed=0/x": {"validation": 1.0, "validation_loss": 2.0, "loss": 3.0},
    "final/iris/clements/2/seed=0": final(94.0),
    "final/iris/clements/2/seed=1": final(96.0, input_gain=1.0),
    "final/iris/fldzhyan/2/seed=0": final(97.0),
    "final/digits/clements/2/seed=0": final(94.06),
}


def test_accuracy_table_has_mean_and_spread_beside_the_paper_s():
    lines = tables.accuracy_table(RECORDS).splitlines()
    assert lines[2:] == [
        "| iris | clements | 2 | 2 | 0.2500 | 90.00 | 95.00 (below) | 1.41 | 95.33 |",
        "| iris | fldzhyan | 2 | 1 | 0.2500 | 90.00 | 97.00 | 0.00 | 96.66 |",
        "| digits | clements | 2 | 1 | 0.2500 | 90.00 | 94.06 | 0.00 | 94.06 |",
    ]


def test_choices_are_counted():
    assert "| iris | clements | max, 0.03, 2 (1); max, 0.03, 1 (1) |" in tables.choices_table(RECORDS)


EPOCH = {"N": 800, "batch": 512, "epoch_s": 1.234, "memory_mb": 130.4, "forward_gflops": 50.0}
PEAK = {"ports": 100, "batch": 128, "peak_mb": 10.0, "state_mb": 0.25, "fields_mb": 0.1024, "kept_windows_mb": 20.48}
EPOCH |= {"backward_gflops": 40.0, "sgemm_gflops": 110.0}
FOUND = {
    "machine": {"threads": 2},
    "epoch": {
        "800x512": {**EPOCH, "note": "", "reference_s": 20.0, "ratio": 16.2, "reference_mb": 12600.0}
        | {"reference_share": 512 / 1257, "reference_system_s": 7.5},
        "100x64": {**EPOCH, "N": 100, "batch": 64, "note": "shared"},
    },
    "memory": {
        "800x64x400": {**PEAK, "ports": 800, "batch": 64, "layers": 400, "note": "shared"},
        "100x128": {**PEAK, "note": ""},
    },
}


def test_resource_table_is_in_order_and_says_what_was_scaled():
    lines = tables.resource_table(FOUND).splitlines()
    assert lines[2] == "| 100 | 64 | 1.23 | 130 |  |  |  | 50 | 40 | 110 |  |  |"
    remark = "from 41 % of it, 7.5 of it the system's"
    assert lines[3] == f"| 800 | 512 | 1.23 | 130 | 20 ({remark}) | 16.2 | 12,600 | 50 | 40 | 110 | 30.9 | 16 |"


def test_memory_table_splits_the_peak():
    lines = tables.memory_table(FOUND).splitlines()
    assert lines[2] == "| 100 | 128 | 100 | 10 | 0.25 | 9.75 | 0.102 | 20.5 |"
    assert lines[3].startswith("| 800 | 64 | 400 |")


def test_notes_say_what_the_machine_did():
    assert tables.notes(FOUND) == "- Machine: threads 2.\n- shared (2 lines)"


def test_insitu_table():
    records = {"exact/3/seed=0": {"test": 97.0}, "exact/3/seed=1": {"test": 95.0}, "in situ/3/seed=0": {"test": 94.5}}
    assert tables.insitu_table(records).splitlines()[2:] == [
        "| exact, 3 epochs | 97.00 | 95.00 | 96.00 | 1.41 |",
        "| in situ, 3 epochs | 94.50 |  | 94.50 |  |",
    ]


def test_only_what_stands_between_markers_is_written():
    text = "before\n<!-- begin one -->\nold\n<!-- end one -->\nafter\n<!-- begin two -->\n<!-- end two -->\n"
    once = page.render(text, {"one": r"new \1", "two": "2"})
    assert once == (
        "before\n<!-- begin one -->\nnew \\1\n<!-- end one -->\nafter\n<!-- begin two -->\n2\n<!-- end two -->\n"
    )
    assert page.render(once, {"one": r"new \1", "two": "2"}) == once
    with pytest.raises(ValueError, match="'three' 0 times"):
        page.render(text, {"three": ""})
    with pytest.raises(ValueError, match="'one' 2 times"):
        page.render(text + text, {"one": ""})


def test_the_committed_page_is_what_the_committed_results_give():
    text = (DOCS / "luxia.md").read_text(encoding="utf-8")
    parts = page.texts(DOCS / "luxia")
    assert parts.keys() == page.SOURCES.keys()
    assert page.render(text, parts) == text


def test_figures_have_a_line_for_every_mesh_and_depth(tmp_path):
    losses, _ = figures.curves(RECORDS, "iris").axes
    assert [line.get_label() for line in losses.lines] == ["clements", "fldzhyan"]
    figure = figures.memory(FOUND)
    assert [line.get_label() for line in figure.axes[1].lines] == ["depth 400"]
    for name in ("a.png", "b.png"):
        figures.save(figures.memory(FOUND), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
