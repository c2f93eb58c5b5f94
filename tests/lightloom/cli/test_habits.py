"""What every command keeps to: help, version, where answers go, errors before the work, and quickly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

import lightloom as ll
from lightloom.cli import app

SLOW = ("torch", "numba", "onnx", "pydantic", "networkx", "matplotlib")
"""Libraries that nothing waits for without need."""

TOLD_AT_ONCE = [
    (["--help"], 0),
    (["--version"], 0),
    (["compile", "--help"], 0),
    (["compile", "model.onnx", "-o", "m.loom"], 1),
    (["compile", "m:f", "-o", "m.loom", "--example", "none.npy"], 1),
    (["compile", "m:f", "-o", "no/m.loom"], 1),
    (["compile", "m:f", "-o", "m.loom", "--calibration", "none.npy"], 1),
    (["run", "none.loom", "-i", "x.npy"], 1),
    (["explain", "none.pt2"], 1),
    (["report", "none.loom"], 1),
    (["report", "m:f", "--html", "."], 1),
    (["report", "m:f", "--figures", "file/figures"], 1),
    (["report", "m:f", "--trace", "no/trace.json"], 1),
    (["schedule", "m:f", "--csv", "no/events.csv"], 1),
    (["dump", "m:f", "-o", "no/m.txt"], 1),
    (["sweep", "none.toml"], 1),
    (["demo", "-o", "no/page.html"], 1),
]
"""Command lines that need nothing slow, and what they exit with."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def loom() -> str:
    torch.manual_seed(0)
    ll.compile(torch.nn.Linear(6, 3).eval(), torch.zeros(2, 6), "mzi16").save("m.loom")
    return "m.loom"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def loaded_by(code: str) -> set[str]:
    """Which of the slow libraries a fresh interpreter has loaded after these lines."""
    lines = f"import sys\n{code}\nprint(*(name for name in {SLOW} if name in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-P", "-c", lines], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stderr.splitlines()[-1].split())


class TestQuick:
    def test_importing_lightloom_loads_nothing_slow(self):
        assert loaded_by("import lightloom") == set()

    def test_attributes_of_lightloom_are_there_when_asked_for(self):
        assert loaded_by("import lightloom as ll; assert 'mzi64' in ll.targets.list()") == {"pydantic"}
        assert "torch" in loaded_by("import lightloom as ll; ll.Program, ll.load")
        with pytest.raises(AttributeError, match="no attribute 'complie'"):
            ll.complie  # noqa: B018

    def test_what_cannot_be_is_told_before_anything_slow_is_loaded(self, folder):
        (folder / "file").touch()
        lines = (
            "from lightloom.cli import app; from typer.testing import CliRunner\n"
            f"for arguments, code in {TOLD_AT_ONCE!r}:\n"
            "    done = CliRunner().invoke(app, arguments)\n"
            "    assert done.exit_code == code, (arguments, done.output)\n"
            "    assert code == 0 or 'error:' in done.stderr, arguments\n"
            f"    assert not {set(SLOW) - {'pydantic'}!r} & sys.modules.keys(), arguments"
        )
        assert loaded_by(lines) <= {"pydantic"}  # typer's own, in some of its versions

    def test_targets_do_not_wait_for_torch(self):
        lines = (
            "from lightloom.cli import app; from typer.testing import CliRunner; CliRunner().invoke(app, ['targets'])"
        )
        assert loaded_by(lines) == {"pydantic"}


class TestHelp:
    def test_says_what_exit_codes_mean(self):
        result = call("--help")
        assert result.exit_code == 0
        for word in (
            "compile",
            "run",
            "explain",
            "report",
            "schedule",
            "dump",
            "targets",
            "sweep",
            "demo",
            "Exit codes",
        ):
            assert word in result.stdout

    def test_the_short_form_does_as_well(self):
        assert call("-h").stdout == call("--help").stdout
        assert call("compile", "-h").stdout == call("compile", "--help").stdout

    def test_version(self):
        assert call("--version").stdout == f"lightloom {ll.__version__}\n"

    @pytest.mark.parametrize("module", ["lightloom", "lightloom.cli"])
    def test_modules_run(self, module):
        command = [sys.executable, "-m", module, "targets", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert [chip["name"] for chip in json.loads(done.stdout)] == ll.targets.list()

    def test_the_shell_completes_commands_options_and_targets(self):
        def offered(line: str) -> set[str]:
            words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
            environment = {"_LIGHTLOOM_COMPLETE": "complete_bash", **words}
            done = CliRunner().invoke(app, [], prog_name="lightloom", env=environment)
            return set(done.stdout.split())

        assert offered("lightloom sch") == {"schedule"}
        assert "--mesh-tolerance" in offered("lightloom compile --mesh")
        assert "mzi64" in offered("lightloom compile m:f --target mz")
        assert offered("lightloom report m.loom --dataflow w") == {"weight"}


def test_warnings_are_a_line_to_standard_error():
    Path("model.py").write_text(
        "import torch\n"
        "class Attention(torch.nn.Module):\n"
        "    def forward(self, x): return x @ x.transpose(1, 2)\n"
        "def f(): return Attention(), (torch.zeros(2, 3, 4),)\n"
    )
    command = [sys.executable, "-m", "lightloom", "explain", "model:f", "-t", "mzi16", "--dynamic-matmul", "photonic"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout)["layers"]
    assert done.stderr.startswith("warning: ")
    assert ".py" not in done.stderr


class TestAnswers:
    @pytest.mark.parametrize("command", [("explain", "m.loom"), ("report", "m.loom"), ("schedule", "m.loom"),
                                         ("dump", "m.loom"), ("targets",), ("targets", "mzi16")])  # fmt: skip
    def test_go_to_a_file_as_they_are(self, loom, command):
        for form in ((), ("--json",)):
            assert call(*command, *form, "-o", "answer.txt").stdout == ""
            assert Path("answer.txt").read_text() == call(*command, *form).stdout

    def test_the_ir_of_a_pass_goes_to_a_file(self):
        Path("model.py").write_text("import torch\ndef f(): return torch.nn.Linear(6, 3), (torch.zeros(2, 6),)\n")
        text = call("compile", "model:f", "--stop-after", "lower").stdout
        assert call("compile", "model:f", "--stop-after", "lower", "-o", "ir.txt").stdout == ""
        assert Path("ir.txt").read_text() == text
        sys.modules.pop("model", None)

    def test_numbers_are_whole_in_a_narrow_terminal(self, loom, monkeypatch):
        for command in (("report", loom), ("schedule", loom), ("targets", "mzi64")):
            wide = call(*command).stdout
            monkeypatch.setenv("COLUMNS", "60")
            assert call(*command).stdout == wide
            assert "…" not in wide
            monkeypatch.delenv("COLUMNS")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["explain", "m.loom", "--frobnicate"], "--frobnicate"),
            (["compile", "m:f"], "-o model.loom"),
            (["run", "m.loom"], "--input"),
            (["complie", "m:f"], "complie"),
            (["schedule", "m.loom", "--batch", "many"], "--batch"),
            (["report", "m.loom", "--dataflow", "sideways"], "none of auto"),
            (["explain", "m.loom", "--target", "mzi16", "--no-pack"], "--target, --no-pack"),
        ],
    )
    def test_usage_errors_are_json_too(self, loom, arguments, message):
        result = call(*arguments, "--json")
        assert result.exit_code == 2
        error = json.loads(result.stdout)["error"]
        assert error["type"] == "UsageError"
        assert message in error["message"]
        assert call(*arguments).stdout == ""
