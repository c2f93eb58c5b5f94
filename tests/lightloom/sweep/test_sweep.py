"""Sweeps: points, the journal that survives a kill, results, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import lightloom as ll
from lightloom.cli import app
from lightloom.runtime.errors import InputError
from lightloom.runtime.pricing.area import area
from lightloom.runtime.targets.toml import write_target
from lightloom.sweep import evaluate, pareto, read_spec, run_sweep
from lightloom.sweep.evaluate import Result, compile_key
from lightloom.sweep.journal import Journal
from lightloom.sweep.points import Point, grid_points, random_points
from lightloom.sweep.results import rows, write_results
from lightloom.sweep.run import Finished, settings_of
from lightloom.sweep.spec import METRIC_NAMES, SweepSpec


def sweep_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(12, 20), torch.nn.ReLU(), torch.nn.Linear(20, 4)).eval()


def test_a_grid_takes_every_combination(folder: Path) -> None:
    spec = read_spec(folder / "spec.toml")
    points = grid_points(spec)
    assert len({point.key for point in points}) == len(points) == 12
    assert {point.fields["timing.window_s"] for point in points} == {1e-9, 1e-8}
    assert len({compile_key(spec, point) for point in points}) == 2  # only the width of the mesh decides about tiles


def test_repriced_points_equal_points_compiled_anew(folder: Path) -> None:
    spec = read_spec(folder / "spec.toml")
    model = sweep_model()
    for point in grid_points(spec)[::4]:
        program = ll.compile(model, torch.zeros(4, 12), ll.targets.get("mzi16").with_(dict(point.fields)))
        metrics = evaluate(spec, point).metrics
        assert metrics["latency_s"] == program.schedule.makespan_s
        assert metrics["energy_per_inference_j"] == program.energy.per_inference_j


def test_metrics_are_those_of_the_reports(folder: Path) -> None:
    spec = read_spec(folder / "spec.toml")
    point = grid_points(spec)[-1]
    program = ll.compile(sweep_model(), torch.zeros(4, 12), ll.targets.get("mzi16").with_(dict(point.fields)))
    schedule, priced, takes = program.schedule, program.energy, area(program.target)
    metrics = evaluate(spec, point).metrics
    assert set(METRIC_NAMES) - set(metrics) == {"accuracy"}
    assert metrics["tops"] == pytest.approx(2e-12 * 4 * (12 * 20 + 20 * 4) / schedule.makespan_s)
    assert metrics["tops_per_w"] == pytest.approx(metrics["tops"] / priced.average_power_w)
    assert metrics["edp_js"] == pytest.approx(priced.average_power_w * schedule.makespan_s**2)
    assert metrics["area_m2"] == takes.total_m2
    assert metrics["tops_per_mm2"] == pytest.approx(metrics["tops"] / takes.total_m2 * 1e-6)
    assert metrics["peak_power_w"] == takes.power_w > metrics["power_w"] * 0.01


def test_a_chip_without_footprints_has_no_area(folder: Path) -> None:
    text = (folder / "spec.toml").read_text().replace('"mesh.ports" = [8, 16]\n', "")
    text = text.replace("latency_s", "area_m2").replace('"mzi16"', '"bare.toml"')
    (folder / "spec.toml").write_text(text)
    chip = ll.targets.get("mzi16")
    chip = chip.with_({f"area.{name}": None for name in type(chip.area).model_fields})
    write_target(chip, folder / "bare.toml")
    result = CliRunner().invoke(app, ["sweep", "spec.toml"])
    assert result.exit_code == 0, result.output
    assert "6 without area_m2" in result.output
    assert not (folder / "spec.sweep" / "pareto.svg").exists()


def test_impossible_points_are_results_with_a_reason(folder: Path) -> None:
    text = (folder / "spec.toml").read_text()
    both = '"mesh.ports" = [4]\n"mesh.topology" = ["butterfly", "clements"]'
    (folder / "spec.toml").write_text(text.replace('"mesh.ports" = [8, 16]', both))
    spec = read_spec(folder / "spec.toml")
    found = run_sweep(spec, folder / "out")
    failed = [item for item in found if item.error]
    assert len(failed) == len(found) / 2
    assert all("CompileError" in item.error and "mesh_tolerance" in item.error for item in failed)
    header, table = rows(spec, found)
    assert header[-1] == "error"
    assert sum(bool(row[-1]) for row in table) == len(failed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sweep_net:net", "sweep_nat:net", "cannot be imported"),
        ("sweep_net:net", "net.loom", "net.loom"),
        ("4,12", "4,13", "13"),
        ("4,12", "4,x", "Not a shape"),
        ("[fields]", '[accuracy]\ninputs = "no.npy"\nlabels = "no.npy"\n[fields]', "no.npy"),
        ('"mzi16"', '"mzi61"', "mzi64"),
    ],
)
def test_what_is_wrong_with_all_points_ends_the_sweep(folder: Path, old: str, new: str, message: str) -> None:
    text = (folder / "spec.toml").read_text().replace(old, new)
    (folder / "spec.toml").write_text(text)
    with pytest.raises(ll.LightloomError, match=message):
        run_sweep(read_spec(folder / "spec.toml"), folder / "out")
    journal = folder / "out" / "journal.jsonl"
    assert not journal.exists() or len(journal.read_text().splitlines()) == 1


def test_each_point_is_on_disk_before_the_next_begins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read_spec(folder / "spec.toml")
    journal = folder / "out" / "journal.jsonl"
    lines: list[int] = []

    def counted(spec: SweepSpec, point: Point) -> Result:
        lines.append(len(journal.read_text().splitlines()))
        return evaluate(spec, point)

    monkeypatch.setattr("lightloom.sweep.workers.evaluate", counted)
    seen: list[tuple[int, int]] = []
    run_sweep(spec, folder / "out", progress=lambda done, total: seen.append((done, total)))
    assert lines == list(range(1, 13))
    assert seen == [(done, 12) for done in range(13)]


def test_a_folder_is_swept_by_one_process_at_a_time(folder: Path) -> None:
    pytest.importorskip("fcntl", reason="file locks are not portable")
    spec = read_spec(folder / "spec.toml")
    journal = Journal(folder / "out" / "journal.jsonl", settings_of(spec))
    with pytest.raises(InputError, match="another sweep is at work"):
        run_sweep(spec, folder / "out")
    journal.close()
    assert len(run_sweep(spec, folder / "out")) == 12


def test_random_points_are_reproducible_and_inside(folder: Path) -> None:
    (folder / "spec.toml").write_text('method = "random"\npoints = 30\nseed = 3\n' + (folder / "spec.toml").read_text())
    spec = read_spec(folder / "spec.toml")
    points = random_points(spec)
    assert [p.key for p in points] == [p.key for p in random_points(spec)]
    assert len(points) == 30
    assert all(1e-9 <= p.fields["timing.window_s"] <= 1e-8 for p in points)


def test_bayes_learns_from_the_journal(folder: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is in the sweep extra")
    (folder / "spec.toml").write_text('method = "bayes"\npoints = 6\n' + (folder / "spec.toml").read_text())
    spec = read_spec(folder / "spec.toml")
    first = run_sweep(spec, folder / "out")
    assert len({item.point.key for item in first}) == 6
    more = run_sweep(spec.model_copy(update={"points": 9}), folder / "out")
    assert {item.point.key for item in first} < {item.point.key for item in more}
    assert len(more) == 9


def test_accuracy_is_measured_on_the_chip(folder: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    labels = sweep_model()(torch.from_numpy(x)).argmax(1).numpy()
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


def test_a_front_in_three_dimensions(folder: Path) -> None:
    spec = read_spec(folder / "spec.toml").model_copy(update={"objectives": ("latency_s", "power_w", "tops")})
    rng = np.random.default_rng(2)
    values = rng.integers(0, 6, (80, 3)).astype(float)
    found = [
        Finished(Point({"mesh.cores": i}, {}), dict(zip(spec.objectives, row.tolist(), strict=True)), "")
        for i, row in enumerate(values)
    ]
    signed = values * [1, 1, -1]
    beaten = [any((v <= w).all() and (v < w).any() for v in signed) for w in signed]
    front = {tuple(values[i]) for i in pareto(spec, found)}
    assert front == {tuple(values[i]) for i in range(80) if not beaten[i]}


def test_points_beyond_limits_are_kept_and_stay_off_the_front(folder: Path) -> None:
    spec = read_spec(folder / "spec.toml")
    spec = spec.model_copy(update={"fields": {"mesh.cores": (0, 1, 2)}, "limits": {"latency_s": 2.5}})
    found = _finished((3, 1), (1, 3), (2, 2))
    assert pareto(spec, found) == [1, 2]
    header, table = rows(spec, found)
    assert [row[header.index("feasible")] for row in table] == [False, True, True]
    more = spec.model_copy(update={"limits": {"tops": 2.0}})
    metrics = [{**item.metrics, **({"tops": n} if n else {})} for n, item in enumerate(found)]
    found = [Finished(item.point, own, "") for item, own in zip(found, metrics, strict=True)]
    assert pareto(more, found) == [2]  # TOPS: at least so many; unknown is not enough
    write_results(spec, found, folder)
    assert (folder / "pareto.svg").exists()
    write_results(spec.model_copy(update={"limits": {"latency_s": 0.5}}), found, folder)
    assert not (folder / "pareto.svg").exists()


def test_limits_and_objectives_of_a_grid_may_change_later(folder: Path) -> None:
    text = (folder / "spec.toml").read_text()
    found = run_sweep(read_spec(folder / "spec.toml"), folder / "out")
    (folder / "spec.toml").write_text(text.replace("latency_s", "power_w") + "[limits]\nlatency_s = 1e-6\n")
    again = run_sweep(read_spec(folder / "spec.toml"), folder / "out", progress=_nothing_left)
    assert [item.metrics for item in again] == [item.metrics for item in found]


def _nothing_left(done: int, total: int) -> None:
    assert done == total


class TestOptions:
    PLANS = '[options]\ndataflow = ["weight", "auto"]\nobjective = ["latency", "edp"]\nfewer_moves = [false, true]\n'

    @pytest.fixture
    def compiles(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """Targets that a sweep compiled for."""
        seen: list[Any] = []
        real = ll.compile

        def counted(model: Any, example: Any, target: Any, **options: Any) -> ll.Program:
            seen.append(target)
            return real(model, example, target, **options)

        monkeypatch.setattr(ll, "compile", counted)
        return seen

    def test_plans_are_priced_without_compiling_and_equal_to_compiling(self, folder: Path, compiles: list[Any]) -> None:
        text = (folder / "spec.toml").read_text() + self.PLANS
        text = text.replace("[8, 16]", "[8]").replace("[fields]", '[fields]\n"mesh.writes" = ["changed"]')
        (folder / "spec.toml").write_text(text.replace("[1, 2, 4]", "[1, 2]"))
        spec = read_spec(folder / "spec.toml")
        found = run_sweep(spec, folder / "out")
        assert len(found) == 32
        assert len(compiles) == 1
        model = sweep_model()
        for item in found[::5]:
            chip = ll.targets.get("mzi16").with_(dict(item.point.fields))
            program = ll.compile(model, torch.zeros(4, 12), chip, **item.point.options)
            assert item.metrics["latency_s"] == program.schedule.makespan_s
            assert item.metrics["amortised_energy_j"] == program.energy.amortised_j

    def test_fields_that_an_override_sets_compile_anew(self, folder: Path, compiles: list[Any]) -> None:
        text = (folder / "spec.toml").read_text().replace("[8, 16]", "[8]")
        text = text.replace("[1, 2, 4]", '[1, 2]\n"encoding.dac_bits" = [4, 6]')
        text += '[options]\noverrides = [{"0" = {"encoding.dac_bits" = 8}}]\n'
        (folder / "spec.toml").write_text(text)
        found = run_sweep(read_spec(folder / "spec.toml"), folder / "out")
        assert len(found) == 8
        assert not any(item.error for item in found)
        assert len(compiles) == 2

    def test_a_loom_file_takes_plans(self, folder: Path, compiles: list[Any]) -> None:
        ll.compile(sweep_model(), torch.zeros(4, 12), "mzi16").save(folder / "net.loom")
        compiles.clear()
        text = (folder / "spec.toml").read_text().replace("sweep_net:net", "net.loom") + self.PLANS
        (folder / "spec.toml").write_text(text.replace('"mesh.ports" = [8, 16]\n', ""))
        found = run_sweep(read_spec(folder / "spec.toml"), folder / "out")
        assert len(found) == 48
        assert not any(item.error for item in found)
        assert not compiles


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
    ("old", "new", "message"),
    [
        ('"sweep_net:net"', "", "cannot be read"),
        ("mesh.ports", "mesh.prots", "mesh.ports"),
        ("latency_s", "speed", "no metric 'speed'"),
        ('"latency_s", ', '"latency_s", "latency_s", ', "each once"),
        ("low = 1e-9", "low = 1", "low must be below high"),
        ('"mesh.cores" = [1, 2, 4]', '"mesh.cores" = []', "no value to take"),
        ("[fields]", "colour = 3\n[fields]", "colour"),
        ("[fields]", "[limits]\nspeed = 3\n[fields]", "no metric 'speed'"),
        ("[fields]", "[limits]\naccuracy = 0.9\n[fields]", r"which \[accuracy\]"),
        ("[fields]", "[limits]\npower_w = nan\n[fields]", "finite number"),
        ("[fields]", "[options]\npace = [3]\n[fields]", "no compile option 'pace'"),
        ("[fields]", '[options]\ndataflow = ["sideways"]\n[fields]', "'sideways' is none of 'auto', 'weight'"),
        ("[fields]", "[options]\nfewer_moves = [1.5]\n[fields]", "1.5 is none of False, True"),
        ("[fields]", '[options]\noverrides = ["fc"]\n[fields]', "no table of tables"),
    ],
)
def test_impossible_sweeps_are_refused(folder: Path, old: str, new: str, message: str) -> None:
    text = (folder / "spec.toml").read_text()
    (folder / "bad.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_spec(folder / "bad.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('model = "a:b"\n', "nothing to explore"),
        ('model = "x.loom"\n[options]\nexclude = [[]]\ndataflow = ["auto"]\n', "leave exclude out"),
    ],
)
def test_sweeps_of_nothing_are_refused(folder: Path, text: str, message: str) -> None:
    (folder / "bad.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_spec(folder / "bad.toml")


def test_a_folder_of_another_sweep_is_refused(folder: Path) -> None:
    run_sweep(read_spec(folder / "spec.toml"), folder / "out")
    (folder / "other.toml").write_text((folder / "spec.toml").read_text().replace("4,12", "2,12"))
    with pytest.raises(InputError, match=r"another sweep.*input_shape"):
        run_sweep(read_spec(folder / "other.toml"), folder / "out")
    (folder / "out" / "journal.jsonl").write_text("{not json}\n")
    with pytest.raises(InputError, match="line 1"):
        run_sweep(read_spec(folder / "spec.toml"), folder / "out")


def test_an_interrupt_says_how_to_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lightloom.sweep.run_sweep", interrupted)
    result = CliRunner().invoke(app, ["sweep", "spec.toml"])
    assert result.exit_code == 130
    assert "the same command goes on" in " ".join(result.stderr.split())
