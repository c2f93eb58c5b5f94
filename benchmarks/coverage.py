"""Which published networks compile, and whether the ideal chip computes what eager PyTorch does.

    python benchmarks/coverage.py [NAMES or GROUPS ...] [--list] [--capture-only] [--out PATH.json] [--markdown PATH.md]

Names are ``library:network`` with wildcards (``torchvision:resnet18``, ``torchvision:*``, ``timm:convnext*``), and
``timm:families`` for one small network of each family; without names everything of these. Weights are random, nothing
is downloaded. Each network runs in a process of its own with limits on time and memory. Rows that PATH.json holds are
not measured again (``--again``), so that a run can be stopped and taken up later.

A row is *programmed* where every tile went through SVD and mesh programming, and parity compares the ideal chip with
eager PyTorch. Networks of more weights than ``--programmed`` (60 million) are compiled as far as tiles, and parity
compares a program whose tiles hold their matrices unfactored: their rows say *tiles*.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import platform
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

if __name__ == "coverage":
    # started from this folder, numba looks for the package of that name and would find this file
    raise ImportError("this is a benchmark, not the coverage package")
if __name__ == "__main__":
    sys.modules["coverage"] = None  # type: ignore[assignment]  # numba takes this file for the package of its name

import torch
from options import Options, require
from torch import Tensor
from torch.utils import _pytree as pytree

import lightloom as ll
import lightloom.compiler.pipeline
import lightloom.program  # before processes are forked: imported once
from lightloom.models import zoo

EVERYTHING = ("torchvision:*", "timm:families", "transformers:*")
TOLERANCE = 1e-4
"""Largest difference over the largest value of an output that counts as equal."""


def main() -> None:
    options = _options()
    require(*dict.fromkeys(pattern.partition(":")[0] for pattern in options.names or EVERYTHING))
    names = [name for pattern in options.names or EVERYTHING for name in zoo.names(pattern)]
    if options.list:
        print("\n".join(names))
        return
    rows: dict[str, dict[str, Any]] = {}
    if options.out and options.out.exists():
        rows = {row["name"]: row for row in json.loads(options.out.read_text())["rows"]}
    _import_once(names)
    for place, name in enumerate(names, 1):
        if name not in rows or options.again or (options.failed and rows[name].get("error")):
            rows[name] = row = measure(name, options)
            print(f"{place}/{len(names)} {name}: {_short(row)}", flush=True)
            if options.out:
                save(rows, options)
    if options.markdown:
        options.markdown.write_text(markdown([rows[name] for name in rows], options))
    chosen = [rows[name] for name in names]
    good = sum(_good(row, options) for row in chosen)
    print(f"{good} of {len(chosen)} networks as wanted")


def _import_once(names: list[str]) -> None:
    """Import what the networks' processes need before they are forked; nothing is computed, no thread started."""
    for library in {name.partition(":")[0] for name in names}:
        zoo.preload(library)
    ll.lower(torch.nn.Linear(2, 2), torch.zeros(2, 2), "ideal", stop_after="capture")


def _options() -> argparse.Namespace:
    parser = Options(__doc__, torchvision="torchvision:*", timm="timm:*", transformers="transformers:*")
    parser.add_argument("names", nargs="*", metavar="NAME", help="library:network, with wildcards")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--capture-only", action="store_true", help="stop after the capture")
    parser.add_argument("--target", default="mzi64")
    parser.add_argument("--programmed", type=float, default=60e6, help="weights up to which tiles are programmed")
    parser.add_argument("--out", type=Path, help="JSON file to add to")
    parser.add_argument("--markdown", type=Path, help="write all rows of the JSON file as a page")
    parser.add_argument("--again", action="store_true", help="measure what the file holds already, too")
    parser.add_argument("--failed", action="store_true", help="measure what failed again")
    parser.add_argument("--limit-s", type=float, default=900, help="seconds for each network")
    parser.add_argument("--limit-gb", type=float, default=14, help="memory for each network")
    return parser.parse_args()


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One row, from a forked process: imports are done once, and nothing else survives."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(name, options, sender))
    start = time.perf_counter()
    process.start()
    sender.close()
    row: dict[str, Any] = {"name": name}
    try:
        while receiver.poll(max(0.0, options.limit_s - (time.perf_counter() - start))):
            row.update(receiver.recv())
        row["error"] = f"more than {options.limit_s:.0f} s"
        process.kill()
    except EOFError:
        if not row.pop("done", False):
            row.setdefault("error", "the process ended: out of memory?")
    process.join()
    return row


def _child(name: str, options: argparse.Namespace, sender: Any) -> None:
    limit = int(options.limit_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    warnings.simplefilter("ignore")
    try:
        for part in examine(name, options):
            sender.send(part)
    except MemoryError:
        sender.send({"error": f"more than {options.limit_gb} GB", "done": True})
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        where = "" if isinstance(error, ll.LightloomError) else traceback.format_exc().splitlines()[-2].strip()
        sender.send({"error": f"{type(error).__name__}: {' '.join(lines)[:300]}", "where": where, "done": True})


def examine(name: str, options: argparse.Namespace) -> Any:
    """The parts of one row as they come to be known: captured, compiled, compared."""
    sample = zoo.settle(zoo.network(name))
    model, inputs = sample.model, sample.inputs
    yield {"weights": sum(parameter.numel() for parameter in model.parameters())}
    start = time.perf_counter()
    if options.capture_only:
        graph = ll.lower(model, inputs, options.target, stop_after="remove_dead_code")
        yield {"captured": True, "capture_s": time.perf_counter() - start, "ops": len(graph.nodes), "done": True}
        return
    try:
        program, check = compiled(model, inputs, options)
    except ll.CaptureError:
        raise
    except Exception:
        yield {"captured": True}
        raise
    explanation = program.explain()
    capture_s = program.pass_s["capture"]
    yield {
        "captured": True,
        "compiled": True,
        "capture_s": capture_s,
        "compile_s": time.perf_counter() - start - capture_s,
        "check": check,
        "method": program.body.provenance["capture"],
        "notes": program.body.provenance["notes"],
        "share": explanation.photonic_macs / explanation.macs if explanation.macs else 0.0,
        "macs": explanation.macs,
        "tiles": sum(bank.spec.tiles for bank in program.body.banks.values()),
        "host_ops": sorted({op.op for op in explanation.ops if op.where == "host"}),
    }
    fixed = all(spec.type.static for spec in program.body.inputs)
    yield {"batch": "fixed" if fixed else "any"}
    error = 0.0
    for given in [inputs] if fixed else [inputs, _three(inputs)]:
        start = time.perf_counter()
        error = max(error, difference(model, program, given))
        yield {"run_s": time.perf_counter() - start, "parity": error}
    yield {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "done": True}


def compiled(model: torch.nn.Module, inputs: Any, options: argparse.Namespace) -> tuple[ll.Program, str]:
    """The program, with its tiles programmed, or unfactored where there are too many."""
    if sum(parameter.numel() for parameter in model.parameters()) <= options.programmed:
        return ll.compile(model, inputs, options.target), "programmed"
    from unfactored import unfactored

    return unfactored(model, inputs, options.target), "tiles"


def difference(model: torch.nn.Module, program: ll.Program, inputs: Any) -> float:
    """Largest difference over the largest value of an output, over all outputs."""
    with torch.no_grad():
        wanted = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    got = program.run(**inputs, ideal=True) if isinstance(inputs, dict) else program.run(*inputs, ideal=True)
    pairs = list(zip(*map(_tensors, _paired(wanted, got)), strict=True))
    if not pairs:
        raise ValueError("the model returns no tensor")
    return max(_error(a, b) for a, b in pairs)


def _paired(wanted: Any, got: Any) -> tuple[Any, Any]:
    """Outputs side by side: a transformers output holds a cache besides, which a program leaves out."""
    if isinstance(got, dict):
        return [wanted[key] for key in got], list(got.values())
    return wanted, got


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _error(wanted: Tensor, got: Tensor) -> float:
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        raise ValueError(f"an output of {got.dtype} {tuple(got.shape)}, wanted {wanted.dtype} {tuple(wanted.shape)}")
    if not wanted.numel():
        return 0.0
    largest = float(wanted.abs().max())
    if not 0 < largest < float("inf"):
        raise ValueError(f"eager PyTorch gives {largest} throughout: nothing to compare")
    return float((got - wanted).abs().max()) / largest


def _three(inputs: Any) -> Any:
    """The same inputs for three samples."""
    return pytree.tree_map(lambda x: torch.cat([x, x[:1].flip(-1)]), inputs)


def save(rows: dict[str, dict[str, Any]], options: argparse.Namespace) -> None:
    """Write all rows, and what they were measured with; in one step, so that a stop leaves the file whole."""
    text = json.dumps({"versions": versions(), "target": options.target, "rows": list(rows.values())}, indent=1)
    fresh = options.out.with_suffix(".tmp")
    fresh.write_text(text)
    fresh.replace(options.out)


def versions() -> dict[str, str]:
    """What the rows depend on."""
    found = {"python": platform.python_version()}
    for package in ("lightloom", "torch", "torchvision", "timm", "transformers"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _good(row: dict[str, Any], options: argparse.Namespace) -> bool:
    if row.get("error"):
        return False
    return bool(row.get("captured")) if options.capture_only else row.get("parity", 1.0) <= TOLERANCE


def _short(row: dict[str, Any]) -> str:
    if row.get("error"):
        return row["error"][:200]
    numbers = [f"{key} {row[key]:.3g}" for key in ("capture_s", "compile_s", "run_s", "parity", "share") if key in row]
    return ", ".join([*numbers, row.get("check", ""), *row.get("notes", [])])


def markdown(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """The page: what was run, a summary by library, and a table by library."""
    lines = [
        "# Coverage of published networks",
        "",
        f"Written by `python benchmarks/coverage.py --target {options.target} --programmed {options.programmed:g} "
        "--out benchmarks/coverage.json --markdown docs/coverage.md` with "
        + ", ".join(f"{package} {version}" for package, version in versions().items())
        + "; random weights, one process and one network at a time, on a machine busy with "
        "other work: seconds are for orientation.",
        "",
        f"A network passes where it compiles and the ideal chip is within {TOLERANCE:g} of eager PyTorch: the largest "
        "difference over the largest value of an output, for two samples and, where the batch is not fixed, for three. "
        "*Networks* counts the list that `coverage.py --list` prints; those not *measured* have no row yet. "
        "*Checked* says how: `programmed`, through SVD, mesh programming and the ideal chip; `tiles`, compiled as far "
        "as tiles and compared with the tiles' matrices unfactored (networks of more than "
        f"{options.programmed / 1e6:.0f} M weights).",
        "",
    ]
    libraries = list(dict.fromkeys(row["name"].partition(":")[0] for row in rows))
    lines += ["| library | networks | measured | captured | compiled | within tolerance |", "|---|---|---|---|---|---|"]
    groups = {pattern.partition(":")[0]: pattern for pattern in EVERYTHING}
    for library in libraries:
        mine = [row for row in rows if row["name"].startswith(f"{library}:")]
        counts = (
            len(mine),
            sum(bool(row.get("captured")) for row in mine),
            sum(bool(row.get("compiled")) for row in mine),
            sum(_good(row, options) for row in mine),
        )
        lines.append(f"| {library} | {len(zoo.names(groups[library]))} | " + " | ".join(map(str, counts)) + " |")
    for library in libraries:
        lines += ["", f"## {library}", "", "| network | weights | MACs on chip | tiles | batch | error | checked | s |"]
        lines.append("|---|---|---|---|---|---|---|---|")
        lines += [_line(row) for row in sorted(rows, key=lambda row: row["name"]) if row["name"].startswith(library)]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    name = row["name"].partition(":")[2]
    weights = f"{row['weights'] / 1e6:.3g} M" if "weights" in row else ""
    if row.get("error"):
        return f"| {name} | {weights} | | | | {row['error'].replace('|', '/')[:160]} | failed | |"
    seconds = sum(row.get(key, 0.0) for key in ("capture_s", "compile_s", "run_s"))
    cells = (
        name,
        weights,
        f"{row['share']:.1%}" if "share" in row else "",
        row.get("tiles", ""),
        row.get("batch", ""),
        f"{row['parity']:.1e}" if "parity" in row else "",
        row.get("check", "captured"),
        f"{seconds:.0f}",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
