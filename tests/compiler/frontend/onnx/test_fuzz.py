"""Damaged ONNX files: each ends in a clear error or in the result that onnxruntime gets too.

The models are read by worker processes: a worker that dies, hangs, grows or opens a file outside the model's folder
fails the test of the model it was reading.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

WORKER = Path(__file__).parent / "fuzz_worker.py"
HANG_S = 120.0
"""Wall seconds without an answer: far above what any model takes, so that a busy machine fails no test."""
CPU_S = 30.0
GROWTH_MB = 2048


def read_models(first: int, count: int, step: int, compare: bool) -> list[dict]:
    """How each damaged model of these seeds ended."""
    rows: list[dict] = []
    last = first + count * step
    while first < last:
        lines: queue.Queue[str | None] = queue.Queue()
        command = [sys.executable, str(WORKER), str(first), str((last - first + step - 1) // step), str(step)]
        process = subprocess.Popen(
            [*command, *(["--compare"] if compare else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        threading.Thread(target=_pump, args=(process, lines), daemon=True).start()
        seed: int | None = None
        started = time.monotonic()
        try:
            while True:
                try:
                    line = lines.get(timeout=HANG_S)
                except queue.Empty:
                    rows.append(
                        {"seed": seed, "what": "?", "end": "hang", "text": f"{time.monotonic() - started:.0f} s"}
                    )
                    break
                if line is None:
                    if process.wait() != 0:
                        rows.append(
                            {"seed": seed, "what": "?", "end": "died", "text": f"exit code {process.returncode}"}
                        )
                    break
                message = json.loads(line)
                seed, started = message.get("begin", seed), time.monotonic()
                if "end" in message:
                    rows.append(message)
        finally:
            process.kill()
            process.wait()
        if seed is None:
            raise RuntimeError("the worker did not start")
        first = seed + step
    return rows


def _pump(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put(None)


def check(rows: list[dict], count: int) -> None:
    assert len(rows) == count
    for row in rows:
        told = f"seed {row['seed']} ({row['what']}): {row}"
        assert row["end"] in ("result", "error"), told
        assert not row["read"], told
        assert row["grown_mb"] < GROWTH_MB, told
        assert row["seconds"] < CPU_S, told
        if row["end"] == "error":
            assert len(row["text"]) > 20, told
        assert not row.get("compared", "").startswith("DIFFERENT"), told
    ends = {row["end"] for row in rows}
    assert ends == {"result", "error"}, "the damage is all fatal or all harmless: it tests nothing"


def test_damaged_models_end_in_an_error_or_a_result() -> None:
    # Neither 6 models nor 17 kinds of damage divide into steps of 7: every kind is met.
    check(read_models(0, 102, 7, compare=False), 102)


@pytest.mark.slow
def test_a_thousand_damaged_models() -> None:
    pytest.importorskip("onnxruntime")
    check(read_models(0, 1000, 1, compare=True), 1000)
