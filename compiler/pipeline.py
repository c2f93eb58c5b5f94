"""From a model to a program: capture, then the passes of :mod:`.passes` in order, then the body.

Every pass is timed and its result verified. Consecutive tile passes take the tiles a chunk at a time, all of
them per chunk, so that SVD factors of a whole network never exist at once.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, TextIO

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram

from ..runtime.ambient import plain_torch
from ..runtime.calibrate import calibrate
from ..runtime.errors import CompileError, complaint
from ..runtime.program import BankSpec, ProgramBody, TileBank
from ..runtime.targets import Target
from .demands import check_calibration, check_options, check_plan, check_ranges, layer_target, tell_dynamic
from .frontend import Captured, as_module, capture
from .ir import LL_OPS, Bank, Graph, show, verify
from .passes import NAMES, GraphPass, Options, TilePass, cut, describe, emit, grid, table
from .passes.base import matches
from .passes.costs import matrices_of
from .passes.input_ranges import bank_ranges
from .programming import RULES
from .settling import fewer_moves

if TYPE_CHECKING:
    from onnx import ModelProto

CHUNK_BYTES = 8 << 20
"""Bytes of float64 weights that tile passes work on at a time."""

SEARCHED_TILES = 64
"""Tiles at a time where phases are searched for, which takes long: progress shows."""

Progress = Callable[[str, int, int], None]
"""Called with the pass, the work done and the work in all."""


@dataclass(frozen=True)
class Compilation:
    """What a compile made: the program's body, or the graph where it was stopped, seconds per pass, the capture."""

    body: ProgramBody | None
    graph: Graph
    pass_s: Mapping[str, float] = field(default_factory=dict)
    captured: Captured | None = None


@plain_torch(gradients=True)
def compile_model(
    model: nn.Module | ExportedProgram | ModelProto | str | os.PathLike[str] | bytes,
    example_inputs: object = None,
    target: Target | None = None,
    *,
    options: Options | None = None,
    calibration: Iterable[object] | None = None,
    stop_after: str | None = None,
    print_ir_after_all: bool | TextIO = False,
    progress: Progress | None = None,
    dynamic_shapes: object = None,
) -> Compilation:
    """Compile a model for a target.

    Args:
        model: A module in eval mode (TorchScript too), an exported program, or an ONNX model (a path, its bytes or its
            ModelProto).
        example_inputs: A tensor, a tuple of inputs, or a dict of keyword inputs; their first dimension is the batch.
        target: The chip.
        options: Exclusions, overrides, strictness.
        calibration: Inputs to take static ranges from; needed where the target's ranges are static.
        stop_after: Name of a pass to stop after; the compilation then has no body.
        print_ir_after_all: Print the graph after every pass to a stream (True: standard error).
        progress: Progress callback.
        dynamic_shapes: Sizes besides the batch that may vary, see :func:`.frontend.capture`.

    Raises:
        LightloomError: see :mod:`..runtime.errors`; CaptureError, CompileError, TargetError, InputError.
    """
    options = options or Options()
    if target is None:
        raise CompileError(complaint("compile needs a target", next_step="pass target='mzi64' or a Target"))
    if stop_after is not None and stop_after not in NAMES:
        raise CompileError(complaint("unknown pass to stop after", got=repr(stop_after), allowed=", ".join(NAMES)))
    check_options(options, target)
    if stop_after is None:
        check_calibration(target, options, calibration)
    dump = sys.stderr if print_ir_after_all is True else print_ir_after_all or None
    run = _Run(target, options, dump, progress)
    module, example_inputs = as_module(model, example_inputs)
    graph, captured = run.capture(module, example_inputs, dynamic_shapes)
    for is_tile, group in groupby(table(options), key=_is_tile):
        passes = tuple(group)
        names = [step.name for step in passes]
        if run.stopped(stop_after):
            break
        if stop_after in names:
            passes = passes[: names.index(stop_after) + 1]
        if is_tile and stop_after is None and calibration is None:
            check_ranges(graph, target, run.layer_targets)
        graph = run.tile_passes(passes, graph) if is_tile else run.graph_passes(passes, graph)  # type: ignore[arg-type]
    if stop_after is not None:
        return Compilation(None, graph, run.pass_s, captured)
    start = time.perf_counter()
    body = emit(
        graph,
        target,
        layer_targets=run.layer_targets,
        example_batch=captured.example_batch,
        ir=run.ir,
        provenance={
            "capture": captured.method,
            "notes": list(captured.notes),
            "written_inputs": list(captured.written),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "exclude": list(options.exclude),
            "pack": options.pack,
            "overrides": {glob: dict(changes) for glob, changes in options.overrides.items()},
        },
        plan=options.plan,
    )
    check_plan(body)
    run.pass_s["emit"] = time.perf_counter() - start
    if calibration is not None:
        start = time.perf_counter()
        body = calibrate(body, calibration, keep=bank_ranges(graph))
        run.pass_s["calibrate"] = time.perf_counter() - start
    tell_dynamic(body)
    if options.fewer_moves:
        start = time.perf_counter()
        body = fewer_moves(body)
        run.pass_s["fewer_moves"] = time.perf_counter() - start
    return Compilation(body, graph, run.pass_s, captured)


def _is_tile(step: object) -> bool:
    return hasattr(step, "spec")


def _declared(spec: BankSpec, columns: Mapping[str, np.ndarray]) -> Bank:
    """The declaration of a whole bank, from the columns of its first chunk."""
    bank = describe(TileBank(spec, columns))
    full = (replace(column, shape=(spec.tiles, *column.shape[1:])) for column in bank.columns)
    return replace(bank, columns=tuple(full))


@dataclass
class _Run:
    """State of one compile: times, dumps, per-layer targets."""

    target: Target
    options: Options
    dump: TextIO | None
    progress: Progress | None
    pass_s: dict[str, float] = field(default_factory=dict)
    ir: dict[str, str] = field(default_factory=dict)
    layer_targets: dict[str, Target] = field(default_factory=dict)

    def stopped(self, stop_after: str | None) -> bool:
        return stop_after is not None and stop_after in self.pass_s

    def capture(
        self, model: nn.Module | ExportedProgram, example_inputs: object, dynamic_shapes: object
    ) -> tuple[Graph, Captured]:
        start = time.perf_counter()
        captured = capture(model, example_inputs, dynamic_shapes)
        self.finish("capture", captured.graph, start)
        return captured.graph, captured

    def graph_passes(self, passes: tuple[GraphPass, ...], graph: Graph) -> Graph:
        for step in passes:
            start = time.perf_counter()
            graph = step.run(graph, self.target)
            self.finish(step.name, graph, start)
        if graph.stage == "tile":
            self.layer_targets = self.targets_of(graph)
        return graph

    def targets_of(self, graph: Graph) -> dict[str, Target]:
        """The target of each matrix whose layers have overrides; later globs win over earlier ones."""
        targets: dict[str, Target] = {}
        for node in graph.nodes:
            for glob, changes in self.options.overrides.items():
                if node.op in LL_OPS["mvm"] and matches(node.origin.path, glob):
                    for name in matrices_of(node):
                        targets[name] = layer_target(targets.get(name, self.target), changes, glob)
        return targets

    def tile_passes(self, passes: tuple[TilePass, ...], graph: Graph) -> Graph:
        """Run consecutive tile passes over every bank, chunk by chunk."""
        weights = {matrix.name: graph.store[matrix.weight] for matrix in graph.matrices if not matrix.dynamic}
        total = sum(table.spec.tiles for table in graph.tables.values())
        done = 0
        tables: dict[str, TileBank] = {}
        seconds = {step.name: 0.0 for step in passes}
        snapshots: dict[str, list[Bank]] = {step.name: [] for step in passes}
        for name, bank in graph.tables.items():
            if bank.spec.dynamic:  # its tiles are programmed at run time, by the same passes
                bits = {"phase_bits": self.target.mesh.phase_bits, "attenuator_bits": self.target.mesh.attenuator_bits}
                tables[name] = TileBank(replace(bank.spec, **bits), bank.columns)
                continue
            target = self.layer_targets.get(name, self.target)
            spec = bank.spec
            for step in passes:
                spec = step.spec(spec, target)
            laid_out = grid(weights[name], spec)
            chunk = max(1, CHUNK_BYTES // (8 * spec.ports**2))
            if spec.topology not in RULES:
                chunk = min(chunk, SEARCHED_TILES)
            parts: list[dict[str, np.ndarray]] = []
            # a bank without tiles still gets its (empty) columns
            for first in range(0, max(1, spec.tiles), chunk):
                window = slice(first, first + chunk)
                columns = {key: column[window] for key, column in bank.columns.items()}
                columns["weights"] = cut(laid_out, bank, window)
                for step in passes:
                    start = time.perf_counter()
                    made = step.run(columns, spec, target)
                    kept = {key: value for key, value in columns.items() if key not in step.consumes}
                    columns = {**kept, **made}
                    seconds[step.name] += time.perf_counter() - start
                    if first == 0 and self.dump is not None:
                        snapshots[step.name].append(_declared(spec, columns))
                parts.append(columns)
                done += len(columns["group"])
                if self.progress is not None:
                    self.progress(passes[-1].name, done, total)
            joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
            tables[name] = TileBank(spec, joined)
        graph = replace(graph, tables=tables, banks=tuple(map(describe, tables.values())))
        for step in passes:
            self.pass_s[step.name] = seconds[step.name]
            if self.dump is not None and step is not passes[-1]:
                between = replace(graph, banks=tuple(snapshots[step.name]), tables={})
                self.dump.write(f"// after {step.name}\n{show(between)}\n")
        start = time.perf_counter()
        self.finish(passes[-1].name, graph, start)
        return graph

    def finish(self, name: str, graph: Graph, start: float) -> None:
        """Verify and time a pass's result, and keep or print its text."""
        verify(graph, name)
        text = show(graph)
        self.ir[graph.stage] = text
        self.pass_s[name] = self.pass_s.get(name, 0.0) + time.perf_counter() - start
        if self.dump is not None:
            self.dump.write(f"// after {name}\n{text}\n")
        if self.progress is not None:
            self.progress(name, 1, 1)
