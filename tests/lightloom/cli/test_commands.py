"""The command line: every command, its JSON, its exit codes."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import lightloom as ll
from lightloom.cli import app
from lightloom.cli.compile import compile_command
from lightloom.cli.options import CompileOptions
from lightloom.models import MLP
from lightloom.modelspec import parse_tolerance
from lightloom.runtime.scheduling.plan import Plan

TOY = """
import torch
from torch import nn

class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.norm = nn.BatchNorm1d(5)
        self.last = nn.Linear(5, 3)

    def forward(self, x):
        y = self.norm(self.first(x)).relu()
        return {"logits": self.last(y), "hidden": (y, None)}

class Odd(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

def ready():
    torch.manual_seed(0)
    return Toy(), (torch.zeros(2, 6),)

def broken():
    raise RuntimeError("no weights today")

class Products(nn.Module):
    # of computed values, after a convolution of groups
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv1d(4, 4, 1, groups=4)

    def forward(self, x):
        y = self.first(x)
        return y @ y.transpose(1, 2)

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Linear(6, 5), nn.Linear(6, 5)

    def forward(self, a, b):
        return self.one(a) - self.two(b)

def pair():
    return Pair(), (torch.zeros(2, 6), torch.zeros(2, 6))

def double():
    return Toy().double()

instance = Toy()
number = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy_models.py").write_text(TOY)
    yield tmp_path
    sys.modules.pop("toy_models", None)


@pytest.fixture
def loom(folder: Path) -> str:
    torch.manual_seed(0)
    ll.compile(MLP((6, 5, 3)).eval(), torch.zeros(2, 6), "mzi16").save(folder / "m.loom")
    return "m.loom"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def answer(*arguments: str, code: int = 0) -> Any:
    """Standard output as JSON; nothing else may be on it."""
    result = call(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def failed(*arguments: str, code: int) -> str:
    result = call(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.replace("│", " ").split())


class TestCompile:
    def test_writes_a_program(self, folder):
        facts = answer("compile", "toy_models:ready", "-o", "toy.loom", "--target", "mzi16")
        assert facts["bytes"] == (folder / "toy.loom").stat().st_size
        assert facts["tiles"] == 2
        assert facts["target"] == "mzi16"
        program = ll.load("toy.loom")
        assert program.run(torch.ones(3, 6))["logits"].shape == (3, 3)

    @pytest.mark.parametrize("name", ["Toy", "instance"])
    def test_takes_classes_and_modules_in_eval_mode(self, name):
        facts = answer("compile", f"toy_models:{name}", "-o", "toy.loom", "-t", "mzi16", "--input-shape", "1,6")
        assert facts["tiles"] == 2

    def test_takes_example_files_and_options(self):
        np.save("x.npy", np.zeros((1, 6), np.float32))
        program = ("compile", "toy_models:Toy", "-o", "toy.loom", "-t", "mzi16", "--example", "x.npy")
        assert answer(*program, "--exclude", "last")["tiles"] == 1
        answer(*program, "--override", "first:encoding.dac_bits=5", "--override", "last:detection.adc_bits=none")
        targets = ll.load("toy.loom").body.layer_targets
        assert {target.encoding.dac_bits for target in targets.values()} >= {5}
        assert None in {target.detection.adc_bits for target in targets.values()}

    def test_keeps_the_plan(self):
        program = ("compile", "toy_models:ready", "-o", "toy.loom", "-t", "mzi16")
        answer(*program, "--dataflow", "weight", "--objective", "edp")
        assert ll.load("toy.loom").body.plan == Plan("weight", "edp")
        answer(*program)
        assert ll.load("toy.loom").body.plan == Plan()

    def test_every_option_of_compile_is_one_of_the_command_line(self):
        elsewhere = {"model", "example_inputs", "progress"}
        spelled = {"overrides": "override", "dynamic_shapes": "dynamic_shape"}
        of_python = {name: p.default for name, p in signature(ll.compile).parameters.items() if name not in elsewhere}
        of_shell = {name: p.default for name, p in signature(compile_command).parameters.items()}
        assert {spelled.get(name, name) for name in of_python} <= set(of_shell)
        ours = CompileOptions()
        for name in of_python.keys() & {field.name for field in fields(ours)} - {"target"}:
            default = of_python[name] or None
            given = parse_tolerance(ours.mesh_tolerance) if name == "mesh_tolerance" else getattr(ours, name)
            assert (given or None) == default, name
        assert set(signature(ll.lower).parameters) >= set(of_python) - {"calibration", "dataflow", "objective"}

    @pytest.mark.parametrize(
        ("options", "same"),
        [
            ((), {}),
            (("--no-pack",), {"pack": False}),
            (("--dynamic-matmul", "photonic"), {"dynamic_matmul": "photonic"}),
            (("--dynamic-shape", "x:2=time"), {"dynamic_shapes": {"x": {2: "time"}}}),
            (("--fewer-moves",), {"fewer_moves": True}),
            (("--mesh-tolerance", "none", "--target", "tight.toml"), {"mesh_tolerance": None, "target": "tight.toml"}),
        ],
    )
    @pytest.mark.filterwarnings("ignore::lightloom.LightloomWarning")
    def test_options_are_those_of_python(self, options, same, folder):
        ll.targets.write_target(ll.targets.get("mzi16").with_({"mesh.topology": "butterfly"}), "tight.toml")
        answer("compile", "toy_models:Products", "-o", "a.loom", "--input-shape", "2,4,3", "-t", "mzi16", *options)
        from toy_models import Products

        ll.compile(Products().eval(), torch.zeros(2, 4, 3), **{"target": "mzi16", **same}).save("b.loom")
        assert Path("a.loom").read_bytes() == Path("b.loom").read_bytes()
        if options and "--fewer-moves" not in options:
            ll.compile(Products().eval(), torch.zeros(2, 4, 3), "mzi16").save("plain.loom")
            assert Path("a.loom").read_bytes() != Path("plain.loom").read_bytes()

    def test_arrays_of_numpy_in_their_usual_type(self, folder):
        np.save("x.npy", np.linspace(-1, 1, 12).reshape(2, 6))
        compiling = ("-o", "toy.loom", "-t", "mzi16", "--example", "x.npy")
        answer("compile", "toy_models:double", *compiling)
        assert ll.load("toy.loom").body.inputs[0].type.dtype == "f64"
        answer("compile", "toy_models:Toy", *compiling)
        assert ll.load("toy.loom").body.inputs[0].type.dtype == "f32"
        x = torch.from_numpy(np.load("x.npy")).float()
        answer("run", "toy.loom", "-i", "x.npy", "-o", "y.npz")
        with np.load("y.npz") as found:
            np.testing.assert_array_equal(found["logits"], ll.load("toy.loom")(x)["logits"].numpy())

    def test_calibrates_with_a_file_an_input(self, folder):
        chip = ll.targets.get("mzi16").with_({"detection.adc_range": "calibrated"})
        ll.targets.write_target(chip, "chip.toml")
        runs = [np.random.default_rng(run).random((2, 6), np.float32) for run in range(4)]
        for place, array in enumerate(runs):
            np.save(f"{place}.npy", array.astype(np.float64))
        options = ("-o", "pair.loom", "-t", "chip.toml")
        files = [part for place in range(4) for part in ("--calibration", f"{place}.npy")]
        answer("compile", "toy_models:pair", *options, *files)
        from toy_models import pair

        model, example = pair()
        tensors = [torch.from_numpy(array) for array in runs]
        same = ll.compile(model.eval(), example, chip, calibration=[tuple(tensors[:2]), tuple(tensors[2:])])
        made, wanted = ll.load("pair.loom").body.banks, same.body.banks
        assert len(made) == 2
        for name, bank in made.items():
            ranges = bank.columns["adc_full_scale"]
            np.testing.assert_array_equal(ranges, wanted[name].columns["adc_full_scale"])
        assert "3 files for a model of 2 inputs" in failed("compile", "toy_models:pair", *options, *files[:6], code=2)

    def test_takes_exported_programs(self):
        exported = torch.export.export(MLP((6, 5, 3)).eval(), (torch.zeros(2, 6),))
        torch.export.save(exported, "mlp.pt2")
        assert answer("compile", "mlp.pt2", "-o", "mlp.loom", "-t", "mzi16")["tiles"] == 2

    def test_stops_after_a_pass(self, folder):
        facts = answer("compile", "toy_models:ready", "-t", "mzi16", "--stop-after", "capture")
        assert "linear" in facts["ir"]
        assert not list(folder.glob("*.loom"))

    def test_prints_the_ir_after_every_pass_to_standard_error(self):
        result = call("compile", "toy_models:ready", "-o", "t.loom", "-t", "mzi16", "--print-ir-after-all", "--json")
        assert json.loads(result.stdout)
        assert "linear" in result.stderr

    def test_says_what_it_wrote(self):
        result = call("compile", "toy_models:ready", "-o", "toy.loom", "-t", "mzi16")
        assert "toy.loom" in result.stdout
        assert "on the chip" in result.stdout

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["toy_models:ready"], 2, "-o model.loom"),
            (["toy_models:Toy", "-o", "x.loom"], 2, "--input-shape"),
            (["toy_models:Odd", "-o", "x.loom", "--input-shape", "1,6"], 3, "error:"),
            (["toy_models:broken", "-o", "x.loom"], 3, "no weights today"),
            (["toy_models:number", "-o", "x.loom"], 3, "a module or a callable"),
            (["toy_models:Tay", "-o", "x.loom"], 3, "Did you mean Toy"),
            (["no_such_module:Toy", "-o", "x.loom"], 3, "cannot be imported"),
            (["nonsense", "-o", "x.loom"], 3, "package.module:name"),
            (["model.onnx", "-o", "x.loom"], 1, "model.onnx"),
            (["missing.pt2", "-o", "x.loom"], 1, "No such file (at missing.pt2)"),
            (["damaged.pt2", "-o", "x.loom"], 3, "cannot be read"),
            (["toy_models:ready", "-o", "."], 1, "got a folder. Name a file in it"),
            (["toy_models:ready", "-o", ""], 1, "got a folder"),
            (["toy_models:ready", "-o", "damaged.pt2/x.loom"], 1, "no folder damaged.pt2"),
            (["toy_models:ready", "--stop-after", "lower", "--calibration", "damaged.pt2"], 2, "--calibration"),
            (["toy_models:ready", "-o", "x.loom", "--dynamic-shape", "x=time"], 1, "INPUT:DIM=NAME"),
            (["toy_models:ready", "-o", "x.loom", "--dynamic-shape", "y:1=time"], 1, "names an input"),
            (["toy_models:ready", "-o", "x.loom", "--mesh-tolerance", "much"], 1, "a number above 0"),
            (["toy_models:ready", "-o", "x.loom", "--mesh-tolerance", "0"], 1, "a number above 0"),
            (["toy_models:ready", "-o", "x.loom", "--dynamic-matmul", "chip"], 2, "host, photonic"),
            (["toy_models:ready", "-o", "x.loom", "--exclude", "nothing.*"], 3, "nothing.*"),
            (["toy_models:ready", "-o", "x.loom", "--target", "mzi46"], 1, "mzi64"),
            (["toy_models:ready", "-o", "no/x.loom", "-t", "mzi16"], 1, "folder exists"),
            (["toy_models:ready", "-o", "x.loom", "--override", "fc=3"], 1, "GLOB:field=value"),
            (["toy_models:Toy", "-o", "x.loom", "--input-shape", "1,x"], 1, "1,3,64,64"),
            (["toy_models:Toy", "-o", "x.loom", "--example", "no.npy"], 1, "no.npy"),
            (["toy_models:ready", "--stop-after", "lunch"], 3, "capture"),
            (["toy_models:ready", "-o", "x.loom", "--frobnicate"], 2, "--frobnicate"),
            (["toy_models:ready", "-o", "x.loom", "--dataflow", "sideways"], 2, "auto, weight, output, input"),
            (["toy_models:ready", "-o", "x.loom", "--objective", "speed"], 2, "latency, energy, edp"),
        ],
    )
    def test_errors(self, folder, arguments, code, message):
        (folder / "damaged.pt2").write_bytes(b"no zip")
        assert message in failed("compile", *arguments, code=code)
        assert not list(folder.glob("**/*.loom"))


class TestRun:
    def test_writes_what_the_python_call_returns(self, loom, folder):
        x = np.random.default_rng(0).random((4, 6), dtype=np.float32)
        np.save("x.npy", x)
        facts = answer("run", loom, "--input", "x.npy", "--output", "y.npy", "--seed", "7")
        assert facts["outputs"] == {"output": {"shape": [4, 3], "dtype": "float32"}}
        expected = ll.load(loom).run(torch.from_numpy(x), seed=7).numpy()
        np.testing.assert_array_equal(np.load("y.npy"), expected)
        answer("run", loom, "-i", "x.npy", "-o", "ideal.npy", "--ideal")
        assert not np.array_equal(np.load("ideal.npy"), expected)
        answer("run", loom, "-i", "x.npy", "-o", "step.npy", "--seed", "7", "--executor", "step")
        np.testing.assert_allclose(np.load("step.npy"), expected, rtol=1e-4, atol=1e-5)

    def test_prints_values_without_a_file(self, loom):
        np.save("x.npy", np.ones((1, 6), np.float32))
        facts = answer("run", loom, "-i", "x.npy", "--ideal")
        assert np.shape(facts["outputs"]["output"]["values"]) == (1, 3)
        assert "output" in call("run", loom, "-i", "x.npy").stdout

    def test_names_several_outputs(self):
        answer("compile", "toy_models:ready", "-o", "toy.loom", "-t", "mzi16")
        np.save("x.npy", np.ones((2, 6), np.float32))
        answer("run", "toy.loom", "-i", "x.npy", "-o", "y.npz")
        with np.load("y.npz") as outputs:
            assert {name: outputs[name].shape for name in outputs} == {"logits": (2, 3), "hidden.0": (2, 5)}
        assert ".npz, for 2 outputs" in failed("run", "toy.loom", "-i", "x.npy", "-o", "y.npy", code=1)

    def test_errors(self, loom, folder):
        np.save("x.npy", np.ones((2, 7), np.float32))
        assert "7" in failed("run", loom, "-i", "x.npy", code=1)
        assert "No such file" in failed("run", "none.loom", "-i", "x.npy", code=1)
        np.save("objects.npy", np.array([{}]), allow_pickle=True)
        assert "objects.npy" in failed("run", loom, "-i", "objects.npy", code=1)
        (folder / "m.loom").write_bytes(b"no zip")
        assert "Not a sound .loom" in failed("run", loom, "-i", "x.npy", code=1)
        assert "--input" in failed("run", loom, code=2)

    def test_a_failed_capture_tells_every_attempt_as_json(self):
        error = answer("explain", "toy_models:Odd", "--input-shape", "1,6", code=3)["error"]
        assert "toy_models.py line" in error["message"]
        assert [attempt.partition(":")[0] for attempt in error["attempts"]][:2] == [
            "torch.export",
            "torch.export, strict",
        ]

    def test_errors_as_json(self, loom):
        facts = answer("run", loom, "-i", "none.npy", code=1)
        assert facts["error"]["type"] == "InputError"
        assert "none.npy" in facts["error"]["message"]


class TestViews:
    def test_explain(self, loom):
        facts = answer("explain", loom)
        assert [layer["rows"] for layer in facts["layers"]] == [5, 3]
        assert "linear" in call("explain", loom).stdout

    def test_explain_a_model(self):
        assert len(answer("explain", "toy_models:ready", "-t", "mzi16")["layers"]) == 2

    def test_options_of_compile_do_not_fit_a_compiled_program(self, loom):
        assert "compiled already" in failed("explain", loom, "--target", "mzi16", code=2)

    def test_report(self, loom):
        one, ten = answer("report", loom, "--batch", "1"), answer("report", loom, "--batch", "10")
        assert one["batch"] == 1
        assert ten["makespan_s"] > one["makespan_s"]
        assert one["energy"]["total_j"] > 0
        assert "Energy by part" in call("report", loom).stdout

    def test_report_of_another_chip_and_plan(self, loom):
        there = answer("report", loom)
        here = answer("report", loom, "--set", "timing.window_s=1e-6", "--set", "mesh.cores=1", "--objective", "energy")
        assert here["target"]["timing"]["window_s"] == 1e-6
        assert here["target"]["mesh"]["cores"] == 1
        assert here["makespan_s"] > there["makespan_s"]

    @pytest.mark.parametrize(
        ("changes", "code", "message"),
        [
            (["mesh.cores"], 1, "field=value"),
            (["mesh.cores=0"], 1, "mesh.cores"),
            (["mesh.coers=2"], 1, "Did you mean cores?"),
            (["msh.cores=2"], 1, "Did you mean mesh.cores"),
            (["mesh.ports=8"], 3, "mesh.ports"),
        ],
    )
    def test_impossible_changes(self, loom, changes, code, message):
        arguments = [part for change in changes for part in ("--set", change)]
        for command in ("report", "schedule"):
            assert message in failed(command, loom, *arguments, code=code)

    def test_dump(self, loom):
        for stage in ("nn", "mvm", "tile", "program"):
            assert answer("dump", loom, "--stage", stage)["ir"]
        assert call("dump", loom, "--stage", "nn").stdout.rstrip("\n") == ll.load(loom).dump("nn").rstrip("\n")
        assert "program" in failed("dump", loom, "--stage", "lunch", code=1)

    def test_targets(self, folder):
        names = [chip["name"] for chip in answer("targets")]
        assert names == ll.targets.list()
        assert answer("targets", "mzi16")["mesh"]["ports"] == 16
        assert "mzi64" in call("targets").stdout
        shown = call("targets", "mzi64").stdout
        for part in ("Assumed", "mesh.topology = clements", "detection.noise = on", "Not stated", "timing.encode_s"):
            assert part in shown
        assert "mzi64" in failed("targets", "mzi46", code=1)


class TestSchedule:
    def test_says_when_each_layer_runs(self, loom):
        facts = answer("schedule", loom, "--batch", "7")
        schedule = ll.load(loom).schedule_for(7)
        assert facts["batch"] == 7
        assert facts["events"] == len(schedule)
        assert facts["makespan_s"] == schedule.makespan_s >= max(facts["bounds"].values())
        assert facts["layers"]["step"] == list(schedule.steps)
        text = call("schedule", loom).stdout
        for word in (*schedule.bounds, "times the lower bound", "configures"):
            assert word in text

    def test_writes_every_event(self, loom, folder):
        facts = answer("schedule", loom, "--csv", "events.csv", "--trace", "events.json")
        assert (folder / "events.csv").read_text() == ll.load(loom).schedule.to_csv()
        assert len((folder / "events.csv").read_text().splitlines()) == 1 + facts["events"]
        assert json.loads((folder / "events.json").read_text())["traceEvents"]
        assert "cannot be written" in failed("schedule", loom, "--csv", "no/events.csv", code=1)

    def test_takes_another_chip_and_plan(self, loom):
        there = answer("schedule", loom, "--dataflow", "weight")
        here = answer("schedule", loom, "--dataflow", "weight", "--objective", "edp", "--set", "timing.window_s=1e-3")
        assert here["makespan_s"] > there["makespan_s"]
        assert here["objective"] == "edp"
        assert {plan["dataflow"] for plan in here["plans"].values()} <= {"weight"}
        assert not there["warm"]
        warm = answer("schedule", loom, "--warm")
        assert warm["warm"]
        assert warm["makespan_s"] < answer("schedule", loom)["makespan_s"]
        assert "none of auto" in failed("schedule", loom, "--dataflow", "sideways", code=2)
