"""The manifest: ``manifest.json`` of a ``.loom`` file, as a strict schema, to and from a program.

Written by hand it would look like the :class:`Manifest` below; tensors are named here with their
dtype, shape and SHA-256 and stored in the other member.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ArtefactError, complaint
from .codec import shorten

FORMAT = "lightloom.loom"
SCHEMA = 1
"""Version of the file format; a file of another version is refused, never guessed at."""

Name = Annotated[str, Field(min_length=1, max_length=512)]
Bits = Annotated[int, Field(ge=1, le=32)] | None
Count = Annotated[int, Field(ge=0, lt=2**62)]
Size = Annotated[int, Field(ge=1, lt=2**31)]


class Entry(BaseModel):
    """Base of the manifest's parts: immutable, nothing coerced, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TensorEntry(Entry):
    """A tensor of the other member."""

    dtype: str
    shape: Annotated[list[Count], Field(max_length=32)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PlanEntry(Entry):
    """How the program is to be scheduled: see :class:`lightloom.runtime.scheduling.plan.Plan`."""

    dataflow: Literal["auto", "weight", "output", "input"] = "auto"
    objective: Literal["latency", "energy", "edp"] = "latency"


class InputEntry(Entry):
    """An input: see :class:`lightloom.runtime.program.InputSpec`."""

    name: Name
    type: dict[str, Any]


class ParameterEntry(Entry):
    """A parameter: see :class:`lightloom.runtime.program.Parameter`."""

    name: Name
    tree: dict[str, Any]


class ConstantEntry(Entry):
    """A constant: the tensor that holds it, and its dtype (complex is stored as pairs of reals)."""

    name: Name
    dtype: str
    tensor: str


class HostEntry(Entry):
    """A host step: see :class:`lightloom.runtime.program.HostStep`."""

    kind: Literal["host"] = "host"
    name: Name
    op: Name
    args: list[Any]
    kwargs: list[Annotated[list[Any], Field(min_length=2, max_length=2)]]
    type: dict[str, Any]
    path: str
    reason: str


class MatrixEntry(Entry):
    """A matrix step: see :class:`lightloom.runtime.program.MatrixStep`."""

    kind: Literal["matrix"] = "matrix"
    name: Name
    bank: Name
    input: Name
    geometry: dict[str, Any] | None
    bias: Name | None
    type: dict[str, Any]
    path: str
    reason: str


class ProductEntry(Entry):
    """A product of two computed values: see :class:`lightloom.runtime.program.ProductStep`."""

    kind: Literal["product"] = "product"
    name: Name
    bank: Name
    left: Name
    right: Name
    type: dict[str, Any]
    path: str
    reason: str


class RecurrentEntry(Entry):
    """A loop over time: see :class:`lightloom.runtime.program.RecurrentStep`; ``cell`` is its kind."""

    kind: Literal["recurrent"] = "recurrent"
    name: Name
    cell: Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]
    bank: Name
    projection: Name | None
    input: Name
    states: Annotated[list[Name], Field(min_length=1, max_length=2)]
    bias: Name | None
    reverse: bool
    type: dict[str, Any]
    path: str
    reason: str


class BankEntry(Entry):
    """A bank: its spec, and the tensor that holds each column."""

    name: Name
    topology: Name
    ports: Annotated[int, Field(ge=1, le=4096)]
    groups: Size
    rows: Size
    cols: Size
    tiles: Count
    phase_bits: Bits
    attenuator_bits: Bits
    blocks: Size = 1
    layers: Annotated[int, Field(ge=1, le=1 << 16)] | None = None
    dynamic: bool = False
    columns: dict[str, str]


class CostEntry(Entry):
    """What a step asks for: see :class:`lightloom.runtime.program.StepCost`."""

    macs: Count
    vectors: Count
    elements: Count


class RangeEntry(Entry):
    """The values that a symbolic size may have; ``high`` None: no limit."""

    low: Count
    high: Count | None


class Manifest(Entry):
    """Everything but the tensors' bytes."""

    format: Literal["lightloom.loom"]
    schema_version: Literal[1]
    name: str
    target: dict[str, Any]
    layer_targets: dict[str, dict[str, Any]]
    example_batch: Annotated[int, Field(ge=1, lt=2**31)]
    inputs: list[InputEntry]
    constants: list[ConstantEntry]
    steps: list[Annotated[HostEntry | MatrixEntry | ProductEntry | RecurrentEntry, Field(discriminator="kind")]]
    outputs: list[Any]
    structure: Any
    banks: list[BankEntry]
    costs: dict[str, CostEntry]
    ir: dict[str, str]
    provenance: dict[str, Any]
    ranges: dict[Name, RangeEntry] = {}
    plan: PlanEntry = PlanEntry()
    parameters: list[ParameterEntry] = []
    tensors: dict[str, TensorEntry]


def write_manifest(fields: dict[str, Any]) -> bytes:
    """The manifest's bytes, after the same validation that reading does.

    Raises:
        ArtefactError: if the fields break the schema or hold text that is no Unicode.
    """
    manifest = _validate({"format": FORMAT, "schema_version": SCHEMA, **fields}, "the program to save")
    try:
        text = json.dumps(manifest.model_dump(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except (ValueError, RecursionError) as error:
        raise ArtefactError(complaint("The program holds a value that cannot be stored", got=str(error))) from error


def parse_manifest(text: bytes, where: str) -> Manifest:
    """The manifest of these bytes. Raises ArtefactError for other versions and for any fault."""
    try:
        decoded = text.decode()
        if _LONE_SURROGATE.search(decoded):
            raise ValueError("escaped surrogates")
        data = json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ArtefactError(
            complaint(
                "The manifest is no valid JSON",
                where=where,
                got=shorten(str(error)),
                next_step="compile and save the model again",
            )
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ArtefactError(complaint("Not a lightloom program", where=where, next_step="check the path"))
    version = data.get("schema_version")
    if version != SCHEMA or type(version) is not int:
        raise ArtefactError(
            complaint(
                "The file has another schema version",
                where=where,
                got=shorten(version),
                allowed=str(SCHEMA),
                next_step="load it with the lightloom that saved it, or compile the model again",
            )
        )
    return _validate(data, where)


_LONE_SURROGATE = re.compile(r"(?<!\\)(?:\\\\)*\\u[dD][89a-fA-F]")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a repeated key")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"the bare word {text}")


def _validate(data: dict[str, Any], where: str) -> Manifest:
    try:
        return Manifest.model_validate(data)
    except (ValidationError, RecursionError) as error:
        found = str(error)
        if isinstance(error, ValidationError):
            faults = error.errors(include_url=False, include_input=False)[:3]
            found = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults)
        raise ArtefactError(
            complaint(
                "The manifest breaks its schema",
                where=where,
                got=shorten(found, 300),
                next_step="compile and save the model again",
            )
        ) from error
