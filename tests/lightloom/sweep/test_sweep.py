"""Sweeps: points, the journal that survives a kill, results, and what is refused."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import lightloom as ll
from lightloom.cli import app
from lightloom.runtime.errors import InputError
from lightloom.sweep import evaluate, pareto, read_spec, run_sweep
from lightloom.sweep.evaluate import compile_key
from lightloom.sweep.points import Point, grid_points, random_points
from lightloom.sweep.results import rows, write_results
from lightloom.sweep.run import Finished

MODEL = """
import torch
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(12, 20), torch.nn.ReLU(), torch.nn.Linear(20, 4)).eval()
"""
SPEC = """
model = "sweep_net:net"
target = "mzi16"
input_shape = ["4,12"]
objectives = ["latency_s", "energy_per_inference_j"]
[fields]
"mesh.ports" = [8, 16]
"mesh.cores" = [1, 2, 4]
"timing.window_s" = {low = 1e-9, high = 1e-8, log = true, steps = 2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sweep_net.py").write_text(MODEL)
    (tmp_path / "spec.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_grid_takes_every_combination(folder: Path) -> None:
    spec = read_spec(folder / "spec.toml")
    points = grid_points(spec)
    assert len({point.key for point in points}) == len(points) == 12
    assert {point.fields["timing.window_s"] for point in points} == {1e-9, 1e-8}
    assert len({compile_key(spec, point) for point in points}) == 2  # only the width of the mesh decides about tiles


def test_repriced_points_equal_points_compiled_anew(folder: Path) -> None:
    spec = read_spec(folder / "spec.toml")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(12, 20), torch.nn.ReLU(), torch.nn.Linear(20, 4)).eval()
    for point in grid_points(spec)[::4]:
        program = ll.compile(model, torch.zeros(4, 12), ll.targets.get("mzi16").with_(dict(point.fields)))
        metrics = evaluate(spec, point).metrics
        assert metrics["latency_s"] == program.schedule.makespan_s
        assert metrics["energy_per_inference_j"] == program.energy.per_inference_j


def test_impossible_points_are_results_with_a_reason(folder: Path) -> None:
    (folder / "spec.toml").write_text(
        SPEC.replace('"mesh.ports" = [8, 16]', '"mesh.ports" = [4]\n"mesh.topology" = ["butterfly", "clements"]')
    )
    spec = read_spec(folder / "spec.toml")
    found = run_sweep(spec, folder / "out")
    failed = [item for item in found if item.error]
    assert len(failed) == len(found) / 2
    assert all("CompileError" in item.error and "mesh_tolerance" in item.error for item in failed)
    header, table = rows(spec, found)
    assert header[-1] == "error"
    assert sum(bool(row[-1]) for row in table) == len(failed)


def test_a_killed_sweep_goes_on_without_losing_or_repeating_a_point(folder: Path) -> None:
    spec_file = folder / "spec.toml"
    spec_file.write_text(SPEC.replace("[1, 2, 4]", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]"))
    journal = folder / "spec.sweep" / "journal.jsonl"
    command = [sys.executable, "-P", "-m", "lightloom.cli", "sweep", str(spec_file)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(1200):
        if journal.exists() and len(journal.read_text().splitlines()) > 5:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = journal.read_text()
    whole = before.rpartition("\n")[0].splitlines()
    assert len(whole) > 5
    with journal.open("a") as file:
        file.write('{"point": "torn')
    found = run_sweep(read_spec(spec_file), folder / "spec.sweep")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert journal.read_text().startswith("\n".join(whole))
    names = [line["point"] for line in lines[1:]]
    assert len(names) == len(set(names)) == len(found) == 48
    assert {item.point.key for item in found} == set(names)


def test_processes_and_one_process_agree(folder: Path) -> None:
    spec = read_spec(folder / "spec.toml")
    seen: list[tuple[int, int]] = []
    alone = run_sweep(spec, folder / "a", progress=lambda done, total: seen.append((done, total)))
    many = run_sweep(spec, folder / "b", jobs=2)
    assert [item.metrics for item in alone] == [item.metrics for item in many]
    assert seen[0] == (0, 12)
    assert seen[-1] == (12, 12)


def test_random_points_are_reproducible_and_inside(folder: Path) -> None:
    (folder / "spec.toml").write_text('method = "random"\npoints = 30\nseed = 3\n' + SPEC)
    spec = read_spec(folder / "spec.toml")
    points = random_points(spec)
    assert [p.key for p in points] == [p.key for p in random_points(spec)]
    assert len(points) == 30
    assert all(1e-9 <= p.fields["timing.window_s"] <= 1e-8 for p in points)


def test_bayes_learns_from_the_journal(folder: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is in the sweep extra")
    (folder / "spec.toml").write_text('method = "bayes"\npoints = 6\n' + SPEC)
    spec = read_spec(folder / "spec.toml")
    first = run_sweep(spec, folder / "out")
    assert len({item.point.key for item in first}) == 6
    more = run_sweep(spec.model_copy(update={"points": 9}), folder / "out")
    assert {item.point.key for item in first} < {item.point.key for item in more}
    assert len(more) == 9


def test_accuracy_is_measured_on_the_chip(folder: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    sys.path.insert(0, str(folder))
    import sweep_net

    labels = sweep_net.net()(torch.from_numpy(x)).argmax(1).numpy()
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", labels)
    text = 'model = "sweep_net:net"\ntarget = "mzi16"\ninput_shape = ["4,12"]\nobjectives = ["accuracy"]\n'
    text += '[fields]\n"encoding.dac_bits" = [1, 8]\n[accuracy]\ninputs = "x.npy"\nlabels = "y.npy"\n'
    (folder / "acc.toml").write_text(text)
    spec = read_spec(folder / "acc.toml")
    coarse, fine = run_sweep(spec, folder / "out")
    assert coarse.metrics["accuracy"] < fine.metrics["accuracy"] >= 0.8
    assert pareto(spec, [coarse, fine]) == [1]


def _finished(*values: tuple[float, float]) -> list[Finished]:
    return [
        Finished(Point({"mesh.cores": i}, {}), {"latency_s": a, "energy_per_inference_j": b}, "")
        for i, (a, b) in enumerate(values)
    ]


def test_the_front_holds_what_nothing_beats(folder: Path) -> None:
    spec = read_spec(folder / "spec.toml")
    found = _finished((3, 1), (1, 3), (2, 2), (2, 3), (3, 3), (1, 3))
    assert pareto(spec, found) == [1, 2, 0]
    rng = np.random.default_rng(1)
    many = _finished(*map(tuple, rng.random((60, 2)).round(1)))
    values = np.array([list(item.metrics.values()) for item in many])
    beaten = [any((v <= values[i]).all() and (v < values[i]).any() for v in values) for i in range(60)]
    front = {tuple(values[i]) for i in pareto(spec, many)}
    assert front == {tuple(values[i]) for i in range(60) if not beaten[i]}


def test_results_are_files_to_work_with(folder: Path) -> None:
    spec = read_spec(folder / "spec.toml")
    found = run_sweep(spec, folder / "out")
    files = write_results(spec, found, folder / "out")
    assert [path.name for path in files] == ["results.csv", "pareto.svg", "pareto.png"]
    table = list(csv.DictReader((folder / "out" / "results.csv").open()))
    assert len(table) == 12
    assert [float(row["latency_s"]) for row in table] == [item.metrics["latency_s"] for item in found]
    assert {row["pareto"] for row in table} == {"True", "False"}
    pytest.importorskip("pyarrow", reason="pyarrow is in the sweep extra")
    from pyarrow import parquet

    write_results(spec, found, folder / "out", parquet=True)
    assert parquet.read_table(folder / "out" / "results.parquet").num_rows == 12


def test_the_command_prints_the_front_and_goes_on(folder: Path) -> None:
    first = CliRunner().invoke(app, ["sweep", "spec.toml", "--json"])
    assert first.exit_code == 0, first.output
    again = CliRunner().invoke(app, ["sweep", "spec.toml"])
    assert again.exit_code == 0
    assert "12 points" in again.output
    assert "latency_s" in again.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = ", "cannot be read"),
        (SPEC.replace("mesh.ports", "mesh.prots"), "mesh.ports"),
        (SPEC.replace("latency_s", "speed"), "no metric 'speed'"),
        (SPEC.replace("low = 1e-9", "low = 1"), "low must be below high"),
        (SPEC.replace('"mesh.cores" = [1, 2, 4]', '"mesh.cores" = []'), "no value to take"),
        ('model = "a:b"\n', "nothing to explore"),
        ("colour = 3\n" + SPEC, "colour"),
        ('model = "x.loom"\n[options]\nexclude = [[]]\n', "compiled already"),
    ],
)
def test_impossible_sweeps_are_refused(folder: Path, text: str, message: str) -> None:
    (folder / "bad.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_spec(folder / "bad.toml")


def test_a_folder_of_another_sweep_is_refused(folder: Path) -> None:
    run_sweep(read_spec(folder / "spec.toml"), folder / "out")
    (folder / "other.toml").write_text(SPEC.replace("4,12", "2,12"))
    with pytest.raises(InputError, match=r"another sweep.*input_shape"):
        run_sweep(read_spec(folder / "other.toml"), folder / "out")
    (folder / "out" / "journal.jsonl").write_text("{not json}\n")
    with pytest.raises(InputError, match="line 1"):
        run_sweep(read_spec(folder / "spec.toml"), folder / "out")


def test_dask_runs_the_points(folder: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="distributed is in the sweep extra")
    spec: Any = read_spec(folder / "spec.toml")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        found = run_sweep(spec, folder / "dask", dask=cluster.scheduler_address)
    assert [item.metrics for item in found] == [item.metrics for item in run_sweep(spec, folder / "plain")]
