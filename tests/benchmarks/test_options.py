"""Every script of benchmarks/ answers --help, and says what it lacks before it begins."""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from importlib import util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(file for file in BENCHMARKS.rglob("*.py") if '__name__ == "__main__"' in file.read_text())
OPTIONAL = {"matplotlib", "onnx2torch", "onnxruntime", "sklearn", "timm", "torchvision", "transformers", "zmq"}
LACKS = {
    "trained": "onnxruntime",
    "compile": "torchvision",
    "coverage": "torchvision and timm and transformers",
    "gpt2": "transformers",
    "inference": "torchvision",
    "onnx_suite": "onnxruntime and onnx2torch",
    "report": "torchvision",
    "schedule": "torchvision and transformers",
    "serve": "pyzmq",
    "sweep": "torchvision",
    "accuracy": "scikit-learn",
    "insitu": "scikit-learn",
    "page": "matplotlib",
    "resources": "scikit-learn",
    "worker": "scikit-learn",
}
"""What scripts cannot do without, as they say it."""


@pytest.fixture(autouse=True)
def without_optional_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if none of the libraries that only benchmarks need were installed; modules of the scripts are not kept."""
    found = util.find_spec

    def find_spec(name: str, *rest: Any) -> Any:
        return None if name in OPTIONAL else found(name, *rest)

    for name in OPTIONAL:
        monkeypatch.setitem(sys.modules, name, None)
    for file in BENCHMARKS.rglob("*.py"):
        if file.stem not in ("compile", "coverage", "serve", "sweep", "report", "schedule"):  # others' names too
            monkeypatch.delitem(sys.modules, file.stem, raising=False)
    monkeypatch.setattr(util, "find_spec", find_spec)
    monkeypatch.setattr(sys, "path", list(sys.path))


def run(script: Path, *arguments: str) -> Any:
    """Run a script as the shell would; returns what it exits with."""
    argv, path, modules = sys.argv, list(sys.path), set(sys.modules)
    held = sys.modules.get("coverage")
    sys.argv, sys.path[:0] = [str(script), *arguments], [str(script.parent)]
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
        return ended.value.code
    finally:
        sys.argv, sys.path[:] = argv, path
        for name in set(sys.modules) - modules:
            if getattr(sys.modules[name], "__file__", None) and "benchmarks" in str(sys.modules[name].__file__):
                del sys.modules[name]
        if held is not None:
            sys.modules["coverage"] = held
        else:
            sys.modules.pop("coverage", None)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_help(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(script, "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: ")
    assert re.search(r"^Needs ", shown, re.MULTILINE)
    for need in LACKS.get(script.stem, "lightloom").split(" and "):
        assert need in shown.rpartition("Needs ")[2]


@pytest.mark.parametrize("script", [file for file in SCRIPTS if file.stem in LACKS], ids=lambda script: script.stem)
def test_what_is_lacking_is_told_first(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = run(script, *{"report": ["--browser", "none"], "worker": ["{}"]}.get(script.stem, []))
    assert re.match(rf"{LACKS[script.stem]} (is|are) not installed: .*\[bench\]", str(told))
    assert not list(tmp_path.iterdir())


def test_the_extra_has_what_scripts_need() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = {re.split(r"[\[>=<; ]", item)[0] for item in extras["bench"] + extras["demo"] + extras["serve"]}
    needed = {name for text in LACKS.values() for name in text.split(" and ")} - {"onnx2torch"}  # a peer, by its name
    assert needed <= listed
    assert "lightloom[demo,serve,sweep]" in extras["bench"]
