"""What a compile asks for and cannot have, told before work is done; and what it costs, told after."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from ..runtime.errors import CompileError, LightloomWarning, TargetError, complaint
from ..runtime.program import ProductStep, ProgramBody
from ..runtime.report.tables import si
from ..runtime.scheduling.latency import configure_s, host_s
from ..runtime.scheduling.options import fixed
from ..runtime.targets import Target
from .ir import Graph
from .passes import Options
from .passes.input_ranges import bank_ranges

_OVERRIDABLE = ("encoding.", "detection.", "mesh.phase_bits", "mesh.attenuator_bits")


def check_options(options: Options, target: Target) -> None:
    """Raise CompileError for options that are impossible, by themselves or on this target."""
    if options.dynamic_matmul not in ("host", "photonic"):
        raise CompileError(
            complaint("unknown place for dynamic products", where="dynamic_matmul", got=repr(options.dynamic_matmul),
                      allowed="'host' or 'photonic'")
        )  # fmt: skip
    if options.dynamic_matmul == "photonic" and target.encoding.scale == "static":
        raise CompileError(
            complaint(
                "dynamic products have no static range to encode with",
                where="dynamic_matmul",
                got=f"target {target.name} with encoding.scale = 'static'",
                next_step="take encoding.scale = 'per_vector', or dynamic_matmul='host'",
            )
        )


def check_calibration(target: Target, options: Options, calibration: Iterable[object] | None) -> None:
    """Static ranges need data, and data needs something static to set."""
    targets = [target, *(layer_target(target, changes, glob) for glob, changes in options.overrides.items())]
    static = [
        name
        for name, needed in (
            ("encoding.scale = 'static'", any(t.encoding.scale == "static" for t in targets)),
            (
                "detection.adc_range = 'calibrated'",
                any(t.detection.adc_range == "calibrated" for t in targets),
            ),
        )
        if needed
    ]
    if len(static) > ("encoding.scale = 'static'" in static) and calibration is None:
        raise _no_data(target, ", ".join(static))
    if calibration is not None and not static:
        raise CompileError(
            complaint(
                f"target {target.name} has no range that calibration could set",
                got="calibration=",
                allowed="encoding.scale = 'static' or detection.adc_range = 'calibrated'",
                next_step="leave calibration= out, or use target.with_({'detection.adc_range': 'calibrated'})",
            )
        )


def check_ranges(graph: Graph, target: Target, layer_targets: Mapping[str, Target]) -> None:
    """Without calibration data, static scales must all come from the model's own quantizers."""
    known = bank_ranges(graph)
    static = {name for name in graph.tables if layer_targets.get(name, target).encoding.scale == "static"}
    missing = [name for name in graph.tables if name in static - set(known)]
    if missing:
        some = f" of {', '.join(missing[:6])}{', ...' if len(missing) > 6 else ''}" if known else ""
        raise _no_data(target, f"encoding.scale = 'static'{some}")


def _no_data(target: Target, where: str) -> CompileError:
    return CompileError(
        complaint(
            f"target {target.name} takes its ranges from calibration data",
            where=where,
            got="no calibration=",
            next_step="pass calibration= an iterable of inputs, or a target with adaptive scales",
        )
    )


def layer_target(target: Target, changes: Mapping[str, Any], glob: str) -> Target:
    for name in changes:
        if not name.startswith(_OVERRIDABLE):
            raise CompileError(
                complaint(
                    "a field that cannot differ from layer to layer",
                    where=f"overrides[{glob!r}]",
                    got=name,
                    allowed="encoding.*, detection.*, mesh.phase_bits, mesh.attenuator_bits",
                )
            )
    try:
        return target.with_(dict(changes))
    except TargetError as error:
        raise TargetError(f"overrides[{glob!r}]: {error}") from error


def check_plan(body: ProgramBody) -> None:
    """Raise TargetError for a dataflow that the memories beside the cores are too small for, at one layer's vector."""
    if body.plan.dataflow != "auto":
        for step in body.matrix_steps:
            fixed(body, step, body.plan.dataflow, body.example_batch)


def tell_dynamic(body: ProgramBody) -> None:
    """Say what products of two computed values cost on the chip: it is rarely what one hopes for."""
    steps = [step for step in body.steps if isinstance(step, ProductStep)]
    if not steps:
        return
    tiles = sum(body.banks[step.bank].spec.tiles for step in steps)
    each, cores = configure_s(body).later_s, body.target.mesh.cores
    factors = sum(body.costs[step.name].elements for step in steps)
    macs = sum(body.costs[step.name].macs for step in steps)
    warnings.warn(
        f"dynamic_matmul='photonic': {len(steps)} product(s) program {tiles} tiles anew for every sample. On {cores} "
        f"core(s) that is {si(-(-tiles // cores) * each, 's')} of reconfiguring and "
        f"{si(host_s(body.target, 0, factors), 's')} of factorising on the host, for {si(macs, 'MACs', 3)} that the "
        f"host itself would do in {si(host_s(body.target, macs, 0), 's')}.",
        LightloomWarning,
        stacklevel=5,
    )
