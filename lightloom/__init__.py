"""lightloom: neural networks compiled to tile programs for photonic chips, and simulated.

import lightloom as ll
program = ll.compile(model, example_inputs, target="mzi64")
y = program(x)
print(program.explain(), program.report(), sep="\\n")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .attached import maker
from .runtime import forms
from .runtime.errors import (
    ArtefactError,
    CaptureError,
    CompileError,
    DeviceError,
    InputError,
    LightloomError,
    LightloomWarning,
    TargetError,
    VerifyError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike
    from typing import Literal, TextIO

    from onnx import ModelProto
    from torch import nn
    from torch.export import ExportedProgram

    from . import devices
    from .compiler import frontend
    from .compiler.ir import Graph
    from .compiler.pipeline import Progress
    from .program import Program, load
    from .runtime import targets
    from .runtime.scheduling.plan import Dataflow, Objective, Plan
    from .runtime.targets import Target

__version__ = "0.1.0"
forms.attach(maker)

_ON_FIRST_USE = {
    "Plan": (".runtime.scheduling.plan", "Plan"),
    "Program": (".program", "Program"),
    "Target": (".runtime.targets", "Target"),
    "devices": (".devices", ""),
    "frontend": (".compiler.frontend", ""),
    "load": (".program", "load"),
    "targets": (".runtime.targets", ""),
}
"""Public names whose modules bring pydantic or torch along: the module, and the name in it ("": the module itself)."""


def __getattr__(name: str) -> Any:
    """Import on first use, so that importing lightloom costs next to nothing."""
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place, attribute = _ON_FIRST_USE[name]
    module = import_module(place, __name__)
    globals()[name] = found = getattr(module, attribute) if attribute else module
    return found


def __dir__() -> list[str]:
    return sorted(__all__)


def compile(
    model: nn.Module | ExportedProgram | ModelProto | str | PathLike[str] | bytes,
    example_inputs: object = None,
    target: str | PathLike[str] | Target = "mzi64",
    *,
    exclude: str | Sequence[str] = (),
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    calibration: Iterable[object] | None = None,
    strict: bool = False,
    mesh_tolerance: float | None = 1e-8,
    pack: bool = True,
    fewer_moves: bool = False,
    dynamic_matmul: Literal["host", "photonic"] = "host",
    dataflow: Dataflow | Literal["auto"] = "auto",
    objective: Objective = "latency",
    print_ir_after_all: bool | TextIO = False,
    progress: Progress | None = None,
    dynamic_shapes: object = None,
) -> Program:
    """Compile a model to a program for a photonic chip.

    Args:
        model: A ``torch.nn.Module`` in eval mode (TorchScript as well), a ``torch.export.ExportedProgram``, or an ONNX
            model: the path of a file, its bytes, or an ``onnx.ModelProto``.
        example_inputs: A tensor, a tuple of inputs, or a dict of keyword inputs, first dimension the batch; real
            values are not needed. None, numbers and text among them are compiled in. An ONNX model needs none where
            its file leaves no size open but the batch.
        target: Name of a preset (``ll.targets.list()``), path of a TOML file, or a :class:`Target`.
        exclude: Globs of layer paths to leave on the host (``"layer1.*"``).
        overrides: Per glob, target fields to change for those layers
            (``{"fc": {"encoding.dac_bits": 6}}``); of encoding, detection, phase and attenuator bits.
        calibration: Inputs (tensors or tuples of tensors) to take ranges from, where the target's are static.
        strict: Raise if any op that multiplies and accumulates has to stay on the host.
        mesh_tolerance: For mesh families whose phases are searched for (fldzhyan, butterfly, ...): the largest error of
            an element of a mesh's unitary that is accepted; None takes the best found, and warns.
        pack: Let the small groups of grouped and depthwise convolutions share tiles. Intensity detection never packs:
            the shift that it needs would light the empty cells.
        dynamic_matmul: ``photonic`` runs products of two computed values (the two of an attention) on tiles that are
            factorised and programmed anew for every sample, and warns what that costs.
        fewer_moves: Of all settings that do the same, take those that move the phases least from tile to tile
            (meshes in the real gauge).
        dataflow: What stays while the rest changes: ``weight`` (a tile, while vectors stream), ``output`` (sums, in a
            core's accumulators), ``input`` (vectors, in a core's input buffer), or ``auto``, the best for each layer.
        objective: What ``auto`` minimises: ``latency``, ``energy`` or their product ``edp``, of one run.
        print_ir_after_all: Print the IR after every pass, to standard error or the given stream.
        progress: Called with (pass, done, total).
        dynamic_shapes: Sizes besides the batch that may vary: ``{"input_ids": {1: "length"}}``, by parameter name, or
            as ``torch.export`` takes them. Programs then take other sizes, and refuse those that the model cannot.

    Returns:
        The program.

    Raises:
        CaptureError: The model cannot be traced, or is in training mode.
        CompileError: Weights no mesh can hold, a glob that matches nothing, nothing for the chip, strictness.
        TargetError: An unknown preset or an impossible chip.
    """
    from .compiler.passes import Options
    from .compiler.pipeline import compile_model
    from .program import Program
    from .runtime import targets
    from .runtime.scheduling.plan import Plan

    options = Options(
        (exclude,) if isinstance(exclude, str) else exclude,
        {} if overrides is None else overrides,
        strict,
        mesh_tolerance=mesh_tolerance,
        pack=pack,
        fewer_moves=fewer_moves,
        dynamic_matmul=dynamic_matmul,
        plan=Plan(dataflow, objective),
    )
    result = compile_model(
        model,
        example_inputs,
        targets.get(target),
        options=options,
        calibration=calibration,
        print_ir_after_all=print_ir_after_all,
        progress=progress,
        dynamic_shapes=dynamic_shapes,
    )
    if result.body is None:
        raise CompileError("The compiler stopped before it made a program.")
    return Program(result.body, result.pass_s)


def lower(
    model: nn.Module | ExportedProgram | ModelProto | str | PathLike[str] | bytes,
    example_inputs: object = None,
    target: str | PathLike[str] | Target = "mzi64",
    *,
    stop_after: str,
    exclude: str | Sequence[str] = (),
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    strict: bool = False,
    mesh_tolerance: float | None = 1e-8,
    pack: bool = True,
    fewer_moves: bool = False,
    dynamic_matmul: Literal["host", "photonic"] = "host",
    print_ir_after_all: bool | TextIO = False,
    dynamic_shapes: object = None,
) -> Graph:
    """Compile up to a pass and return the graph there.

    Args:
        stop_after: Name of a pass (``lightloom.compiler.passes.NAMES``); the rest as for :func:`compile`.

    Raises:
        CompileError: An unknown pass, and all that :func:`compile` raises.
    """
    from .compiler.passes import Options
    from .compiler.pipeline import compile_model
    from .runtime import targets

    options = Options(
        (exclude,) if isinstance(exclude, str) else exclude,
        {} if overrides is None else overrides,
        strict,
        mesh_tolerance=mesh_tolerance,
        pack=pack,
        fewer_moves=fewer_moves,
        dynamic_matmul=dynamic_matmul,
    )
    result = compile_model(
        model,
        example_inputs,
        targets.get(target),
        options=options,
        stop_after=stop_after,
        print_ir_after_all=print_ir_after_all,
        dynamic_shapes=dynamic_shapes,
    )
    return result.graph


__all__ = [
    "ArtefactError",
    "CaptureError",
    "CompileError",
    "DeviceError",
    "InputError",
    "LightloomError",
    "LightloomWarning",
    "Plan",
    "Program",
    "Target",
    "TargetError",
    "VerifyError",
    "__version__",
    "compile",
    "devices",
    "frontend",
    "load",
    "lower",
    "targets",
]
