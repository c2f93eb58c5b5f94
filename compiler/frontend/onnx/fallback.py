"""Operators without a torch form: executed by the reference implementation of the onnx package, on the host.

They run when the module runs by itself. A program holds no Python code, so a traced model refuses them by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, defs, helper

from .arrays import to_numpy, to_torch
from .node import NodeContext
from .order import subgraphs
from .registry import Entry

NOTE = "onnx.reference, outside compiled programs"


def _evaluator(node: NodeProto, domain: str, opset: int) -> Any:
    """The onnx package's evaluator of one node, or None where it has no implementation."""
    from onnx.reference import ReferenceEvaluator

    infos = [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(node.input) if name]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    imports = [helper.make_opsetid(domain, opset)]
    if domain:
        imports.append(helper.make_opsetid("", onnx.defs.onnx_opset_version()))
    graph = helper.make_graph([node], node.op_type, infos, outputs)
    try:
        return ReferenceEvaluator(helper.make_model(graph, opset_imports=imports))
    except Exception:  # it raises errors of several kinds for what it lacks
        return None


def reference_entry(node: NodeProto, schema: defs.OpSchema | None, opset: int, context: NodeContext) -> Entry | None:
    """An entry that runs the node by ``onnx.reference``, or None where that has no implementation either."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    if schema is None or any(True for _ in subgraphs(node)):
        return None
    copy = NodeProto()
    copy.CopyFrom(node)
    evaluator = _evaluator(copy, domain, opset)
    if evaluator is None:
        return None

    def run(context: NodeContext, *inputs: Any) -> tuple[Any, ...]:
        return _run(context, copy, evaluator, inputs)

    return Entry(domain, node.op_type, schema.since_version, run, note=NOTE)


def _run(context: NodeContext, node: NodeProto, evaluator: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    from .ops.control import tracing

    if tracing(*inputs):
        raise context.error(
            "the operator has no torch form, and a compiled program holds no other code",
            allowed="the operators of docs/onnx-operators.md on numbers",
            next_step="take it out of the model, or run the module by itself: to_module(model)(...)",
        )
    names = [name for name in node.input if name]
    arrays = [to_numpy(value) for value, name in zip(inputs, node.input, strict=False) if name]
    try:
        with np.errstate(all="ignore"):
            results = evaluator.run(None, dict(zip(names, arrays, strict=True)))
    except Exception as error:  # the reference raises whatever numpy and Pillow raise
        lines = str(error).splitlines() or [""]
        raise context.error(
            "the reference implementation cannot execute the node", got=f"{type(error).__name__}: {lines[0][:200]}"
        ) from error
    made = iter(results)
    return tuple(to_torch(next(made), context.where) if name else None for name in node.output)
