"""Operators without a torch form: executed by the reference implementation of the onnx package, on the host."""

from __future__ import annotations

from onnx import NodeProto, defs

from .node import NodeContext
from .registry import Entry


def reference_entry(node: NodeProto, schema: defs.OpSchema | None, opset: int, context: NodeContext) -> Entry | None:
    """An entry that runs the node by ``onnx.reference``, or None where that has no implementation either."""
    return None
