"""Nodes against the schemas of the onnx package: number of inputs and outputs, attributes and their types."""

from __future__ import annotations

from functools import cache
from typing import Any

from onnx import AttributeProto, NodeProto, defs

from ....runtime.errors import CaptureError, LightloomError, complaint
from .contrib import DOMAIN, check_attributes

_SWITCHES = frozenset(
    [
        "align_corners",
        "allowzero",
        "ceil_mode",
        "count_include_pad",
        "exclusive",
        "fmod",
        "inverse",
        "is_causal",
        "keepdims",
        "largest",
        "linear_before_reset",
        "onesided",
        "periodic",
        "reverse",
        "saturate",
        "select_last_index",
        "sorted",
        "transA",
        "transB",
        "upper",
    ]
)
"""Attributes that are 0 or 1: what another number means, runtimes do not agree on."""


@cache
def schema_of(op: str, domain: str, opset: int) -> defs.OpSchema | None:
    """The schema of an operator in an opset, or None where the onnx package has none."""
    try:
        return defs.get_schema(op, opset, domain)
    except defs.SchemaError:
        return None


def has_function(schema: defs.OpSchema) -> bool:
    """Whether ONNX defines the operator by a body that needs no types."""
    return bool(getattr(schema, "has_function", False))


def check_node(node: NodeProto, schema: defs.OpSchema | None, where: str) -> None:
    """Check what a schema says about a node.

    Raises:
        CaptureError: wrong number of inputs or outputs; an attribute missing, unknown, given twice or of a wrong type.
    """
    given: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for attribute in node.attribute:
        if attribute.name in given:
            raise CaptureError(complaint("an attribute is given twice", where=where, got=repr(attribute.name)))
        given[attribute.name] = attribute.type
        numbers[attribute.name] = attribute.i
        if attribute.ref_attr_name:
            raise CaptureError(
                complaint("an attribute refers to a function's, outside any function", where=where, got=attribute.name)
            )
    if schema is None:
        if node.domain == DOMAIN:
            check_attributes(node, where)
        return
    for what, count, low, high in (
        ("inputs", len(node.input), schema.min_input, schema.max_input),
        ("outputs", len(node.output), schema.min_output, schema.max_output),
    ):
        if not low <= count <= high:
            limits = f"{low} to {high}" if low != high else f"{low}"
            raise CaptureError(complaint(f"wrong number of {what}", where=where, got=count, allowed=limits))
    for position, name in enumerate(node.input):
        spec = schema.inputs[min(position, len(schema.inputs) - 1)] if schema.inputs else None
        if not name and spec is not None and spec.option == defs.OpSchema.FormalParameterOption.Single:
            raise CaptureError(
                complaint("a required input is missing", where=where, got=f"input {position} ({spec.name})")
            )
    for name, kind in given.items():
        spec = schema.attributes.get(name)
        if spec is None:
            # Exporters leave attributes of older opsets behind; an operator that reads none of them is not harmed,
            # but one whose meaning they would change is.
            raise CaptureError(
                complaint(
                    "an attribute is unknown to the operator",
                    where=where,
                    got=repr(name),
                    allowed=", ".join(sorted(schema.attributes)) or "no attributes",
                    next_step="export the model again for the opset it declares",
                )
            )
        if name in _SWITCHES and spec.type == defs.OpSchema.AttrType.INT and numbers[name] not in (0, 1):
            got = f"{name} = {numbers[name]}"
            raise CaptureError(complaint("a switch is neither on nor off", where=where, got=got, allowed="0 or 1"))
        wanted: Any = spec.type
        if int(wanted) != kind and kind != AttributeProto.UNDEFINED:
            raise CaptureError(
                complaint(
                    "an attribute has the wrong type",
                    where=where,
                    got=f"{name!r} as {AttributeProto.AttributeType.Name(kind)}",
                    allowed=str(wanted.name),
                )
            )
    for name, spec in schema.attributes.items():
        if spec.required and name not in given:
            raise CaptureError(complaint("a required attribute is missing", where=where, got=repr(name)))


@cache
def is_newer(domain: str, op: str, opset: int) -> bool:
    """Whether an operator exists, but only in opsets above this one."""
    history = defs.get_all_schemas_with_history()
    versions = [schema.since_version for schema in history if (schema.domain, schema.name) == (domain, op)]
    return bool(versions) and min(versions) > opset


def unknown(node: NodeProto, domain: str, opset: int, where: str) -> LightloomError:
    """The error for an operator that nothing can execute."""
    schemas = defs.get_all_schemas_with_history()
    if domain and domain not in {schema.domain for schema in schemas} | {"com.microsoft"}:
        return CaptureError(
            complaint(
                "an operator's domain is unknown",
                where=where,
                got=domain,
                allowed="ai.onnx, ai.onnx.ml, ai.onnx.preview, com.microsoft, and the model's own functions",
                next_step="export the operator as a function of the model, or replace it before the export",
            )
        )
    newer = [s.since_version for s in schemas if s.domain == domain and s.name == node.op_type]
    if newer and min(newer) > opset:
        return CaptureError(
            complaint(
                "the operator is newer than the opset the model imports",
                where=where,
                got=f"opset {opset}",
                allowed=f"{node.op_type} exists from opset {min(newer)} on",
                next_step="export the model with a newer opset",
            )
        )
    what = "the operator cannot be executed" if newer else "the operator is unknown"
    return CaptureError(complaint(what, where=where, got=f"opset {opset}", next_step="see docs/onnx-operators.md"))
