"""Reads damaged models one after the other and says how each ends: run by test_fuzz.py, one JSON line a model.

python fuzz_worker.py FIRST COUNT STEP [--compare]
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from damaged import Inputs, damaged

from lightloom.compiler.frontend.onnx import to_module
from lightloom.compiler.frontend.onnx.arrays import to_numpy, to_torch
from lightloom.runtime.errors import LightloomError

SECRETS = ("secret.bin", "/etc/passwd", "fifo")
OUT_OF_MEMORY = ("allocate memory", "not enough memory", "bad_alloc", "MemoryError", "Unable to allocate")
ADDRESS_SPACE = 4 << 30
opened: list[str] = []


def watch(event: str, arguments: tuple) -> None:
    if event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])


def status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def compared(path: Path, inputs: Inputs, got: list) -> str:
    """What onnxruntime says: same, different, or that it refuses the model too."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        wanted = session.run(None, {info.name: inputs[info.name] for info in session.get_inputs()})
    except Exception as error:
        return f"onnxruntime: {type(error).__name__}: {' '.join(str(error).split())[:150]}"
    for mine, theirs in zip(got, wanted, strict=True):
        if np.shape(mine) != np.shape(theirs) or not np.allclose(mine, theirs, rtol=1e-3, atol=1e-5, equal_nan=True):
            return f"DIFFERENT {np.shape(mine)} {np.shape(theirs)}"
    return "same"


def one(seed: int, compare: bool) -> dict:
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "inner" / "model"
        (folder / "sub").mkdir(parents=True)
        (Path(top) / "inner" / "secret.bin").write_bytes(b"secret" * 1000)
        (Path(top) / "secret.bin").write_bytes(b"secret" * 1000)
        (folder / "link.bin").symlink_to(Path(top) / "secret.bin")
        os.mkfifo(folder / "fifo")
        row: dict = {"seed": seed}
        row["what"], inputs = damaged(seed, folder)
        Path("/proc/self/clear_refs").write_text("5")
        before, start = status("VmRSS"), time.process_time()
        opened.clear()
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = to_module(folder / "model.onnx")
                result = module(*(to_torch(value) for value in inputs.values()))
            got = [to_numpy(value) for value in (result if isinstance(result, tuple) else (result,))]
            row["end"] = "result"
            if compare:
                row["compared"] = compared(folder / "model.onnx", inputs, got)
        except LightloomError as error:
            row.update(end="error", text=str(error)[:500])
            if any(word in str(error) for word in OUT_OF_MEMORY):
                row["end"] = "memory"
        except BaseException as error:
            row.update(end="crash", text="".join(traceback.format_exception(error))[-1500:])
        row["read"] = [path for path in opened if any(secret in path for secret in SECRETS)]
        row["seconds"] = round(time.process_time() - start, 3)
        row["grown_mb"] = max(0, status("VmHWM") - before) >> 20
        return row


def main() -> None:
    first, count, step = (int(text) for text in sys.argv[1:4])
    torch.set_num_threads(1)
    sys.addaudithook(watch)
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + ADDRESS_SPACE, resource.RLIM_INFINITY))
    for seed in range(first, first + count * step, step):
        print(json.dumps({"begin": seed}), flush=True)
        print(json.dumps(one(seed, "--compare" in sys.argv)), flush=True)


if __name__ == "__main__":
    main()
