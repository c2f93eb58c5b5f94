"""Bodies of functions: the model's own, and those that ONNX defines operators by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onnx import AttributeProto, FunctionProto, NodeProto, defs

from .schema import has_function


def substituted(node: NodeProto, given: Mapping[str, AttributeProto], missing: Iterable[str] = ()) -> NodeProto:
    """A copy of a function's node with references to the function's attributes and absent inputs resolved."""
    copy = NodeProto()
    copy.CopyFrom(node)
    del copy.attribute[:]
    absent = set(missing)
    for position, name in enumerate(copy.input):
        if name in absent:
            copy.input[position] = ""
    while copy.input and copy.input[-1] == "":
        del copy.input[-1]
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            actual = given.get(attribute.ref_attr_name)
            if actual is None:
                continue
            target = copy.attribute.add()
            target.CopyFrom(actual)
            target.name = attribute.name
            continue
        target = copy.attribute.add()
        target.CopyFrom(attribute)
        for graph in (target.g, *target.graphs) if target.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) else ():
            resolved = [substituted(item, given, absent) for item in graph.node]
            del graph.node[:]
            graph.node.extend(resolved)
    return copy


def function_body(schema: defs.OpSchema | None, opset: int) -> FunctionProto | None:
    """The body that the operator's schema gives, where it has one that needs no types."""
    if schema is None or not has_function(schema):
        return None
    source: Any = schema  # the package's stubs leave these methods out
    versions = [version for version in source.function_opset_versions if version <= max(opset, schema.since_version)]
    if not versions:
        return None
    body = FunctionProto()
    body.ParseFromString(source.get_function_with_opset_version(max(versions)))
    for key, spec in schema.attributes.items():
        if spec.default_value.type != AttributeProto.UNDEFINED and key not in {a.name for a in body.attribute_proto}:
            body.attribute_proto.append(spec.default_value)
            body.attribute_proto[-1].name = key
    return body
