"""The same program on a better or worse chip, or scheduled in another way, without compiling again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeVar

from .runtime.errors import CompileError, complaint
from .runtime.program import HostStep, ProgramBody, TileBank
from .runtime.scheduling.plan import Dataflow, Objective, Plan
from .runtime.targets import Target
from .runtime.targets.edit import changes_of, field_names, flat
from .runtime.targets.sizing import FIELD as SIZED

DECIDING = (
    "mesh.topology",
    "mesh.ports",
    "mesh.layers",
    "encoding.sign",
    "encoding.scale",
    "detection.kind",
    "detection.adc_range",
)
"""Fields that decide how a model is cut into tiles, how these are programmed, and what their ranges are."""

CHANGEABLE = tuple(
    path
    for part, names in field_names(Target).items()
    if part
    for path in (f"{part}.{name}" for name in names)
    if path not in DECIDING
)
"""All other fields: tables keep 32-bit words, which drivers round, and times, energies and areas are computed from the
target when they are asked for."""


class Compiled(Protocol):
    """A :class:`lightloom.Program`: its body, and made of one."""

    @property
    def body(self) -> ProgramBody: ...


P = TypeVar("P", bound=Compiled)


def what_if(
    program: P,
    changes: Mapping[str, Any] | Target,
    dataflow: Dataflow | Literal["auto"] | None = None,
    objective: Objective | None = None,
) -> P:
    """The program with a changed body: see :func:`changed_body`."""
    make: Any = type(program)
    return make(changed_body(program.body, changes, dataflow, objective))


def changed_body(
    body: ProgramBody,
    changes: Mapping[str, Any] | Target,
    dataflow: Dataflow | Literal["auto"] | None = None,
    objective: Objective | None = None,
) -> ProgramBody:
    """The program on its chip with something changed that tiles do not depend on.

    Equal to compiling again for ``target.with_(changes)``, and immediate: the tables are shared. Settings that
    ``fewer_moves`` chose for the order of tiles on the old chip stay as they are.

    Args:
        body: A compiled program.
        changes: Field of the target -> value, of :data:`CHANGEABLE`: ``{"encoding.dac_bits": 6}`` or
            ``{"encoding": {"dac_bits": 6}}``. Or the target that the program is to have: ``body.target.with_(...)``.
        dataflow, objective: How the changed program is to be scheduled; as it was, where None.

    Raises:
        CompileError: For any other field, for one that the program's overrides set for some layers, and for
            ``encoding.dac_bits`` where static ranges come from a quantizer of the model.
        InputError: An unknown dataflow or objective.
        TargetError: Impossible values, and fields that no target has.
    """
    plan = Plan(dataflow or body.plan.dataflow, objective or body.plan.objective)
    changed = differences(body.target, changes) if isinstance(changes, Target) else dict(flat(changes_of(changes)))
    _check(body, changed)
    target = changes if isinstance(changes, Target) else body.target.with_(changed)
    layers = {name: layer.with_(changed) if changed else layer for name, layer in body.layer_targets.items()}
    banks = {
        name: _at_bits(bank, target if bank.spec.dynamic else layers.get(name, target))
        for name, bank in body.banks.items()
    }
    return replace(body, target=target, plan=plan, layer_targets=layers, banks=banks)


def differences(before: Target, after: Target) -> dict[str, Any]:
    """Fields in which two targets differ, with the values of the second one; the power of a sized laser follows."""
    computed = {SIZED} if after.detection.laser == "sized" else set[str]()
    return {
        f"{part}.{name}": getattr(getattr(after, part), name)
        for part, names in field_names(Target).items()
        if part
        for name in names
        if getattr(getattr(after, part), name) != getattr(getattr(before, part), name)
        and f"{part}.{name}" not in computed
    }


def _check(body: ProgramBody, changes: Mapping[str, Any]) -> None:
    odd = sorted(set(changes) - set(CHANGEABLE))
    if unknown := {path: changes[path] for path in odd if path not in DECIDING}:
        body.target.with_(unknown)  # tells the fields that it does not have, and those closest to them
    if odd:
        raise CompileError(
            complaint(
                "These fields decide how a model is compiled",
                where=body.name,
                got=", ".join(odd),
                allowed=f"any field but {', '.join(DECIDING)}",
                next_step="compile the model for target.with_(...)",
            )
        )
    both = sorted(_overridden(body) & set(changes))
    if both:
        raise CompileError(
            complaint(
                "Overrides of the program set these fields for some of its layers",
                where=body.name,
                got=", ".join(both),
                next_step="compile the model again with other overrides",
            )
        )
    if "encoding.dac_bits" in changes and body.target.encoding.scale == "static" and _quantized(body):
        raise CompileError(
            complaint(
                "The static ranges of this program may come from the model's own quantizers, which fit them to the DAC",
                where=body.name,
                got="encoding.dac_bits",
                next_step="compile the model for target.with_(...)",
            )
        )


def _overridden(body: ProgramBody) -> set[str]:
    """Fields that some override names, or in which a layer's target differs from the chip's."""
    found = {field for layer in body.layer_targets.values() for field in differences(body.target, layer)}
    asked = body.provenance.get("overrides", {})
    for changes in asked.values() if isinstance(asked, Mapping) else ():
        found.update(changes if isinstance(changes, Mapping) else ())
    return found


def _quantized(body: ProgramBody) -> bool:
    """Whether quantizers of the model are among the ops on the host."""
    return any("quantize" in step.op for step in body.steps if isinstance(step, HostStep))


def _at_bits(bank: TileBank, target: Target) -> TileBank:
    """The bank, its settings rounded to the bits of its target's drivers."""
    bits = {"phase_bits": target.mesh.phase_bits, "attenuator_bits": target.mesh.attenuator_bits}
    return TileBank(replace(bank.spec, **bits), bank.columns)
