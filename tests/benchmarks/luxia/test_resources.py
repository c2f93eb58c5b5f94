"""The measured process answers, and the table goes on where it stopped."""

import json
import sys
from typing import ClassVar

import pytest
import resources
from worker import SAMPLES, Worker


@pytest.mark.parametrize("engine", ["cpu", pytest.param("torch", marks=pytest.mark.slow)])
def test_a_worker_trains_and_counts_its_memory(engine):
    with Worker(64, 512, engine, layers=3, keep_memory=engine == "torch") as worker:
        whole = worker.ask("epoch")
        part = worker.ask("epoch", batches=1)
        found = worker.ask("memory")
    assert whole["share"] == 1.0
    assert part["share"] == 512 / SAMPLES[0]
    assert min(whole["seconds"], part["seconds"]) > 0
    assert 0 <= whole["system_seconds"] < 2 * whole["seconds"] + 1
    # two meshes of windows of 32, 31 and 32 cells, two phases a cell and a screen
    phases = 2 * (2 * (32 + 31 + 32) + 64)
    assert found["state_mb"] == pytest.approx(3 * 4 * phases / 1e6)
    assert found["peak_mb"] >= 0


def test_a_worker_that_ended_is_noticed():
    with Worker(8, 64) as worker:
        worker.process.kill()
        with pytest.raises(RuntimeError, match="ended with -9"):
            worker.ask("epoch")


class Fake:
    """A worker that answers at once: ours takes 1 s an epoch, the reference 1 s a mini-batch."""

    asked: ClassVar[list] = []

    def __init__(self, ports, batch, engine="cpu", layers=None, keep_memory=False):
        self.engine, self.batch = engine, batch
        assert keep_memory == (engine == "torch")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def ask(self, what, batches=None):
        self.asked.append((self.engine, what, batches))
        share = 1.0 if batches is None else min(1.0, batches * self.batch / 1257)
        return {
            "epoch": {
                "seconds": 1.0 if self.engine == "cpu" else 10.0 * share,
                "share": share,
                "system_seconds": share,
            },
            "memory": {"peak_mb": 100.0 if self.engine == "cpu" else 10_000.0, "state_mb": 60.0},
            "speed": {"forward_gflops": 40.0, "backward_gflops": 30.0, "sgemm_gflops": 80.0},
        }[what]


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(resources, "Worker", Fake)
    monkeypatch.setattr(Fake, "asked", [])


@pytest.mark.parametrize("batches", [None, 1])
def test_the_reference_is_measured_in_turns_and_scaled(fake, batches):
    line = resources.measure(800, 512, True, 2, batches)
    assert (line["epoch_s"], line["memory_mb"], line["reference_mb"], line["of_sgemm"]) == (1.0, 100.0, 10_000.0, 0.5)
    assert line["ratio"] == pytest.approx(10.0)
    assert line["reference_system_s"] == pytest.approx(1.0)
    assert line["reference_share"] == (1.0 if batches is None else 512 / 1257)
    epochs = [engine for engine, what, _ in Fake.asked if what == "epoch"]
    # one of each to begin with, which does not count
    assert epochs == ["cpu", "torch", "cpu", "torch", "cpu", "torch"]


def test_without_reference(fake):
    line = resources.measure(800, 512, False, 1)
    assert "ratio" not in line
    assert {engine for engine, *_ in Fake.asked} == {"cpu"}


def test_kept_memory_is_told_from_what_a_tape_would_keep(fake):
    found = resources.memory(800, 512, layers=100)
    assert found["fields_mb"] == pytest.approx(800 * 512 * 8 / 1e6)
    assert found["kept_windows_mb"] == pytest.approx(200 * found["fields_mb"])


def test_what_was_measured_is_not_measured_again(fake, monkeypatch, tmp_path, capsys):
    path = tmp_path / "found.json"

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["resources.py", "--results", str(path), "--repeats", "1", *arguments])
        Fake.asked.clear()
        resources.main()
        return len(Fake.asked)

    assert run("--cases", "100x64,800x64", "--reference", "0", "--note", "shared") > 0
    assert run("--cases", "800x64,100x64", "--reference", "0") == 0
    # a case without a reference is measured anew for one
    assert run("--cases", "800x64,100x64", "--reference", "100") > 0
    found = json.loads(path.read_text())
    assert "ratio" in found["epoch"]["100x64"]
    assert "ratio" not in found["epoch"]["800x64"]
    assert [found["epoch"][name]["note"] for name in ("100x64", "800x64")] == ["", "shared"]
    assert run("--cases", "none", "--memory") > 0
    assert len(json.loads(path.read_text())["memory"]) == len(resources.MEMORY_CASES)
    assert run("--cases", "none", "--memory") == 0


def test_all_cases_are_the_paper_s():
    assert len(resources.PAPER_CASES) == 24
    assert {"100x128", "800x64", "800x512", "900x128"} <= {*resources.PAPER_CASES}
