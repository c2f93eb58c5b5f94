"""Is this a program that a chip and its host can run? Every rule a loaded program must keep.

Run on every load and before every save. It trusts nothing: names resolve to earlier values, host ops
are on the allow-list, and every column of every bank has the shape, dtype and range its spec implies.
"""

from __future__ import annotations

import torch

from ..errors import ArtefactError, LightloomError, complaint
from ..hostops import is_allowed, resolve
from ..program import Conv2dGeometry, HostStep, MatrixStep, ProductStep, ProgramBody, RecurrentStep
from ..values import DTYPES, Arg, references
from .check_bank import check_bank
from .check_recurrent import check_recurrent
from .check_tree import check_structures
from .codec import fault, shorten

MAX_NAME = 512


def check_body(body: ProgramBody, *, where: str) -> None:
    """Verify a program from its inputs to its outputs.

    Args:
        body: the program.
        where: what to call it in messages: a file, or the model's name.

    Raises:
        ArtefactError: with the first fault found, where it is, and what would be allowed.
    """
    for symbol, (low, high) in body.ranges.items():
        if not symbol.isidentifier() or (high is not None and high < low):
            raise fault("The range of a size is impossible", where, (symbol, low, high), "a symbol, low <= high")
    if body.example_batch < 1:
        raise fault("The example batch is impossible", where, body.example_batch, "1 or more")
    known = _check_names(body, where)
    for name, bank in body.banks.items():
        check_bank(name, bank, body.target_for(name), where)
    for name, target in body.layer_targets.items():
        if name not in body.banks:
            raise fault("A layer's target is for a bank that does not exist", where, name, shorten(list(body.banks)))
        shapes = [(chip.mesh.topology, chip.mesh.ports, chip.mesh.layers) for chip in (target, body.target)]
        if shapes[0] != shapes[1]:
            raise fault("A layer's target has another mesh than the chip", where, name, "the chip's mesh")
    for name, tensor in body.constants.items():
        if tensor.layout != torch.strided or tensor.dtype not in DTYPES.values():
            raise fault("A constant is no plain tensor", f"{where}, constant {name}", tensor.dtype, ", ".join(DTYPES))
    for step in body.steps:
        place = f"{where}, step {shorten(step.name)}"
        if isinstance(step, HostStep):
            _check_op(step, place)
            _check_refs((step.args, tuple(arg for _, arg in step.kwargs)), known, place)
        elif isinstance(step, RecurrentStep):
            check_recurrent(step, body, known, place)
        elif isinstance(step, ProductStep):
            _check_product(step, body, known, place)
        else:
            _check_matrix_step(step, body, known, place)
        known.add(step.name)
    _check_refs(body.outputs, known, f"{where}, outputs")
    check_structures(body, where)
    names = {step.name for step in body.steps}
    if set(body.costs) != names:
        odd = sorted(set(body.costs) ^ names)
        raise fault("Costs and steps disagree", where, odd[:3], "one cost for every step")


def _check_names(body: ProgramBody, where: str) -> set[str]:
    """Names are unique and readable; returns those known before the first step."""
    before = [spec.name for spec in body.inputs] + list(body.constants)
    everything = before + [step.name for step in body.steps]
    if len(set(everything)) != len(everything):
        seen: set[str] = set()
        twice = next(name for name in everything if name in seen or seen.add(name))
        raise fault("Two values have the same name", where, twice)
    for name in [*everything, *body.banks]:
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise fault("A name is impossible", where, name, f"1 to {MAX_NAME} printable characters")
    return set(before)


def _check_op(step: HostStep, place: str) -> None:
    if not is_allowed(step.op):
        raise fault("A host op is not on the allow-list", place, step.op, "the ops of runtime/hostops.py")
    try:
        resolve(step.op)
    except LightloomError as error:
        raise ArtefactError(complaint("A host op cannot run here", where=place, got=str(error))) from error


def _check_refs(arg: Arg, known: set[str], place: str) -> None:
    for name in references(arg):
        if name not in known:
            raise fault("A reference to a value that does not exist yet", place, name)


def _check_matrix_step(step: MatrixStep, body: ProgramBody, known: set[str], place: str) -> None:
    bank = body.banks.get(step.bank)
    if bank is None:
        raise fault("The step's bank does not exist", place, step.bank, shorten(list(body.banks)))
    if bank.spec.dynamic:
        raise fault("A bank without weights of its own", place, step.bank, "a bank that holds a matrix")
    if step.input not in known:
        raise fault("A reference to a value that does not exist yet", place, step.input)
    spec = bank.spec
    if step.bias is not None:
        bias = body.constants.get(step.bias)
        if bias is None or tuple(bias.shape) != (spec.groups * spec.rows,):
            got = step.bias if bias is None else tuple(bias.shape)
            raise fault("The bias does not fit the bank", place, got, f"({spec.groups * spec.rows},)")
    geometry = step.geometry
    groups, cols = 1, spec.cols
    if isinstance(geometry, Conv2dGeometry):
        groups = geometry.groups
        cols = geometry.channels // groups * geometry.kernel[0] * geometry.kernel[1]
        if geometry.channels % (groups * spec.blocks):
            raise fault("The channels cannot be cut into groups", place, geometry)
    elif spec.blocks > 1:
        raise fault("Only convolutions are packed", place, f"{spec.blocks} blocks", "1")
    if (groups, cols) != (spec.groups, spec.cols):
        raise fault("The step's geometry does not fit its bank", place, (groups, cols), f"{(spec.groups, spec.cols)}")


def _check_product(step: ProductStep, body: ProgramBody, known: set[str], place: str) -> None:
    bank = body.banks.get(step.bank)
    if bank is None or not bank.spec.dynamic:
        raise fault("The step's bank does not exist or holds weights", place, step.bank, "a dynamic bank")
    for name in (step.left, step.right):
        if name not in known:
            raise fault("A reference to a value that does not exist yet", place, name)
    if body.target_for(step.bank).encoding.scale == "static":
        raise fault("A product of computed values under a static range", place, step.bank, "encoding.scale per_vector")
    shape = step.type.shape
    if len(shape) < 2 or shape[-1] != bank.spec.rows:
        raise fault("The result does not fit the bank", place, shape, f"(..., {bank.spec.rows})")
