"""Loading a program: strict, mapped into memory, and without running anything from the file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from ..errors import ArtefactError, TargetError, complaint
from ..files import as_path
from ..program import (
    BankSpec,
    HostStep,
    InputSpec,
    MatrixStep,
    Parameter,
    ProductStep,
    ProgramBody,
    RecurrentStep,
    Step,
    StepCost,
    TileBank,
)
from ..scheduling.plan import Plan
from ..targets.schema import Target
from ..values import DTYPES, TupleType
from .check import check_body
from .codec import (
    decode_arg,
    decode_geometry,
    decode_plain,
    decode_tensor_type,
    decode_type,
    fault,
    shorten,
)
from .container import MANIFEST, TENSORS, find_members, map_file, read_manifest
from .manifest import (
    BankEntry,
    ConstantEntry,
    HostEntry,
    Manifest,
    MatrixEntry,
    ProductEntry,
    RecurrentEntry,
    parse_manifest,
)
from .tensors import RAW, read_tensors


def load(path: str | os.PathLike[str]) -> ProgramBody:
    """Read a program from a ``.loom`` file.

    Tensors are views on the mapped file: bank columns as read-only numpy arrays, constants as torch
    tensors (private to the process; writing to them never reaches the file). Every checksum, number,
    reference and op is verified before anything is returned.

    Raises:
        ArtefactError: if the file is missing, truncated, damaged, of another version, or holds
            anything that a compiler would not have written.
    """
    place = as_path(path, ArtefactError)
    data = map_file(place)
    members = find_members(data, place)
    manifest = parse_manifest(read_manifest(data, members[MANIFEST], place), str(place))
    expected = {name: (entry.dtype, tuple(entry.shape), entry.sha256) for name, entry in manifest.tensors.items()}
    arrays = read_tensors(data, members[TENSORS], expected, place)
    body = _body(manifest, arrays, str(place))
    check_body(body, where=str(place))
    return body


def _body(manifest: Manifest, arrays: dict[str, np.ndarray], where: str) -> ProgramBody:
    pool = dict(arrays)
    constants: dict[str, torch.Tensor] = {}
    for constant in manifest.constants:
        if constant.name in constants:
            raise fault("A constant is listed twice", where, constant.name)
        constants[constant.name] = _constant(constant, _take(pool, constant.tensor, where), manifest, where)
    banks: dict[str, TileBank] = {}
    for entry in manifest.banks:
        if entry.name in banks:
            raise fault("A bank is listed twice", where, entry.name)
        banks[entry.name] = _bank(entry, pool, where)
    if pool:
        raise fault("A tensor belongs to nothing", where, next(iter(pool)))
    return ProgramBody(
        name=manifest.name,
        target=_target(manifest.target, where),
        inputs=tuple(
            InputSpec(entry.name, decode_tensor_type(entry.type, f"input {entry.name}")) for entry in manifest.inputs
        ),
        constants=constants,
        steps=tuple(_step(entry) for entry in manifest.steps),
        outputs=tuple(decode_arg(arg, "outputs") for arg in manifest.outputs),
        structure=decode_plain(manifest.structure, "structure"),
        banks=banks,
        costs={name: StepCost(cost.macs, cost.vectors, cost.elements) for name, cost in manifest.costs.items()},
        example_batch=manifest.example_batch,
        layer_targets={name: _target(target, f"target of {name}") for name, target in manifest.layer_targets.items()},
        ir=dict(manifest.ir),
        provenance=decode_plain(manifest.provenance, "provenance"),
        plan=Plan(manifest.plan.dataflow, manifest.plan.objective),
        ranges={symbol: (entry.low, entry.high) for symbol, entry in manifest.ranges.items()},
        parameters=tuple(
            Parameter(entry.name, decode_plain(entry.tree, f"parameter {entry.name}")) for entry in manifest.parameters
        ),
    )


def _take(pool: dict[str, np.ndarray], name: str, where: str) -> np.ndarray:
    """Remove a tensor from the pool, so that none is used twice and none is left over."""
    if name not in pool:
        raise fault("A tensor is missing or used twice", where, name)
    return pool.pop(name)


def _constant(entry: ConstantEntry, array: np.ndarray, manifest: Manifest, where: str) -> torch.Tensor:
    dtype = DTYPES.get(entry.dtype)
    if dtype is None:
        raise fault("A constant has an unknown dtype", where, entry.dtype, ", ".join(DTYPES))
    tensor = torch.from_numpy(array)
    stored = manifest.tensors[entry.tensor].dtype
    if stored in RAW:
        tensor = tensor.view(RAW[stored])
    if dtype.is_complex and tensor.dim() and tensor.shape[-1] == 2 and tensor.dtype in _REAL:
        tensor = torch.view_as_complex(tensor)
    if tensor.dtype != dtype:
        raise fault("A constant and its tensor differ in dtype", f"constant {entry.name}", entry.dtype)
    return tensor


_REAL = (torch.float16, torch.float32, torch.float64)


def _bank(entry: BankEntry, pool: dict[str, np.ndarray], where: str) -> TileBank:
    spec = BankSpec(
        name=entry.name,
        topology=entry.topology,
        ports=entry.ports,
        groups=entry.groups,
        rows=entry.rows,
        cols=entry.cols,
        tiles=entry.tiles,
        phase_bits=entry.phase_bits,
        attenuator_bits=entry.attenuator_bits,
        blocks=entry.blocks,
        layers=entry.layers,
        dynamic=entry.dynamic,
    )
    columns: dict[str, np.ndarray] = {}
    for column, name in entry.columns.items():
        columns[column] = _take(pool, name, where)
        columns[column].flags.writeable = False
    return TileBank(spec, columns)


def _step(entry: HostEntry | MatrixEntry | RecurrentEntry | ProductEntry) -> Step:
    where = f"step {shorten(entry.name)}"
    if isinstance(entry, HostEntry):
        return HostStep(
            name=entry.name,
            op=entry.op,
            args=tuple(decode_arg(arg, where) for arg in entry.args),
            kwargs=tuple((_key(pair[0], where), decode_arg(pair[1], where)) for pair in entry.kwargs),
            type=decode_type(entry.type, where),
            path=entry.path,
            reason=entry.reason,
        )
    if isinstance(entry, RecurrentEntry):
        kind = decode_type(entry.type, where)
        if not isinstance(kind, TupleType):
            raise fault("A recurrent step yields several values", where, entry.type)
        return RecurrentStep(
            name=entry.name,
            kind=entry.cell,
            bank=entry.bank,
            projection=entry.projection,
            input=entry.input,
            states=tuple(entry.states),
            bias=entry.bias,
            reverse=entry.reverse,
            type=kind,
            path=entry.path,
            reason=entry.reason,
        )
    if isinstance(entry, ProductEntry):
        kind = decode_tensor_type(entry.type, where)
        return ProductStep(entry.name, entry.bank, entry.left, entry.right, kind, entry.path, entry.reason)
    return MatrixStep(
        name=entry.name,
        bank=entry.bank,
        input=entry.input,
        geometry=decode_geometry(entry.geometry, where),
        bias=entry.bias,
        type=decode_tensor_type(entry.type, where),
        path=entry.path,
        reason=entry.reason,
    )


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str) or not key.isidentifier():
        raise fault("The name of an argument is no identifier", where, key)
    return key


def _target(data: dict[str, Any], where: str) -> Target:
    try:
        return Target.model_validate(decode_plain(data, "target"), strict=True)
    except (ValidationError, TargetError) as error:
        if isinstance(error, ValidationError):
            faults = error.errors(include_url=False, include_input=False)[:3]
            found = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults)
        else:
            found = str(error)
        raise ArtefactError(
            complaint(
                "The chip description breaks its schema",
                where=where,
                got=shorten(found, 300),
                next_step="compile and save the model again",
            )
        ) from error
