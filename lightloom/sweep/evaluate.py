"""One design point: compile, or reprice what is compiled, and measure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..compiler.settling import fewer_moves
from ..modelspec import example_inputs, load_model, read_array
from ..program import Program, load
from ..runtime import targets
from ..runtime.errors import CaptureError, InputError, LightloomError, complaint
from ..runtime.pricing.area import area
from ..runtime.pricing.energy import energy
from ..runtime.targets import Target
from ..whatif import CHANGEABLE, DECIDING, what_if
from .points import Point
from .spec import LATE, METRIC_NAMES, SweepSpec

METRICS = METRIC_NAMES
KEPT = 2
"""Compiled programs that a process keeps: points that compile alike come one after another."""


@dataclass(frozen=True)
class Result:
    """What became of a point: metrics, or why there are none."""

    metrics: Mapping[str, float]
    error: str = ""


@dataclass(frozen=True)
class Source:
    """A model with its example inputs, or a loaded program, and the inputs and labels that accuracy is measured on."""

    key: str
    model: Any
    example: Any
    data: tuple[torch.Tensor, ...]


_sources: dict[str, Source] = {}
_programs: OrderedDict[tuple[str, str], Program] = OrderedDict()


def chip(spec: SweepSpec) -> Target:
    """The target that design points start from."""
    own = spec.at(spec.target)
    place = str(own) if spec.target not in targets.list() and own.is_file() else spec.target
    return _chip(place, _state([own]))


@lru_cache(maxsize=4)
def _chip(place: str, state: str) -> Target:
    """Read anew where its file has changed: ``state`` says so."""
    del state
    return targets.get(place)


def split(spec: SweepSpec, point: Point) -> tuple[Point, Point]:
    """What of a point decides about tiles, and what a compiled program can be given later."""
    asked = point.options.get("overrides") or {}
    fixed = {name for changes in asked.values() for name in changes}
    if "encoding.dac_bits" in point.fields and spec.compiles:
        scale = point.fields.get("encoding.scale") or chip(spec).encoding.scale
        fixed.update({"encoding.dac_bits"} if scale == "static" else ())  # a model's own quantizers fit it
    late = {name for name in point.fields if name in CHANGEABLE and name not in fixed}
    return (
        Point(_without(point.fields, late), _without(point.options, LATE)),
        Point(_without(point.fields, set(point.fields) - late), _without(point.options, set(point.options) - LATE)),
    )


def _without(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def compile_key(spec: SweepSpec, point: Point) -> str:
    """Equal for points that one compile serves."""
    return split(spec, point)[0].key


def evaluate(spec: SweepSpec, point: Point) -> Result:
    """Measure a point.

    Errors that lightloom raises on purpose (an impossible target, a layer that does not fit) are results too.

    Raises:
        LightloomError: what is wrong with every point: the model, its example inputs, data that cannot be read.
    """
    source = _source(spec)
    try:
        return Result(_metrics(spec, point, source))
    except CaptureError:
        raise
    except LightloomError as error:
        return Result({}, f"{type(error).__name__}: {error}")


def _source(spec: SweepSpec) -> Source:
    """The model and the data of a sweep, read once by each process."""
    path, data = Path(spec.model), spec.accuracy
    files = [spec.at(name) for name in (path, *((data.inputs, data.labels) if data is not None else ()))]
    key = spec.model_dump_json(include={"model", "input_shape", "accuracy", "folder"}) + _state(files)
    if key not in _sources:
        if spec.compiles:
            loaded = load_model(str(spec.at(path)) if path.suffix in (".onnx", ".pt2") else spec.model)
            given = example_inputs(spec.input_shape, ())
            model, example = loaded.model, loaded.example_inputs if given is None else given
        else:
            model, example = load(spec.at(path)), None
        arrays = tuple(read_array(file) for file in files[1:])
        _sources.clear()
        _sources[key] = Source(key, model, example, arrays)
    return _sources[key]


def _state(files: Iterable[Path]) -> str:
    """Changes where one of these files is written anew."""
    return "".join(f" {s.st_size} {s.st_mtime_ns}" for s in (file.stat() for file in files if file.is_file()))


def _metrics(spec: SweepSpec, point: Point, source: Source) -> dict[str, float]:
    program = _program(spec, point, source)
    schedule = program.schedule_for(spec.batch or program.body.example_batch)
    priced = energy(program.body, schedule)
    takes = area(program.target)
    banks = [bank.spec for bank in program.body.banks.values()]
    tiles = sum(bank.tiles for bank in banks)
    found = {
        "latency_s": schedule.makespan_s,
        "latency_per_inference_s": schedule.makespan_s / schedule.batch,
        "energy_per_inference_j": priced.per_inference_j,
        "amortised_energy_j": priced.amortised_j,
        "energy_per_mac_j": priced.per_mac_j,
        "edp_js": priced.total_j * schedule.makespan_s,
        "power_w": priced.average_power_w,
        "peak_power_w": takes.power_w,
        "tops": 1e-12 * priced.ops_per_s,
        "tops_per_w": 1e-12 * priced.ops_per_j,
        "tiles": float(tiles),
        "utilization": sum(bank.weights for bank in banks) / (tiles * program.target.mesh.ports**2) if tiles else 0.0,
    }
    if takes.total_m2:
        found["area_m2"] = takes.total_m2
        found["tops_per_mm2"] = found["tops"] / (1e6 * takes.total_m2)
    if spec.accuracy is not None:
        x, labels = source.data
        found["accuracy"] = _accuracy(program, x, labels, spec.accuracy.seed)
    return found


def _program(spec: SweepSpec, point: Point, source: Source) -> Program:
    """The point's program; compiled anew only where the point decides about tiles."""
    decided, late = split(spec, point)
    key = (source.key + chip(spec).model_dump_json() * spec.compiles, decided.key)
    if key not in _programs:
        _programs[key] = _compiled(spec, source, decided.fields, decided.options)
        while len(_programs) > KEPT:
            _programs.popitem(last=False)
    _programs.move_to_end(key)
    plan = {name: late.options[name] for name in ("dataflow", "objective") if name in late.options}
    program = what_if(_programs[key], late.fields, **plan)
    if late.options.get("fewer_moves"):
        # chosen last, as compile does: what moves least depends on which tile follows which
        program = Program(fewer_moves(program.body))
    return program


def _compiled(spec: SweepSpec, source: Source, fields: Mapping[str, Any], options: Mapping[str, Any]) -> Program:
    from .. import compile as compile_for

    if spec.compiles:
        return compile_for(source.model, source.example, chip(spec).with_(dict(fields)), **dict(options))
    if fields:
        raise InputError(
            complaint(
                "a .loom file is compiled already",
                got=", ".join(fields),
                allowed=f"any field but {', '.join(DECIDING)}",
                next_step="sweep the model instead",
            )
        )
    return source.model


def _accuracy(program: Program, x: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
    """Share of samples whose largest output is at the label."""
    outputs = program.run(x.float() if x.dtype == torch.float64 else x, seed=seed)
    if not isinstance(outputs, torch.Tensor) or len(outputs) != len(labels):
        raise InputError(
            complaint("accuracy needs one output with a row a sample", got=type(outputs).__name__, where="accuracy")
        )
    return float((outputs.flatten(1).argmax(1) == labels.flatten()).double().mean())
