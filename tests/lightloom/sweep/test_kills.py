"""Sweeps that are killed, and workers that are: no finished point is lost, none is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lightloom.runtime.errors import LightloomError
from lightloom.sweep import read_spec, run_sweep
from lightloom.sweep.points import Point

CORES = "[1, 2, 3, 4, 5, 6]"


@pytest.fixture
def wide(folder: Path) -> Path:
    """A sweep of 24 points."""
    spec = folder / "spec.toml"
    spec.write_text(spec.read_text().replace("[1, 2, 4]", CORES))
    return spec


def begin(spec: Path, *options: str, points: int = 5) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a sweep in a process, and wait until it has finished some points."""
    journal = spec.with_suffix(".sweep") / "journal.jsonl"
    command = [sys.executable, "-P", "-m", "lightloom.cli", "sweep", str(spec), *options]
    process = subprocess.Popen(command, cwd=spec.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(2400):
        if process.poll() is not None or (journal.exists() and len(journal.read_text().splitlines()) > points):
            break
        time.sleep(0.05)
    return process, journal


def children(pid: int) -> list[int]:
    """Processes of a process, where the system tells."""
    place = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in place.read_text().split()] if place.exists() else []


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits only to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_a_killed_sweep_goes_on_without_losing_or_repeating_a_point(wide: Path, jobs: str) -> None:
    process, journal = begin(wide, "--jobs", jobs)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = journal.read_text()
    whole = before.rpartition("\n")[0].splitlines()
    assert 5 < len(whole) < 25
    with journal.open("a") as file:
        file.write('{"point": "torn')
    for _ in range(400):  # workers end with the process they work for
        if all(map(ended, workers)):
            break
        time.sleep(0.05)
    assert all(map(ended, workers))
    found = run_sweep(read_spec(wide), wide.with_suffix(".sweep"))
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert journal.read_text().startswith("\n".join(whole))
    names = [line["point"] for line in lines[1:]]
    assert len(names) == len(set(names)) == len(found) == 24
    assert {item.point.key for item in found} == set(names)
    fresh = run_sweep(read_spec(wide), wide.parent / "fresh")
    assert [(item.point, item.metrics) for item in found] == [(item.point, item.metrics) for item in fresh]


def test_a_lost_worker_is_an_error_that_says_what_is_safe(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Kill:
        """A point that takes its worker down."""

        def __reduce__(self) -> tuple[Any, ...]:
            return os._exit, (1,)

    monkeypatch.setattr("lightloom.sweep.run.grid_points", lambda spec: [Point({"mesh.cores": Kill()}, {})])
    monkeypatch.setattr("lightloom.sweep.run.compile_key", lambda spec, point: "")
    monkeypatch.setattr(Point, "key", "key")
    with pytest.raises(LightloomError, match=r"a worker of the sweep was lost.*Start the same sweep again"):
        run_sweep(read_spec(wide), wide.parent / "out", jobs=2)


class TestDask:
    @pytest.fixture
    def distributed(self) -> Any:
        return pytest.importorskip("distributed", reason="distributed is in the sweep extra")

    def test_runs_the_points(self, folder: Path, distributed: Any) -> None:
        spec: Any = read_spec(folder / "spec.toml")
        with distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster:
            found = run_sweep(spec, folder / "dask", dask=cluster.scheduler_address)
        assert [item.metrics for item in found] == [item.metrics for item in run_sweep(spec, folder / "plain")]

    def test_a_killed_worker_loses_no_finished_point(self, wide: Path, distributed: Any) -> None:
        spec = read_spec(wide)
        journal = wide.parent / "dask" / "journal.jsonl"
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            with distributed.Client(cluster) as client:
                victim = min(client.run(os.getpid).values())
            kept: list[str] = []

            def strike(done: int, total: int) -> None:
                if done == 8:
                    os.kill(victim, signal.SIGKILL)
                    kept.extend(journal.read_text().splitlines())

            found = run_sweep(spec, journal.parent, dask=cluster.scheduler_address, progress=strike)
        lines = journal.read_text().splitlines()
        assert lines[: len(kept)] == kept
        names = [json.loads(line)["point"] for line in lines[1:]]
        assert len(kept) == 9
        assert len(names) == len(set(names)) == 24
        assert [item.metrics for item in found] == [item.metrics for item in run_sweep(spec, wide.parent / "plain")]

    @pytest.mark.usefixtures("distributed")
    def test_an_address_where_nobody_answers_is_an_error(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lightloom.sweep.workers.ANSWER", "1s")
        with pytest.raises(LightloomError, match="does not answer"):
            run_sweep(read_spec(folder / "spec.toml"), folder / "out", dask="tcp://127.0.0.1:1")
