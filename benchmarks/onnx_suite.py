"""The official ONNX backend test suite: lightloom, onnxruntime and onnx2torch on the same tests in one run.

    python benchmarks/onnx_suite.py --write docs/onnx-suite

Every test is the suite's own, with the suite's own tolerances, in a worker process under a time limit. lightloom runs
what multiplies by constants on the ideal simulated chip; the table says where each model ran.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing as mp
import os
import platform
import re
import resource
import tempfile
import time
import traceback
import unittest
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from options import Options, require

CATEGORIES = {
    "PyTorchConvertedModel": "pytorch-converted",
    "PyTorchOperatorModel": "pytorch-operator",
    "SimpleModel": "simple",
    "RealModel": "light",
    "NodeModel": "node",
}
BACKENDS = ("lightloom", "onnxruntime", "onnx2torch")
EXPLAINED = {
    r"test_bernoulli": "compares the draws of numpy's generator; ONNX leaves the generator open",
    r"test_dft_inverse": "wants the rounding noise of numpy's float32 transform, 1.9e-7, where the result is 0",
    r"test_loop16_seq_none": "the suite's comparison takes len() of a scalar inside a sequence: no result can pass",
    r"test_gradient_of": "Gradient differentiates a part of the graph: training, not inference",
    r"test_attention_.*fp16": "float16 sums in another order than numpy's; off by one unit in the last place",
}
"""Why tests of lightloom are expected not to pass, by name."""


def backend_class(name: str) -> Any:
    """The class that the suite tests, remembering the last model it prepared."""
    from onnx.backend.base import Backend, BackendRep

    if name == "lightloom":
        from lightloom.compiler.frontend.onnx.backend import Backend as Base
    elif name == "onnxruntime":
        import onnxruntime
        from onnxruntime.backend.backend import OnnxRuntimeBackend as Base

        onnxruntime.set_default_logger_severity(4)
    elif name == "onnx2torch":
        import numpy as np
        import torch

        _torchvision()
        from onnx2torch import convert

        class Rep(BackendRep):
            def __init__(self, model: Any) -> None:
                self.module = convert(model)

            def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
                with torch.no_grad():
                    result = self.module(*(torch.from_numpy(np.array(value)) for value in inputs))
                return tuple(value.numpy() for value in (result if isinstance(result, (tuple, list)) else (result,)))

        class Base(Backend):  # type: ignore[no-redef]
            @classmethod
            def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Any:
                return Rep(model)

            @classmethod
            def supports_device(cls, device: str) -> bool:
                return device == "CPU"
    else:
        raise SystemExit(f"unknown backend {name!r}; allowed: {', '.join(BACKENDS)}")

    class Recorded(Base):  # type: ignore[misc, valid-type]
        last: Any = None

        @classmethod
        def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Any:
            Recorded.last = None
            Recorded.last = super().prepare(model, device, **kwargs)
            return Recorded.last

    return Recorded


def _torchvision() -> None:
    """Let onnx2torch import torchvision beside any build of torch; non-maximum suppression works in all of them."""
    import importlib.util

    import torch

    from lightloom.models import vision

    spec = importlib.util.find_spec("torchvision")
    for path in Path(next(iter(spec.submodule_search_locations or ["."]))).glob("_C*.so") if spec else ():
        with contextlib.suppress(OSError):
            torch.ops.load_library(str(path))
    if hasattr(torch.ops.torchvision, "nms"):
        return

    def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
        kept: list[int] = []
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        for at in scores.argsort(descending=True, stable=True).tolist():
            low = torch.maximum(boxes[kept, :2], boxes[at, :2])
            high = torch.minimum(boxes[kept, 2:], boxes[at, 2:])
            shared = (high - low).clamp(min=0).prod(1)
            if not kept or not bool((shared / (area[kept] + area[at] - shared) > threshold).any()):
                kept.append(at)
        return torch.tensor(kept, dtype=torch.int64)

    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", nms, "CPU")
    for name in (*vision._OPERATORS, *vision._MORE, *vision._DEFORMABLE):
        if name != "nms":
            library.define(f"{name}(Tensor input) -> Tensor")
    _kept.append(library)
    import torchvision.extension

    torchvision.extension._has_ops = lambda: True


_kept: list[Any] = []
"""Libraries of declared operators: they are withdrawn when nobody holds them."""


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:400]


def run_test(item: Any, backend: Any) -> dict[str, Any]:
    """Run one test of the suite; says how it ended and, for lightloom, where its products ran."""
    start = time.perf_counter()
    row: dict[str, Any] = {"status": "passed"}
    backend.last = None
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            item.func(unittest.TestCase())
    except unittest.SkipTest as error:
        row.update(status="skipped", reason=one_line(error))
    except Exception as error:
        row.update(status="failed", reason=one_line(error))
        if os.environ.get("TRACE"):
            row["trace"] = traceback.format_exc()
    row["seconds"] = round(time.perf_counter() - start, 3)
    placement = getattr(backend.last, "placement", None)
    if placement is not None:
        row.update(placement=placement, where=backend.last.reason[:300])
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return row


def worker(name: str, pipe: Any, threads: int) -> None:
    """Run the tests whose names arrive, until None."""
    import logging

    import torch
    from onnx.backend.test.runner import Runner

    torch.set_num_threads(threads)
    logging.disable(logging.WARNING)
    backend = backend_class(name)
    items = Runner(backend)._test_items
    pipe.send("ready")
    while (key := pipe.recv()) is not None:
        category, test = key
        pipe.send(run_test(items[category][test], backend))


class Pool:
    """Workers forked from a process that has loaded the tests; a worker that is stuck or dies is replaced."""

    def __init__(self, name: str, workers: int, threads: int) -> None:
        self.name, self.workers, self.threads = name, workers, threads
        self.context = mp.get_context("fork")

    def start(self) -> tuple[Any, Any]:
        here, there = self.context.Pipe()
        process = self.context.Process(target=worker, args=(self.name, there, self.threads), daemon=True)
        process.start()
        there.close()
        return process, here

    def run(self, keys: list[tuple[str, str]], limit_s: float, fresh: bool = False) -> Iterator[tuple[Any, dict]]:
        """Run tests; ``fresh`` gives each test a process of its own, so that its peak memory is its own."""
        todo = list(reversed(keys))
        running: list[list[Any]] = []
        while todo or running:
            while todo and len(running) < self.workers:
                process, pipe = self.start()
                running.append([process, pipe, None, time.monotonic() + 300])
            for slot in list(running):
                process, pipe, key, deadline = slot
                done = False
                try:
                    if pipe.poll(0.002):
                        message = pipe.recv()
                        if key is not None:
                            yield key, message
                            done = fresh
                        if not todo or done:
                            pipe.send(None)
                            done = True
                        else:
                            slot[2], slot[3] = todo.pop(), time.monotonic() + limit_s
                            pipe.send(slot[2])
                    elif time.monotonic() > deadline:
                        if key is not None:
                            yield key, {"status": "timeout", "reason": f"not done after {limit_s:g} s"}
                        process.kill()
                        done = True
                except (EOFError, BrokenPipeError, ConnectionResetError):
                    process.join(5)
                    if key is None and process.exitcode:
                        raise SystemExit(f"{self.name} does not start: see above") from None
                    if key is not None:
                        yield key, {"status": "crashed", "reason": f"the process ended with code {process.exitcode}"}
                    done = True
                if done:
                    pipe.close()
                    process.join(20)
                    running.remove(slot)


def explained(name: str) -> str:
    return next((why for pattern, why in EXPLAINED.items() if re.search(pattern, name)), "")


def table(results: dict[str, dict[str, dict[str, dict]]], backends: list[str]) -> str:
    """The side-by-side table and what did not pass, as Markdown."""
    lines = ["| category | tests | " + " | ".join(backends) + " |", "|---|---:|" + "---:|" * len(backends)]
    for category, label in CATEGORIES.items():
        rows = {backend: results[backend].get(category, {}) for backend in backends}
        total = max((len(found) for found in rows.values()), default=0)
        if not total:
            continue
        cells = []
        for backend in backends:
            counts = Counter(row["status"] for row in rows[backend].values())
            rest = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()) if status != "passed")
            cells.append(f"**{counts['passed']}**" + (f" ({rest})" if rest else ""))
        lines.append(f"| {label} | {total} | " + " | ".join(cells) + " |")
    if "lightloom" not in backends:
        return "\n".join(lines)
    mine = results["lightloom"]
    lines += ["", "## Where lightloom ran them", "", "| category | on the chip | on the host |", "|---|---:|---:|"]
    for category, label in CATEGORIES.items():
        places = Counter(row.get("placement") for row in mine.get(category, {}).values() if row["status"] == "passed")
        if places:
            lines.append(f"| {label} | {places['chip']} | {places['host']} |")
    lines += [
        "",
        "*On the chip*: every product with a constant matrix runs on the simulated chip without imperfections",
        "(`ideal=True`). *On the host*: the model has no such product; node tests pass weights as inputs.",
    ]
    light = mine.get("RealModel", {})
    if light:
        lines += [
            "",
            "Seconds are those of import, compilation and one run, on the machine at hand with all that ran there.",
        ]
        lines += ["", "| light model | result | matrices | seconds | peak memory, MB |", "|---|---|---|---:|---:|"]
        for name, row in sorted(light.items()):
            where = row.get("where", row.get("reason", ""))
            lines.append(
                f"| {shown(name)} | {row['status']} | {where} | {row.get('seconds', '')} | {row.get('peak_mb', '')} |"
            )
    weighted = [
        (shown(name), row["where"])
        for category in mine.values()
        for name, row in sorted(category.items())
        if row["status"] == "passed" and row.get("placement") == "host" and "stay on the host" in row.get("where", "")
    ]
    if weighted:
        lines += ["", "## Products with constants that stayed on the host", ""]
        lines += [f"- `{name}`: {where}" for name, where in weighted]
    lines += ["", "## What lightloom does not pass", ""]
    missed = [
        (n, row) for category in mine.values() for n, row in sorted(category.items()) if row["status"] != "passed"
    ]
    lines += ["| test | why |", "|---|---|"] if missed else ["Nothing."]
    for name, row in missed:
        reason = explained(name) or row.get("reason", row["status"]).replace("|", "/")[:200]
        lines.append(f"| `{shown(name)}` | {reason} |")
    for backend in backends:
        if backend != "lightloom":
            lines += ["", f"## What {backend} does not pass, by reason", "", *reasons(results[backend])]
    chip = sorted(
        shown(n)
        for c in mine.values()
        for n, row in c.items()
        if row.get("placement") == "chip" and row["status"] == "passed"
    )
    lines += ["", "## Tests that ran on the chip", "", ", ".join(f"`{name}`" for name in chip) or "None."]
    return "\n".join(lines)


def reasons(categories: dict[str, dict[str, dict]]) -> list[str]:
    """The most frequent reasons, names and numbers left out."""
    rows = [row for rows in categories.values() for row in rows.values() if row["status"] != "passed"]
    plain = (re.sub(r"'[^']*'|\d+|\S*/\S*|[|`]", "_", row.get("reason", row["status"]))[:110] for row in rows)
    counts = Counter(plain).most_common(8)
    rest = len(rows) - sum(count for _, count in counts)
    return [f"- {count}: {reason}" for reason, count in counts] + ([f"- {rest}: others"] if rest else [])


def shown(name: str) -> str:
    return name.removesuffix("_cpu")


def versions() -> str:
    found = []
    for package in ("onnx", "onnxruntime", "onnx2torch", "torch", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found) + f", Python {platform.python_version()}"


def main() -> None:
    parser = Options(__doc__, onnxruntime="--backends onnxruntime", onnx2torch="--backends onnx2torch")
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), choices=BACKENDS)
    parser.add_argument("--match", default="", help="regular expression over category/test")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="torch threads of a worker")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for one test")
    parser.add_argument("--light-limit", type=float, default=1800.0, help="seconds for one light model")
    parser.add_argument("--write", type=Path, help="write PATH.md and PATH.json")
    parser.add_argument("--keep", action="store_true", help="keep results of PATH.json that this run does not repeat")
    arguments = parser.parse_args()
    require(*(name for name in arguments.backends if name != "lightloom"))
    with tempfile.TemporaryDirectory() as home, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ["ONNX_HOME"] = home
        from onnx.backend.base import Backend
        from onnx.backend.test.runner import Runner

        items = Runner(Backend)._test_items  # loads the tests once: workers are forked from here
        keys = [
            (category, name)
            for category in CATEGORIES
            for name in sorted(items[category])
            if name.endswith("_cpu") and re.search(arguments.match, f"{CATEGORIES[category]}/{name}")
        ]
        results: dict[str, Any] = {backend: {} for backend in arguments.backends}
        if arguments.keep and arguments.write and arguments.write.with_suffix(".json").exists():
            kept = read(arguments.write.with_suffix(".json"))
            results = {**kept, **{name: kept.get(name, {}) for name in arguments.backends}}
        for backend in arguments.backends:
            pool = Pool(backend, arguments.workers, arguments.threads)
            for light in (False, True):
                part = [key for key in keys if (key[0] == "RealModel") == light]
                limit = arguments.light_limit if light else arguments.limit
                for (category, name), row in pool.run(part, limit, fresh=light):
                    results[backend].setdefault(category, {})[name] = row
                    if row["status"] != "passed" or light:
                        place = row.get("where", row.get("reason", ""))
                        print(f"{backend} {shown(name)}: {row['status']} {row.get('seconds', '')} s, "
                              f"{row.get('peak_mb', '')} MB {row.get('reason', place)[:160]}", flush=True)  # fmt: skip
    names = [name for name in BACKENDS if name in results]
    text = table(results, names)
    print(text)
    if arguments.write:
        header = (
            "# The official ONNX backend test suite\n\n"
            "Written by `python benchmarks/onnx_suite.py --write docs/onnx-suite` "
            f"with {versions()}.\n[onnx-suite.json](onnx-suite.json) holds the result of every test.\n\n"
        )
        arguments.write.with_suffix(".md").write_text(header + text + "\n")
        arguments.write.with_suffix(".json").write_text(compact(results))


def compact(results: dict[str, dict[str, dict[str, dict]]]) -> str:
    """The results as JSON, one test a line: how it ended, where it ran, why; light models with time and memory."""
    blocks = []
    for backend, categories in results.items():
        for category, rows in categories.items():
            lines = [
                f"{json.dumps(shown(name))}: {json.dumps(_row(row, category))}" for name, row in sorted(rows.items())
            ]
            blocks.append(f"{json.dumps(f'{backend} {category}')}: {{\n" + ",\n".join(lines) + "\n}")
    return f'{{"versions": {json.dumps(versions())},\n' + ",\n".join(blocks) + "}\n"


def _row(row: dict[str, Any], category: str) -> dict[str, Any]:
    wanted = {"status", "placement", "reason"}
    if category == "RealModel" or "stay on the host" in row.get("where", ""):
        wanted |= {"where", "seconds", "peak_mb"}
    return {key: value[:120] if isinstance(value, str) else value for key, value in row.items() if key in wanted}


def read(path: Path) -> dict[str, dict[str, dict[str, dict]]]:
    """The results that :func:`compact` wrote."""
    results: dict[str, dict[str, dict[str, dict]]] = {}
    for key, rows in json.loads(path.read_text()).items():
        if key != "versions":
            backend, category = key.split()
            results.setdefault(backend, {})[category] = {f"{name}_cpu": row for name, row in rows.items()}
    return results


if __name__ == "__main__":
    main()
